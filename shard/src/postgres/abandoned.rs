//! Transactions whose client has gone silent in the middle of a `COPY`.
//!
//! A lane's process may be frozen at any place. Within a transaction, between two statements, the server ends it by itself
//! (`idle_in_transaction_session_timeout`). Within a `COPY` it does not, nor does `statement_timeout` reach a server that waits
//! for the next of its messages: such a session would keep its locks for as long as its process stays frozen, and with them the
//! shard from every other writer. So the next lane that waited for such a lock in vain ends it.

use sqlx::{Executor, PgConnection, Row};

use crate::{Limits, fault::Fault};

/// What every lane's session is called.
pub(super) const APPLICATION_NAME: &str = "sluice-lane";

/// Ends them, and gives their number. `state_change` is when the statement began, so a transaction of many statements that
/// gets on is not meant; nor is a `COPY` that does: it would have met `statement_timeout` before.
pub(super) async fn end(connection: &mut PgConnection, limits: Limits) -> Result<i64, Fault> {
    let silent_ms = limits.abandoned().as_millis();
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = '{APPLICATION_NAME}' AND datname = current_database() AND usename = current_user
             AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND wait_event_type = 'Client'
             AND state_change < clock_timestamp() - {silent_ms} * interval '1 millisecond'"
    );
    let row = connection.fetch_one(sqlx::raw_sql(&sql)).await?;
    Ok(row.try_get(0)?)
}
