//! A short soak with a fixed seed; `cargo soak` runs longer ones.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use sluice_shard::Flavor;
use sluice_testbed::{
    Progress, Shards,
    soak::{self, SoakOptions},
};

async fn soaked(shards: impl Into<Shards>, seed: u64, nats_nodes: u16) {
    sluice_service::telemetry::init_for_test();
    let options = SoakOptions {
        minutes: 0.6,
        seed,
        shards: shards.into(),
        rate: 1_000,
        faults_per_minute: 40.0,
        nats_nodes,
        replicas: None,
        progress: Progress::Hidden,
    };
    let outcome = soak::run(&options).await.unwrap();
    assert!(outcome.fault_count() >= 15, "{outcome:?}");
    assert!(outcome.account.accepted > 10_000, "{outcome:?}");
    assert!(outcome.writer_changes_during_outages > 0, "{outcome:?}");
    assert!(outcome.is_right(), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_accounts_for_every_event_on_postgres() {
    soaked(Flavor::Postgres, 7, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_accounts_for_every_event_on_sqlite_and_a_cluster_of_three() {
    soaked(Flavor::Sqlite, 7, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_accounts_for_every_event_on_shards_of_each_engine() {
    soaked(Shards::Mixed, 7, 1).await;
}
