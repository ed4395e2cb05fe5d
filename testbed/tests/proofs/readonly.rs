//! A shard can be read, and not be written.

use std::time::{Duration, Instant};

use sluice_shard::Flavor;
use sluice_testbed::{lock::Lock, read_only, wait};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

use crate::{
    LIMIT, one_full_partition,
    under_load::{all_is_well_again, load, only_the_third_is_in_trouble, three_full_shards, three_shards},
};

#[tokio::test]
async fn a_postgres_shard_that_is_read_only_delays_no_other_and_gets_its_rows_once_it_is_not() {
    let fleet = three_full_shards(Flavor::Postgres).await;
    let third = &fleet.shards()[2].address;
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    wait::until("a shard that is written to", LIMIT, async || lanes.was("shard3", "live")).await.unwrap();
    read_only::set(third, true).await.unwrap();
    only_the_third_is_in_trouble(&fleet, &lanes, "read-only transaction").await;
    read_only::set(third, false).await.unwrap();
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
    read_only::set(third, true).await.unwrap();
    only_the_third_is_in_trouble(&fleet, &lanes, "read-only option").await;
    read_only::set(third, false).await.unwrap();
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

#[tokio::test]
async fn a_sqlite_shard_that_is_read_only_delays_no_other_and_gets_its_rows_once_it_is_not() {
    let fleet = three_full_shards(Flavor::Sqlite).await;
    let third = &fleet.shards()[2].address;
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    wait::until("a shard that is written to", LIMIT, async || lanes.was("shard3", "live")).await.unwrap();
    read_only::set(third, true).await.unwrap();
    only_the_third_is_in_trouble(&fleet, &lanes, "readonly database").await;
    read_only::set(third, false).await.unwrap();
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
