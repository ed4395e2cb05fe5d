//! A shard's disk is full.
//!
//! A limit on the size of files (RLIMIT_FSIZE) stands in for it: it needs neither a disk of its own nor any rights. A
//! PostgreSQL server answers as it does on a full disk (SQLSTATE 53100), as its last page is written in half. SQLite says
//! "disk I/O error" instead of "database or disk is full"; it ends the transaction by itself on either.

use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, wait};

use crate::{
    LIMIT, one_full_partition,
    under_load::{all_is_well_again, load, only_the_third_is_in_trouble, three_full_shards, three_shards},
};

/// No multiple of a page, and as large as a segment of the write-ahead log: only tables meet it.
const TABLE_BYTES: u64 = (16 << 20) + 4096;
/// Less than the write-ahead log's first segment has in it from the beginning.
const LOG_BYTES: u64 = 4 << 20;
/// More than the other shards' files ever have here.
const SQLITE_BYTES: u64 = 8 << 20;

#[tokio::test]
async fn a_postgres_shard_without_room_for_rows_delays_no_other_and_gets_them_once_there_is_room() {
    let mut fleet = three_full_shards(Flavor::Postgres).await;
    let third = fleet.shards()[2].address.clone();
    let lanes = fleet.watch_lanes(0);
    fleet.servers()[2].limit_files(Some(TABLE_BYTES)).unwrap();
    // 16 MiB of them in five seconds; not so long that PostgreSQL would store them apart and compressed.
    let traffic = load(&fleet, 1_900).await;
    only_the_third_is_in_trouble(&fleet, &lanes, "could not extend file").await;
    fleet.servers()[2].limit_files(None).unwrap();
    all_is_well_again(&fleet, &third, traffic).await;
}

#[tokio::test]
async fn a_postgres_server_that_crashes_since_its_log_finds_no_room_delays_no_other_shard_and_comes_back() {
    let mut fleet = three_full_shards(Flavor::Postgres).await;
    let third = fleet.shards()[2].address.clone();
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    wait::until("a shard that is written to", LIMIT, async || lanes.was("shard3", "live")).await.unwrap();
    fleet.servers()[2].limit_files(Some(LOG_BYTES)).unwrap();
    only_the_third_is_in_trouble(&fleet, &lanes, "cannot connect (transient)").await;
    let server = &mut fleet.servers()[2];
    let said = server.log();
    assert!(said.contains("PANIC") && said.contains("File too large"), "{said}");
    // It starts itself again and again; where its recovery needs room too, it has given up.
    if server.has_ended() {
        server.restart().await.unwrap();
    } else {
        server.limit_files(None).unwrap();
    }
    all_is_well_again(&fleet, &third, traffic).await;
}

#[tokio::test]
async fn a_sqlite_shard_without_room_for_rows_delays_no_other_and_gets_them_once_there_is_room() {
    // The signal of this limit would end a process that does not ignore it; a full disk sends none.
    let writer_under = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""].map(str::to_owned).to_vec();
    let options = FleetOptions { writer_under, ..one_full_partition() };
    let mut fleet = three_shards(Flavor::Sqlite, options).await;
    let third = fleet.shards()[2].address.clone();
    let lanes = fleet.watch_lanes(0);
    fleet.writer().limit_files(Some(SQLITE_BYTES)).unwrap();
    let traffic = load(&fleet, 4_000).await;
    only_the_third_is_in_trouble(&fleet, &lanes, "disk").await;
    fleet.writer().limit_files(None).unwrap();
    all_is_well_again(&fleet, &third, traffic).await;
}
