//! A session of MySQL or MariaDB that works as we need it, and gives up when we should: each
//! setting is set by a statement and read back.

use std::{collections::BTreeMap, time::Duration};

use secrecy::ExposeSecret;
use sluice_model::{CustomerId, Person};
use sqlx::{ConnectOptions, Connection, Executor, MySqlConnection, Row, mysql::MySqlConnectOptions};

use super::{number_of, tables::text};
use crate::{
    Limits, ShardAddress,
    chunks::CHUNK_ROWS,
    fault::Fault,
    session::{self, Mark, Setting},
};

/// A setting of that name is not known here.
const UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;
/// What the longest statement can take: 1,000 rows of the longest values, and what stands between them.
const LONGEST_PACKET: u64 =
    ((CustomerId::MAX_BYTES + Person::NAME_MAX_BYTES + Person::ADDRESS_MAX_BYTES + 32) * CHUNK_ROWS[0]) as u64;
/// All of `sql_mode` is ours. Strict for every table: a value that does not fit is refused, never cut to fit.
const SQL_MODE: &str = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO";
/// As many rows as there are.
const NO_LIMIT: &str = "18446744073709551615";
/// What the driver sets: texts in UTF-8, times in UTC.
const DRIVERS: [(&str, &str); 5] = [
    ("character_set_client", "utf8mb4"),
    ("character_set_connection", "utf8mb4"),
    ("character_set_results", "utf8mb4"),
    ("collation_connection", "utf8mb4_bin"),
    ("time_zone", "+00:00"),
];
/// The mark's own variable. ProxySQL gives a session that has one no other client's statements.
pub(super) const MARK: &str = "@sluice_session";

/// Connects and sets the session up; says with it whether the server limits the time of statements.
pub(super) async fn open(address: &ShardAddress, limits: Limits) -> Result<(MySqlConnection, Mark, bool), Fault> {
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
    session::expect_unmarked(mark_of(&mut connection).await?.as_deref())?;

    let mark = Mark::new();
    let mut settings = plain_settings();
    let set: Vec<_> = settings.iter().map(|Setting { name, value }| format!("{name} = {}", quoted(value))).collect();
    let sql = format!(
        "SET SESSION {}; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET {MARK} = '{}'",
        set.join(", "),
        mark.as_str()
    );
    connection.execute(sqlx::raw_sql(&sql)).await?;
    let limited = set_limits(&mut connection, limits, &mut settings).await?;
    // Set by the driver.
    settings.extend(DRIVERS.map(|(name, value)| Setting::new(name, value)));

    mark.expect(mark_of(&mut connection).await?.as_deref())?;
    let found = read_back(&mut connection, &settings).await?;
    // Its name differs from version to version.
    let isolation = if found.contains_key("tx_isolation") { "tx_isolation" } else { "transaction_isolation" };
    settings.push(Setting::new(isolation, "READ-COMMITTED"));
    session::check(&settings, &found)?;
    let packet: u64 = found.get("max_allowed_packet").and_then(|is| is.parse().ok()).unwrap_or_default();
    if packet < LONGEST_PACKET {
        return Err(Fault::configuration(format!(
            "max_allowed_packet is {packet} bytes; the longest rows need {LONGEST_PACKET}"
        )));
    }
    Ok((connection, mark, limited))
}

/// What lanes rely on, whatever the server's own defaults are. A `completion_type` would begin a
/// transaction, or end the session, with each commit; the two next would leave rows out of what is
/// read, or refuse to read many.
fn plain_settings() -> Vec<Setting> {
    vec![
        Setting::new("sql_mode", SQL_MODE),
        Setting::new("autocommit", "ON"),
        Setting::new("completion_type", "NO_CHAIN"),
        Setting::new("sql_select_limit", NO_LIMIT),
        Setting::new("sql_big_selects", "ON"),
    ]
}

/// Whatever stops answering in the middle of a transaction (a frozen process, a lost host) keeps its locks only until the server
/// gives it up: between two statements by `idle_transaction_timeout` (MariaDB) or else `wait_timeout` (a session that idles for
/// so long *outside* a transaction is ended by it too, and its lane connects anew), within a statement that it is
/// sending by `net_read_timeout`.
async fn set_limits(
    connection: &mut MySqlConnection,
    limits: Limits,
    settings: &mut Vec<Setting>,
) -> Result<bool, Fault> {
    let (lock, abandoned) = (seconds(limits.lock()), seconds(limits.abandoned()));
    set(connection, "innodb_lock_wait_timeout", lock, settings).await?;
    // For locks on whole tables, which DDL takes.
    set(connection, "lock_wait_timeout", lock, settings).await?;
    set(connection, "net_read_timeout", seconds(limits.statement()), settings).await?;
    if !set(connection, "idle_transaction_timeout", abandoned, settings).await? {
        set(connection, "wait_timeout", abandoned, settings).await?;
    }
    // MySQL 8 would show figures of a table that are up to a day old.
    set(connection, "information_schema_stats_expiry", 0, settings).await?;
    // MySQL knows such a limit for reading only.
    set(connection, "max_statement_time", limits.statement().as_secs_f64(), settings).await
}

/// False where the server has no such setting.
async fn set(
    connection: &mut MySqlConnection,
    name: &'static str,
    value: impl std::fmt::Display,
    settings: &mut Vec<Setting>,
) -> Result<bool, Fault> {
    let sql = format!("SET SESSION {name} = {value}");
    match connection.execute(sqlx::raw_sql(&sql)).await {
        Ok(_) => {
            settings.push(Setting::new(name, value));
            Ok(true)
        }
        Err(e) if number_of(&e) == Some(UNKNOWN_SYSTEM_VARIABLE) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

async fn mark_of(connection: &mut MySqlConnection) -> Result<Option<String>, Fault> {
    let row = connection.fetch_one(sqlx::raw_sql(&format!("SELECT {MARK}"))).await?;
    Ok(row.try_get_unchecked(0)?)
}

/// The values in force, by name.
async fn read_back(connection: &mut MySqlConnection, settings: &[Setting]) -> Result<BTreeMap<String, String>, Fault> {
    let names = settings.iter().map(|setting| setting.name);
    let names = names.chain(["tx_isolation", "transaction_isolation", "max_allowed_packet"]);
    let names: Vec<_> = names.map(|name| format!("'{name}'")).collect();
    let sql = format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({})", names.join(", "));
    let rows = connection.fetch_all(sqlx::raw_sql(&sql)).await?;
    rows.iter().map(|row| Ok((text(row, 0)?.to_ascii_lowercase(), text(row, 1)?))).collect()
}

/// A number stands as it is.
fn quoted(value: &str) -> String {
    if value.parse::<u64>().is_ok() { value.to_owned() } else { format!("'{value}'") }
}

/// Whole seconds, rounded up: 0 would mean no waiting at all, or that there is no limit.
fn seconds(limit: Duration) -> u64 {
    limit.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1)
}
