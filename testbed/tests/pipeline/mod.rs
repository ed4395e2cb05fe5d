//! What a fleet of any engine has to do.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use sluice_testbed::{Fleet, FleetOptions, Shards, rows, wait};

const LIMIT: Duration = Duration::from_secs(60);

async fn start(options: FleetOptions) -> Fleet {
    sluice_service::telemetry::init_for_test();
    let fleet = Fleet::start(FleetOptions { durable_shards: false, ..options }).await.unwrap();
    let admin = fleet.admin().unwrap();
    for (customer, shard) in ["1", "2", "3"].iter().zip(fleet.shards()) {
        admin.place(customer, &shard.name).await.unwrap();
    }
    fleet
}

async fn post(fleet: &Fleet, customer: &str, body: &'static str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}/person/{customer}", fleet.ingest_url())).header("X-Customer-ID", customer);
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(answer["success"], true);
    assert!(answer["id"].is_string(), "{answer}");
}

/// Rows and customers of each shard, once there are as many as wanted.
async fn wait_for_rows(fleet: &Fleet, wanted: [(i64, i64); 3]) {
    let count = |index: usize| rows::count(&fleet.shards()[index].address);
    let as_wanted = || async {
        let found = futures::future::join_all((0..3).map(count)).await;
        found.into_iter().map(|shard| shard.map(|s| (s.rows, s.customers)).unwrap_or_default()).eq(wanted)
    };
    wait::until(&format!("rows and customers {wanted:?}"), LIMIT, as_wanted).await.unwrap();
}

pub(crate) async fn what_is_posted_and_what_is_published_become_rows_of_the_right_shard(shards: impl Into<Shards>) {
    let mut fleet = start(FleetOptions { shards: shards.into(), ..FleetOptions::default() }).await;
    assert!(fleet.processes().all(|process| process.is_running()));

    post(&fleet, "1", r#"{"name":"Ada","address":"London"}"#).await;
    post(&fleet, "3", "").await;
    let nats = fleet.nats_client().await.unwrap();
    nats.publish("person.create.2", r#"{"name":"Grace","address":"New York"}"#.into()).await.unwrap();
    nats.flush().await.unwrap();
    wait_for_rows(&fleet, [(1, 1), (1, 1), (1, 1)]).await;

    let load = fleet.load(&["--customers", "1,2,3", "--count", "300", "--empty-body"]).await.unwrap();
    assert_eq!((load.accepted, load.failed), (300, 0));
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    assert_eq!(verified.shards.iter().map(|s| (s.rows, s.customers)).collect::<Vec<_>>(), [(101, 1); 3]);
    fleet.stop();
}

#[allow(dead_code, reason = "one engine is enough for this: the fleet's folder is the same for all")]
pub(crate) async fn a_kept_fleet_goes_on_with_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let options = FleetOptions { dir: Some(folder.path().join("kept")), ..FleetOptions::default() };
    let fleet = start(options.clone()).await;
    let before = fleet.describe();
    post(&fleet, "2", "").await;
    fleet.stop();

    let fleet = start(options).await;
    let after = fleet.describe();
    assert_eq!((&after.ingest, &after.directory, &after.nats), (&before.ingest, &before.directory, &before.nats));
    post(&fleet, "2", "").await;
    wait_for_rows(&fleet, [(0, 0), (2, 1), (0, 0)]).await;
    assert!(fleet.verify().await.unwrap().ok);
}
