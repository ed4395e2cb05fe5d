//! A part of the fleet is away for a while.

use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, Shards, rows, wait};

use crate::{LIMIT, all_rows, fleet, one_full_partition};

async fn one_shard_is_down(shards: impl Into<Shards>) {
    let mut fleet = fleet(shards, one_full_partition()).await;
    let admin = fleet.admin().unwrap();
    for (customer, shard) in ["1", "2", "3"].iter().zip(["shard1", "shard2", "shard3"]) {
        admin.place(customer, shard).await.unwrap();
    }
    fleet.servers()[2].stop();
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "1,2,3", "--count", "30000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 30_000);
    let others = async || {
        let (one, two) = (&fleet.shards()[0].address, &fleet.shards()[1].address);
        let count = async |address| rows::count(address).await.map_or(0, |shard| shard.rows);
        count(one).await == 10_000 && count(two).await == 10_000
    };
    wait::until("all rows of the shards that are up", LIMIT, others).await.unwrap();
    fleet.servers()[2].restart().await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    assert_eq!(all_rows(&fleet).await, 30_000);
}

#[tokio::test]
async fn a_shard_that_is_down_delays_no_other_and_catches_up_by_itself_on_postgres() {
    one_shard_is_down(Flavor::Postgres).await;
}

#[tokio::test]
async fn a_shard_that_is_down_delays_no_other_and_catches_up_by_itself_on_mysql() {
    one_shard_is_down(Flavor::Mysql).await;
}

#[tokio::test]
async fn after_nats_was_killed_publishers_and_readers_go_on() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    assert_eq!(fleet.load(&["--customers", "5", "--count", "500"]).await.unwrap().accepted, 500);
    fleet.nats().kill();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/person/1", fleet.ingest_url());
    let refused = client.post(&url).send().await.unwrap();
    let status = refused.status();
    // 503: it knew that NATS is away. 504: it found out while it waited.
    assert!(status == 503 || status == 504, "{status}");
    fleet.nats().restart().await.unwrap();
    let taken = async || client.post(&url).send().await.is_ok_and(|answer| answer.status() == 202);
    wait::until("a post is taken again", LIMIT, taken).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    assert!(all_rows(&fleet).await >= 501);
}

#[tokio::test]
async fn while_the_directory_is_down_known_customers_go_on_and_a_new_one_waits() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    assert_eq!(fleet.load(&["--customers", "5", "--count", "50"]).await.unwrap().accepted, 50);
    wait::until("50 rows", LIMIT, async || all_rows(&fleet).await == 50).await.unwrap();
    fleet.directory().kill();
    assert_eq!(fleet.load(&["--customers", "5", "--count", "50"]).await.unwrap().accepted, 50);
    wait::until("100 rows", LIMIT, async || all_rows(&fleet).await == 100).await.unwrap();
    assert_eq!(fleet.load(&["--customer-list", "new", "--count", "1"]).await.unwrap().accepted, 1);
    fleet.directory().restart().await.unwrap();
    wait::until("101 rows", LIMIT, async || all_rows(&fleet).await == 101).await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
}
