//! A shard can be read, and not be written.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use sluice_shard::Flavor;
use sluice_testbed::{lock::Lock, mariadb, rows, set_back, wait};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::{
    LIMIT, connect, one_full_partition,
    under_load::{all_is_well_again, load, only_the_third_is_in_trouble, three_full_shards, three_shards},
};

#[tokio::test]
async fn a_postgres_shard_that_is_read_only_delays_no_other_and_gets_its_rows_once_it_is_not() {
    let fleet = three_full_shards(Flavor::Postgres).await;
    let third = &fleet.shards()[2].address;
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    wait::until("a shard that is written to", LIMIT, async || lanes.was("shard3", "live")).await.unwrap();
    let mut operator = connect(third).await;
    let read_only = "ALTER DATABASE shard3 SET default_transaction_read_only = on;
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice-lane'";
    sqlx::raw_sql(read_only).execute(&mut operator).await.unwrap();
    only_the_third_is_in_trouble(&fleet, &lanes, "read-only transaction").await;
    sqlx::raw_sql("ALTER DATABASE shard3 RESET default_transaction_read_only").execute(&mut operator).await.unwrap();
    all_is_well_again(&fleet, third, traffic).await;
}

/// All of its server, which has no other shard.
#[tokio::test]
async fn a_mysql_shard_that_is_read_only_delays_no_other_and_gets_its_rows_once_it_is_not() {
    let fleet = three_full_shards(Flavor::Mysql).await;
    let third = &fleet.shards()[2].address;
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    wait::until("a shard that is written to", LIMIT, async || lanes.was("shard3", "live")).await.unwrap();
    let mut operator = rows::mysql_options(third).username(mariadb::OPERATOR).connect().await.unwrap();
    sqlx::raw_sql("SET GLOBAL read_only = 1").execute(&mut operator).await.unwrap();
    only_the_third_is_in_trouble(&fleet, &lanes, "read-only option").await;
    sqlx::raw_sql("SET GLOBAL read_only = 0").execute(&mut operator).await.unwrap();
    all_is_well_again(&fleet, third, traffic).await;
}

/// Without its limits a lane would wait for `innodb_lock_wait_timeout`, 50 seconds, and each new one again.
#[tokio::test]
async fn a_mysql_shard_that_another_program_has_locked_delays_no_other_and_gets_its_rows_once_it_is_free() {
    let mut options = one_full_partition();
    options.writer_args.extend(["--shard-statement-ms", "4000"].map(str::to_owned));
    let fleet = three_shards(Flavor::Mysql, options).await;
    let third = &fleet.shards()[2].address;
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    wait::until("a shard that is written to", LIMIT, async || lanes.was("shard3", "live")).await.unwrap();
    let lock = Lock::take(third).await.unwrap();
    only_the_third_is_in_trouble(&fleet, &lanes, "Lock wait timeout").await;
    lock.release().await.unwrap();
    all_is_well_again(&fleet, third, traffic).await;
}

/// The byte of a SQLite file that says which version may write it: whoever knows only lower ones may read it. Unlike a file's
/// mode this holds for root too.
fn writable_by_version(file: &Path, version: u8) {
    OpenOptions::new().write(true).open(file).unwrap().write_all_at(&[version], 18).unwrap();
}

#[tokio::test]
async fn a_sqlite_shard_that_is_read_only_delays_no_other_and_gets_its_rows_once_it_is_not() {
    let fleet = three_full_shards(Flavor::Sqlite).await;
    let third = &fleet.shards()[2].address;
    let file = Path::new(&third.database);
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    wait::until("a shard that is written to", LIMIT, async || lanes.was("shard3", "live")).await.unwrap();
    // A copy that may be read only takes the file's place: the lane notices that, and opens it.
    let copy = fleet.folder().join("copy.db");
    let mut operator = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::raw_sql(&format!("VACUUM INTO '{}'", copy.display())).execute(&mut operator).await.unwrap();
    operator.close().await.unwrap();
    // In the mode of a shard, which its copy has not got.
    let shard = SqliteConnectOptions::new().filename(&copy).journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    shard.connect().await.unwrap().close().await.unwrap();
    writable_by_version(&copy, 3);
    set_back::replace(third, &copy).unwrap();
    only_the_third_is_in_trouble(&fleet, &lanes, "readonly database").await;
    writable_by_version(file, 2);
    all_is_well_again(&fleet, third, traffic).await;
}

#[tokio::test]
async fn a_sqlite_shard_that_another_program_has_locked_delays_no_other_and_gets_its_rows_once_it_is_free() {
    let fleet = three_full_shards(Flavor::Sqlite).await;
    let third = &fleet.shards()[2].address;
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    wait::until("a shard that is written to", LIMIT, async || lanes.was("shard3", "live")).await.unwrap();
    let mut other = SqliteConnectOptions::new()
        .filename(&third.database)
        .busy_timeout(Duration::from_secs(10))
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let since = Instant::now();
    only_the_third_is_in_trouble(&fleet, &lanes, "database is locked").await;
    assert!(since.elapsed() >= Duration::from_secs(3), "the lane gave up before its busy timeout");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    all_is_well_again(&fleet, third, traffic).await;
}
