//! Readiness means that a service has heard from what it needs, and says what it misses.

use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions};

use crate::{
    asked::{get, is_ready, is_ready_and_warns, is_unready},
    fleet,
};

fn services(fleet: &Fleet) -> [String; 3] {
    [fleet.ingest_url(), fleet.directory_url(), fleet.writer_url(0)]
}

#[tokio::test]
async fn no_service_is_ready_while_nats_is_away_or_hangs_and_each_says_so() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    fleet.nats().kill();
    for url in services(&fleet) {
        let told = is_unready(&url, "NATS is not reachable").await;
        assert_eq!((&told["code"], &told["status"]), (&"not_ready".into(), &503.into()), "{url} {told}");
        assert_eq!(get(&format!("{url}/livez")).await.0, 200);
    }
    let metrics = reqwest::Client::builder().no_proxy().build().unwrap();
    let metrics = metrics.get(format!("{}/metrics", fleet.ingest_url())).send().await.unwrap().text().await.unwrap();
    assert!(!metrics.contains("not_ready"), "no user has that problem: {metrics}");
    fleet.nats().restart().await.unwrap();
    for url in services(&fleet) {
        is_ready(&url).await;
    }
    // Its connections stay open.
    fleet.nats().freeze();
    for url in services(&fleet) {
        is_unready(&url, "NATS").await;
    }
    fleet.nats().thaw();
    for url in services(&fleet) {
        is_ready(&url).await;
    }
}

#[tokio::test]
async fn a_shard_that_is_merely_away_is_a_warning_and_the_writer_stays_ready() {
    let mut fleet = fleet(Flavor::Postgres, FleetOptions { shard_count: 2, ..FleetOptions::default() }).await;
    fleet.servers()[1].stop();
    let told = is_ready_and_warns(&fleet.writer_url(0), "shard shard2 is not written to").await;
    assert_eq!(told["status"], "ready");
    fleet.servers()[1].restart().await.unwrap();
    let writer = fleet.writer_url(0);
    let mended = async || get(&format!("{writer}/readyz")).await.1["warnings"].as_array().is_some_and(Vec::is_empty);
    sluice_testbed::wait::until("no warning any more", crate::LIMIT, mended).await.unwrap();
}
