//! The directory is down, or something is started while what it needs is.

use std::time::Duration;

use sluice_model::CustomerId;
use sluice_shard::Flavor;
use sluice_testbed::{
    Fleet, FleetOptions, Process, rows,
    traffic::{Load, Receiver, Traffic},
    wait,
};

use crate::{LIMIT, all_rows, fleet, under_load::go_on};

/// The first of these names whose partition is that one.
fn customer_of(fleet: &Fleet, name: &str, partition: u16) -> String {
    let mut names = (0..).map(|n| format!("{name}{n}"));
    names.find(|name| fleet.partitions().of(&name.parse::<CustomerId>().unwrap()).number() == partition).unwrap()
}

#[tokio::test]
async fn while_the_directory_is_down_an_unknown_customer_holds_its_partition_and_known_ones_of_the_other_go_on() {
    let options = FleetOptions { partitions: 2.try_into().unwrap(), shard_count: 2, ..FleetOptions::default() };
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let [held, free, new] = [("held", 0), ("free", 1), ("new", 0)].map(|(name, p)| customer_of(&fleet, name, p));
    let admin = fleet.admin().unwrap();
    admin.place(&held, "shard1").await.unwrap();
    admin.place(&free, "shard2").await.unwrap();
    let [one, two] = [0, 1].map(|shard| fleet.shards()[shard].address.clone());
    let receivers = vec![Receiver::small(&held), Receiver::small(&free)];
    let load = Load { receivers, messages_per_s: 300, events_per_message: 8 };
    let traffic = Traffic::start(&fleet, load).await.unwrap();
    go_on(&[&one, &two]).await;

    fleet.directory().kill();
    go_on(&[&one, &two]).await;
    let before = std::fs::read_to_string(fleet.writer().log()).unwrap().len();
    assert_eq!(fleet.load(&["--customer-list", &new, "--count", "1"]).await.unwrap().accepted, 1);
    says(fleet.writer(), before, "waiting for the directory").await;
    // What was read before it is written; nothing after it is, as nobody knows whose shard's position may pass it.
    go_on(&[&two]).await;
    let stopped = rows::count(&one).await.unwrap();
    go_on(&[&two]).await;
    assert_eq!(rows::count(&one).await.unwrap(), stopped);

    fleet.directory().restart().await.unwrap();
    go_on(&[&one, &two]).await;
    let sent = traffic.stop().await.unwrap();
    let all = i64::try_from(sent.total()).unwrap() + 1;
    wait::until("all rows", LIMIT, async || all_rows(&fleet).await == all).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && sent.unknown == 0, "{verified:?} {sent:?}");
}

/// The process says that, after what its log had in it already.
async fn says(process: &Process, after_bytes: usize, what: &str) {
    let said = async || std::fs::read_to_string(process.log()).unwrap()[after_bytes..].contains(what);
    wait::until(&format!("{} says {what:?}", process.name()), LIMIT, said).await.unwrap();
}

/// What one of the services answers there.
async fn status(url: &str, path: &str) -> Option<u16> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
    client.get(format!("{url}{path}")).send().await.ok().map(|answer| answer.status().as_u16())
}

/// It lives, and is not ready: soon, and still after a second.
async fn waits(url: &str) {
    let alive = async || status(url, "/livez").await == Some(200);
    wait::until(&format!("{url} is alive"), LIMIT, alive).await.unwrap();
    for _ in 0..10 {
        assert_eq!(status(url, "/readyz").await, Some(503), "{url}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_writer_started_while_the_directory_is_down_waits_and_says_so() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    assert_eq!(fleet.load(&["--customers", "5", "--count", "50"]).await.unwrap().accepted, 50);
    fleet.writer().kill();
    fleet.directory().kill();
    assert_eq!(fleet.load(&["--customers", "5", "--count", "50"]).await.unwrap().accepted, 50);
    let before = std::fs::read_to_string(fleet.writer().log()).unwrap().len();
    fleet.writer().restart_unready().unwrap();
    waits(&fleet.writer_url(0)).await;
    says(fleet.writer(), before, "waiting for the directory").await;
    fleet.directory().restart().await.unwrap();
    fleet.writer().wait_ready().await.unwrap();
    wait::until("100 rows", LIMIT, async || all_rows(&fleet).await == 100).await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
}

#[tokio::test]
async fn what_is_started_while_nats_is_down_waits_and_says_so() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    assert_eq!(fleet.load(&["--customers", "5", "--count", "50"]).await.unwrap().accepted, 50);
    wait::until("50 rows", LIMIT, async || all_rows(&fleet).await == 50).await.unwrap();
    fleet.nats().kill();
    let [directory, ingest, writer] = [fleet.directory_url(), fleet.ingest_url(), fleet.writer_url(0)];
    for process in fleet.processes().filter(|process| process.name() != "nats-server") {
        let before = std::fs::read_to_string(process.log()).unwrap().len();
        process.restart_unready().unwrap();
        says(process, before, "NATS").await;
    }
    for url in [&directory, &ingest, &writer] {
        waits(url).await;
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let refused = client.post(format!("{ingest}/person/1")).send().await.unwrap();
    let told = (refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap().to_owned());
    assert_eq!(told, (503, "1".to_owned()));
    let problem: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "starting");

    fleet.nats().restart().await.unwrap();
    for process in fleet.processes() {
        process.wait_ready().await.unwrap();
    }
    assert_eq!(fleet.load(&["--customers", "6", "--count", "60"]).await.unwrap().accepted, 60);
    wait::until("110 rows", LIMIT, async || all_rows(&fleet).await == 110).await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
}
