//! A session of PostgreSQL with its limits, each set by a statement and read back.
//!
//! Nothing is asked for at the start of the connection (`options`): poolers drop it, or refuse it.

use std::{collections::BTreeMap, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};

use super::abandoned;
use crate::{
    Limits, ShardAddress,
    fault::Fault,
    session::{self, Mark, Setting, UnfitSession},
};

/// What the server itself does about a session of ours whose host is gone. Not read back: over a
/// Unix socket these are always 0, and behind a pooler they concern the pooler's connection. The
/// last one keeps `CREATE TABLE IF NOT EXISTS` from telling that a table exists.
const COURTESIES: &str = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3; SET client_min_messages = warning";
/// A trimmer lets the journal go up to what a shard has committed, so a commit is not confirmed
/// before the disk has it. What waits for standbys as well stays as the server's owner wants it.
const DURABLE: &str =
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
/// The mark's own setting: any name with a dot is free for programs.
pub(super) const MARK: &str = "current_setting('sluice.session', true)";

/// Connects, and sets the session up.
pub(super) async fn open(address: &ShardAddress, limits: Limits) -> Result<(PgConnection, Mark), Fault> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&address.host)
        .port(address.port)
        .username(&address.user)
        .password(address.password.expose_secret())
        .database(&address.database)
        .application_name(abandoned::APPLICATION_NAME)
        // No pooler knows it by itself, and no column here is a float.
        .extra_float_digits(None)
        .disable_statement_logging();
    let mut connection = PgConnection::connect_with(&options).await?;
    let mark = set_up(&mut connection, &settings(limits)).await?;
    Ok((connection, mark))
}

/// What lanes rely on. What the server does about a session that hangs follows from [`Limits`].
fn settings(limits: Limits) -> Vec<Setting> {
    vec![
        Setting::new("lock_timeout", milliseconds(limits.lock())),
        Setting::new("statement_timeout", milliseconds(limits.statement())),
        Setting::new("idle_in_transaction_session_timeout", milliseconds(limits.abandoned())),
        Setting::new("default_transaction_isolation", "read committed"),
        // Whoever waits for a frozen lane's lock finds its session by this.
        Setting::new("application_name", abandoned::APPLICATION_NAME),
    ]
}

/// Sets up a session of PostgreSQL: these settings, texts in UTF-8, times in UTC, commits that
/// survive a power failure. Reads all of it back in a later transaction.
///
/// # Errors
/// See [`UnfitSession`].
pub async fn set_up(connection: &mut PgConnection, settings: &[Setting]) -> Result<Mark, UnfitSession> {
    let row = connection.fetch_one(sqlx::raw_sql(&format!("SELECT {MARK}"))).await?;
    session::expect_unmarked(row.try_get::<Option<String>, _>(0)?.as_deref())?;

    let mut settings = settings.to_vec();
    settings.extend([Setting::new("client_encoding", "UTF8"), Setting::new("TimeZone", "UTC")]);
    let mark = Mark::new();
    let set: Vec<_> = settings.iter().map(|Setting { name, value }| format!("SET {name} = '{value}'")).collect();
    let sql = format!("{COURTESIES}; {DURABLE}; {}; SET sluice.session = '{}'", set.join("; "), mark.as_str());
    connection.execute(sqlx::raw_sql(&sql)).await?;

    // In a message of its own, and so in another transaction.
    let names: Vec<_> = settings.iter().map(|setting| format!("'{}'", setting.name)).collect();
    let sql = format!(
        "SELECT 'mark', {MARK} UNION ALL SELECT name, setting FROM pg_settings
         WHERE name IN ('server_encoding', 'synchronous_commit', {})",
        names.join(", ")
    );
    let mut found = BTreeMap::new();
    for row in connection.fetch_all(sqlx::raw_sql(&sql)).await? {
        found.insert(row.try_get::<String, _>(0)?, row.try_get::<Option<String>, _>(1)?.unwrap_or_default());
    }
    mark.expect(found.get("mark").map(String::as_str))?;
    session::check(&settings, &found)?;
    if found.get("synchronous_commit").is_none_or(|is| is == "off") {
        session::check(&[Setting::new("synchronous_commit", "on")], &found)?;
    }
    match found.remove("server_encoding").unwrap_or_default() {
        encoding if encoding == "UTF8" => Ok(mark),
        encoding => Err(UnfitSession::Encoding(encoding)),
    }
}

/// As a PostgreSQL setting has it. 0 would mean that there is no limit.
fn milliseconds(limit: Duration) -> String {
    limit.as_millis().max(1).to_string()
}
