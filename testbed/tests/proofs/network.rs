//! What lies between a writer and its shard breaks, or one of the two hangs.

use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, FleetShard, proxy::Proxy, rows, wait};

use crate::{LIMIT, all_rows, fleet, one_full_partition, start_load};

/// Puts a further shard into the fleet, which is reached through a proxy, and a customer of that name onto it.
async fn shard_behind_a_proxy(fleet: &mut Fleet) -> (FleetShard, Proxy) {
    let server = &fleet.servers()[0];
    server.create_database("proxied").await.unwrap();
    let proxy = Proxy::before(server.port()).await.unwrap();
    let mut address = server.address("proxied");
    address.port = proxy.port();
    let shard = FleetShard { name: "proxied".to_owned(), address };
    let admin = fleet.admin().unwrap();
    admin.register(std::slice::from_ref(&shard)).await.unwrap();
    admin.place("far", "proxied").await.unwrap();
    (shard, proxy)
}

async fn answers_to_commits_are_lost(shards: Flavor) {
    const LOST: u64 = 25;
    let mut fleet = fleet(shards, FleetOptions { shard_count: 1, ..FleetOptions::default() }).await;
    let (shard, proxy) = shard_behind_a_proxy(&mut fleet).await;
    proxy.lose_commit_answers(LOST);
    let mut sent = 0;
    // A few events at a time, so that there are that many commits.
    let all_lost = async {
        while proxy.lost() < LOST {
            assert_eq!(fleet.load(&["--customer-list", "far", "--count", "40"]).await.unwrap().accepted, 40);
            sent += 40;
        }
    };
    tokio::time::timeout(LIMIT, all_lost).await.expect("a lost answer is followed by another commit");
    let there = async || rows::count(&shard.address).await.is_ok_and(|shard| shard.rows == sent);
    wait::until("every row, once", LIMIT, there).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_neither_loses_nor_doubles_a_row_on_postgres() {
    answers_to_commits_are_lost(Flavor::Postgres).await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_neither_loses_nor_doubles_a_row_on_mysql() {
    answers_to_commits_are_lost(Flavor::Mysql).await;
}

#[tokio::test]
async fn a_shard_that_hangs_without_a_word_delays_no_other() {
    let options = FleetOptions { shard_count: 1, ..one_full_partition() };
    let mut fleet = fleet(Flavor::Postgres, options).await;
    let (shard, proxy) = shard_behind_a_proxy(&mut fleet).await;
    fleet.admin().unwrap().place("near", "shard1").await.unwrap();
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customer-list", "near,far", "--count", "20000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 20_000);
    proxy.hold();
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 20_000);
    let near = async || rows::count(&fleet.shards()[0].address).await.is_ok_and(|shard| shard.rows == 20_000);
    wait::until("all rows of the shard that answers", LIMIT, near).await.unwrap();
    proxy.release();
    let there = async || rows::count(&shard.address).await.is_ok_and(|shard| shard.rows == 20_000);
    wait::until("all rows of the shard that hung", LIMIT, there).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

/// Frozen between transactions: one that is frozen inside of one keeps its shard's locks, and its shard waits for it (or, on
/// PostgreSQL, for `idle_in_transaction_session_timeout`).
#[tokio::test]
async fn a_writer_that_slept_while_another_went_on_does_no_harm_when_it_wakes() {
    let writer_args = ["--takeover-ms", "1000"].map(str::to_owned).to_vec();
    let options = FleetOptions { writers: 2, writer_args, idle_advance_ms: 60_000, ..FleetOptions::default() };
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "30", "--count", "15000"];
    for round in 1..=4 {
        fleet.writers()[round % 2].freeze();
        assert_eq!(fleet.load(&args).await.unwrap().accepted, 15_000);
        let stored = async || all_rows(&fleet).await == 15_000 * round as i64;
        wait::until("all rows, by the writer that is awake", LIMIT, stored).await.unwrap();
        // It wakes with what it had read before it slept, or reads what the other has stored already.
        fleet.writers()[round % 2].thaw();
    }
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 15_000);
    let stored = async || all_rows(&fleet).await == 75_000;
    wait::until("all rows, by both", LIMIT, stored).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

async fn server_killed_under_load(shards: Flavor) {
    let mut fleet = fleet(shards, FleetOptions { shard_count: 2, ..FleetOptions::default() }).await;
    let load = start_load(&fleet, 20, 60_000);
    let mut kills = 0;
    while kills < 4 {
        let before = all_rows(&fleet).await;
        let more = async || all_rows(&fleet).await > before;
        if before == 60_000 || wait::until("new rows", LIMIT / 6, more).await.is_err() {
            break;
        }
        kills += 1;
        fleet.servers()[0].kill();
        fleet.servers()[0].restart().await.unwrap();
    }
    load.await.unwrap().unwrap();
    assert!(kills >= 2, "the load was over after {kills} kills: it proves too little");
    let stored = async || all_rows(&fleet).await == 60_000;
    wait::until("all rows", LIMIT, stored).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

#[tokio::test]
async fn postgres_killed_under_load_comes_back_with_rows_and_positions_that_agree() {
    server_killed_under_load(Flavor::Postgres).await;
}

#[tokio::test]
async fn mariadb_killed_under_load_comes_back_with_rows_and_positions_that_agree() {
    server_killed_under_load(Flavor::Mysql).await;
}
