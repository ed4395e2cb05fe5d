//! A connection whose server works as we need it, and gives up when we should.

use std::time::Duration;

use secrecy::ExposeSecret;
use sluice_model::{CustomerId, Person};
use sqlx::{ConnectOptions, Connection, Executor, MySqlConnection, Row, mysql::MySqlConnectOptions};

use super::number_of;
use crate::{Limits, ShardAddress, chunks::CHUNK_ROWS, fault::Fault};

/// A setting of that name is not known here.
const UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;
/// What the longest statement can take: 1,000 rows of the longest values, and what stands between them.
const LONGEST_PACKET: u64 =
    ((CustomerId::MAX_BYTES + Person::NAME_MAX_BYTES + Person::ADDRESS_MAX_BYTES + 32) * CHUNK_ROWS[0]) as u64;
/// All of `sql_mode` is ours. Strict for every table: a value that does not fit is refused, never cut to fit.
const SESSION: &str = "
    SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO';
    SET SESSION autocommit = 1;
    SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Connects; says with it whether the server limits the time of statements.
pub(super) async fn open(address: &ShardAddress, limits: Limits) -> Result<(MySqlConnection, bool), Fault> {
    let mut options = MySqlConnectOptions::new()
        .host(&address.host)
        .port(address.port)
        .username(&address.user)
        .database(&address.database)
        .charset("utf8mb4")
        .collation("utf8mb4_bin")
        // The driver would add these to the server's `sql_mode`.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .disable_statement_logging();
    // An empty password is none: the answer to the server would be another one.
    if !address.password.expose_secret().is_empty() {
        options = options.password(address.password.expose_secret());
    }
    let mut connection = MySqlConnection::connect_with(&options).await?;
    connection.execute(sqlx::raw_sql(SESSION)).await?;
    let limited = set_limits(&mut connection, limits).await?;
    let row = connection.fetch_one(sqlx::raw_sql("SELECT CAST(@@max_allowed_packet AS SIGNED)")).await?;
    let packet = row.try_get::<i64, _>(0)?.unsigned_abs();
    if packet < LONGEST_PACKET {
        return Err(Fault::configuration(format!(
            "max_allowed_packet is {packet} bytes; the longest rows need {LONGEST_PACKET}"
        )));
    }
    Ok((connection, limited))
}

/// Whatever stops answering in the middle of a transaction (a frozen process, a lost host) keeps its locks only until the server
/// gives it up: between two statements by `idle_transaction_timeout` (MariaDB) or else `wait_timeout` (a session that idles for
/// so long *outside* a transaction is ended by it too, and its lane connects anew), within a statement that it is
/// sending by `net_read_timeout`.
async fn set_limits(connection: &mut MySqlConnection, limits: Limits) -> Result<bool, Fault> {
    let (lock, abandoned) = (seconds(limits.lock()), seconds(limits.abandoned()));
    set(connection, "innodb_lock_wait_timeout", lock).await?;
    // For locks on whole tables, which DDL takes.
    set(connection, "lock_wait_timeout", lock).await?;
    set(connection, "net_read_timeout", seconds(limits.statement())).await?;
    if !set(connection, "idle_transaction_timeout", abandoned).await? {
        set(connection, "wait_timeout", abandoned).await?;
    }
    // MySQL 8 would show figures of a table that are up to a day old.
    set(connection, "information_schema_stats_expiry", 0).await?;
    // MySQL knows such a limit for reading only.
    set(connection, "max_statement_time", limits.statement().as_secs_f64()).await
}

/// False where the server has no such setting.
async fn set(connection: &mut MySqlConnection, name: &str, value: impl std::fmt::Display) -> Result<bool, Fault> {
    let sql = format!("SET SESSION {name} = {value}");
    match connection.execute(sqlx::raw_sql(&sql)).await {
        Ok(_) => Ok(true),
        Err(e) if number_of(&e) == Some(UNKNOWN_SYSTEM_VARIABLE) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Whole seconds, rounded up: 0 would mean no waiting at all, or that there is no limit.
fn seconds(limit: Duration) -> u64 {
    limit.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1)
}
