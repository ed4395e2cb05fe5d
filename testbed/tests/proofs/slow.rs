//! A shard answers, and takes its time.

use std::time::Duration;

use sluice_shard::Flavor;
use sluice_testbed::{
    Fleet,
    arrivals::{Arrivals, percentile},
    rows, wait,
};

use crate::{
    LIMIT, QUEUE_BYTES, one_full_partition,
    under_load::{every_row_is_there, load, third_behind_a_proxy},
};

/// What an answer of the slow shard takes: a transaction has four or more. During a single one there come more rows than one statement takes:
/// else the shard would keep up.
const DELAY: Duration = Duration::from_millis(500);
/// Rows of each of the others, in four seconds: of as many the slow shard's queue could not hold a fourth.
const ROWS: usize = 3_000;
/// Messages of a chunk that a third of is this shard's, with 8 rows of some 100 bytes each: a queue overshoots by so much.
const ONE_CHUNK_BYTES: usize = 500 / 3 * 8 * 100;
/// Far less than a transaction of the slow shard.
const ON_TIME: Duration = Duration::from_millis(600);

/// How often it is looked at.
const TIMES: usize = 3;

/// How long the slowest in a hundred of the other shards' rows took from their publish.
async fn slowest_of_the_others(fleet: &Fleet) -> Duration {
    let mut others = Vec::new();
    for (shard, customer) in [(0, "1"), (1, "2")] {
        others.push(Arrivals::follow(&fleet.shards()[shard].address, customer).await.unwrap());
    }
    let many = || std::future::ready(others.iter().all(|other| other.new_so_far().len() > ROWS));
    wait::until("rows on the others", LIMIT, many).await.unwrap();
    others.iter().map(|other| percentile(&other.new_so_far(), 99.0).unwrap()).max().unwrap()
}

async fn one_shard_is_slow(shards: Flavor) {
    let (fleet, third, proxy) = third_behind_a_proxy(shards, one_full_partition()).await;
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    let there = async || rows::count(&third.address).await.is_ok_and(|shard| shard.rows > 0);
    wait::until("rows while it is quick", LIMIT, there).await.unwrap();

    proxy.delay(DELAY);
    let behind = async || lanes.was("shard3", "behind");
    wait::until("a slow shard's lane that went behind", LIMIT, behind).await.unwrap();
    // A slow shard would be felt every time; a machine that has something else to do is not.
    let mut slowest = Vec::new();
    while slowest.last().is_none_or(|p99| *p99 >= ON_TIME) {
        assert!(slowest.len() < TIMES, "{slowest:?} after they were published");
        slowest.push(slowest_of_the_others(&fleet).await);
    }
    let most = lanes.seen("shard3").most_queued_bytes;
    assert!(most < QUEUE_BYTES + ONE_CHUNK_BYTES, "{most} bytes were queued");
    // It stays slow, and gets what it is owed all the same: each transaction takes all that its memory allows.
    let sent = traffic.stop().await.unwrap();
    every_row_is_there(&fleet, &third.address, &sent).await;
}

#[tokio::test]
async fn a_slow_shard_delays_no_other_nor_grows_its_queue_beyond_its_bound_and_drains_in_the_end_on_postgres() {
    one_shard_is_slow(Flavor::Postgres).await;
}

#[tokio::test]
async fn a_slow_shard_delays_no_other_nor_grows_its_queue_beyond_its_bound_and_drains_in_the_end_on_mysql() {
    one_shard_is_slow(Flavor::Mysql).await;
}
