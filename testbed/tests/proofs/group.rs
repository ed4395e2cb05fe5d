//! Several writer processes share the partitions, and take over from one another.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use sluice_model::PartitionCount;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, wait};

use crate::{LIMIT, all_rows, fleet, start_load};

/// Eight partitions, and so many writers that are taken for dead after two seconds.
fn group_of(writers: u16) -> FleetOptions {
    FleetOptions {
        partitions: PartitionCount::try_from(8).unwrap(),
        writers,
        writer_args: ["--takeover-ms", "2000"].map(str::to_owned).to_vec(),
        ..FleetOptions::default()
    }
}

/// The partitions that a writer reads; none where it does not answer.
async fn reading(fleet: &Fleet, writer: usize) -> BTreeSet<u64> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build().unwrap();
    let Ok(answer) = client.get(format!("{}/lanes", fleet.writer_url(writer))).send().await else {
        return BTreeSet::new();
    };
    let answer: serde_json::Value = answer.json().await.unwrap();
    answer["reading"].as_array().unwrap().iter().map(|partition| partition.as_u64().unwrap()).collect()
}

/// Whether these writers read every partition, each as many as the next, and none twice.
async fn share_all(fleet: &Fleet, writers: &[usize]) -> bool {
    let shares = futures::future::join_all(writers.iter().map(|writer| reading(fleet, *writer))).await;
    let sizes: Vec<usize> = shares.iter().map(BTreeSet::len).collect();
    let all: BTreeSet<u64> = shares.into_iter().flatten().collect();
    all.len() == 8 && sizes.iter().sum::<usize>() == 8 && sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1
}

async fn wait_for_shares(fleet: &Fleet, writers: &[usize], limit: Duration) -> Duration {
    let begun = Instant::now();
    wait::until(&format!("writers {writers:?} share all"), limit, || share_all(fleet, writers)).await.unwrap();
    begun.elapsed()
}

#[tokio::test]
async fn writers_share_the_partitions_and_one_that_leaves_gives_its_share_back_at_once() {
    let mut fleet = fleet(Flavor::Sqlite, group_of(3)).await;
    wait_for_shares(&fleet, &[0, 1, 2], LIMIT).await;
    assert!(fleet.writers()[1].stop().success());
    let left = wait_for_shares(&fleet, &[0, 2], LIMIT).await;
    assert!(left < Duration::from_millis(1_500), "{left:?}: it said goodbye, nobody had to wait for its silence");
    fleet.writers()[1].restart().await.unwrap();
    wait_for_shares(&fleet, &[0, 1, 2], LIMIT).await;
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "50", "--count", "5000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 5_000);
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 5_000);
}

/// Kills writers of three, one after the other, under load; the last ones are started again. The time limit is the default.
async fn taken_over(shards: Flavor) {
    const EVENTS: i64 = 60_000;
    let options = FleetOptions { writer_args: Vec::new(), ..group_of(3) };
    let mut fleet = fleet(shards, options).await;
    wait_for_shares(&fleet, &[0, 1, 2], LIMIT).await;
    let load = start_load(&fleet, 80, EVENTS);
    wait::until("rows", LIMIT, async || all_rows(&fleet).await > 0).await.unwrap();
    fleet.writers()[0].kill();
    let took = wait_for_shares(&fleet, &[1, 2], LIMIT).await;
    assert!(took < Duration::from_secs(10), "taken over after {took:?}");
    fleet.writers()[1].kill();
    let took = wait_for_shares(&fleet, &[2], LIMIT).await;
    assert!(took < Duration::from_secs(10), "taken over after {took:?}");
    fleet.writers()[0].restart().await.unwrap();
    fleet.writers()[2].kill();
    fleet.writers()[2].restart().await.unwrap();
    wait_for_shares(&fleet, &[0, 2], LIMIT).await;
    load.await.unwrap().unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    assert_eq!(all_rows(&fleet).await, EVENTS);
}

#[tokio::test]
async fn a_dead_writers_partitions_are_taken_over_within_ten_seconds_under_load_on_sqlite() {
    taken_over(Flavor::Sqlite).await;
}

#[tokio::test]
async fn a_dead_writers_partitions_are_taken_over_within_ten_seconds_under_load_on_postgres() {
    taken_over(Flavor::Postgres).await;
}

#[tokio::test]
async fn a_dead_writers_partitions_are_taken_over_within_ten_seconds_under_load_on_mysql() {
    taken_over(Flavor::Mysql).await;
}
/// Frozen for longer than the time limit, under load: the others go on with its partitions, and when it wakes it believes for a while
/// that they are still its own.
#[tokio::test]
async fn two_that_believe_they_own_the_same_partitions_neither_double_nor_lose_a_row() {
    let mut fleet = fleet(Flavor::Sqlite, group_of(2)).await;
    for round in 0..4_i64 {
        wait_for_shares(&fleet, &[0, 1], LIMIT).await;
        let sleeper = usize::from(round % 2 == 0);
        let load = start_load(&fleet, 60, 20_000);
        let more = async || all_rows(&fleet).await > 20_000 * round;
        wait::until("rows", LIMIT, more).await.unwrap();
        fleet.writers()[sleeper].freeze();
        wait_for_shares(&fleet, &[1 - sleeper], LIMIT).await;
        load.await.unwrap().unwrap();
        fleet.writers()[sleeper].thaw();
        let all = async || all_rows(&fleet).await == 20_000 * (round + 1);
        wait::until("all rows", LIMIT, all).await.unwrap();
    }
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

/// No other name would do: two processes of one name have the same partitions, and both write them.
#[tokio::test]
async fn two_writers_of_one_name_do_the_work_twice_and_the_rows_once() {
    let options = group_of(2);
    let writer_args = [options.writer_args.clone(), vec!["--name".to_owned(), "twin".to_owned()]].concat();
    let fleet = fleet(Flavor::Sqlite, FleetOptions { writer_args, ..options }).await;
    let both = async || reading(&fleet, 0).await.len() == 8 && reading(&fleet, 1).await.len() == 8;
    wait::until("both read everything", LIMIT, both).await.unwrap();
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "60", "--count", "20000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 20_000);
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    assert_eq!(all_rows(&fleet).await, 20_000);
}
