//! The writer dies, in the middle of everything.

use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, wait};

use crate::{LIMIT, all_rows, fleet, start_load};

/// Kills the writer again and again while events come in, starts it again each time, and verifies.
async fn killed_under_load(shards: Flavor) {
    const EVENTS: i64 = 100_000;
    let mut fleet = fleet(shards, FleetOptions::default()).await;
    let load = start_load(&fleet, 50, EVENTS);
    let mut kills = 0;
    let mut seen = 0;
    while kills < 5 {
        // Each time only after new rows have come: so it is killed at work, not at its start.
        let more = async || all_rows(&fleet).await > seen;
        wait::until("new rows", LIMIT, more).await.unwrap();
        seen = all_rows(&fleet).await;
        if seen == EVENTS {
            break;
        }
        fleet.writer().kill();
        kills += 1;
        fleet.writer().restart().await.unwrap();
    }
    load.await.unwrap().unwrap();
    assert!(kills >= 3, "the load was over after {kills} kills: it proves too little");
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    assert_eq!(all_rows(&fleet).await, EVENTS);
}

#[tokio::test]
async fn a_writer_killed_under_load_neither_loses_nor_doubles_a_row_on_sqlite() {
    killed_under_load(Flavor::Sqlite).await;
}

#[tokio::test]
async fn a_writer_killed_under_load_neither_loses_nor_doubles_a_row_on_postgres() {
    killed_under_load(Flavor::Postgres).await;
}

#[tokio::test]
async fn a_writer_killed_under_load_neither_loses_nor_doubles_a_row_on_mysql() {
    killed_under_load(Flavor::Mysql).await;
}

#[tokio::test]
async fn a_writer_told_to_stop_under_load_ends_well_and_the_next_one_goes_on() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions { idle_advance_ms: 60_000, ..FleetOptions::default() }).await;
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "7", "--count", "20000"];
    let (load, stopped) = tokio::join!(fleet.load(&args), async {
        wait::until("rows", LIMIT, async || all_rows(&fleet).await > 0).await
    });
    stopped.unwrap();
    assert_eq!(load.unwrap().accepted, 20_000);
    assert!(fleet.writer().stop().success());
    fleet.writer().restart().await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 20_000);
}
