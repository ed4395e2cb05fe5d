//! A journal on three NATS servers, of which some are lost.

mod copies;
mod electing;
mod witness;

use std::process::Stdio;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, NatsUser, wait};
use tokio::process::{Child, Command};

use crate::{LIMIT, all_rows, fleet};
use witness::Witness;

/// Two partitions: as many leaders as a test can follow on a small machine.
fn three() -> FleetOptions {
    FleetOptions { nats_nodes: 3, partitions: 2.try_into().unwrap(), ..FleetOptions::default() }
}

/// `loadgen run` over HTTP and over NATS at once, until it is told to stop.
struct Load([Child; 2]);

impl Load {
    fn begin(fleet: &Fleet) -> Self {
        let ingest = fleet.ingest_url();
        let ways = [vec!["--via", "http", "--url", &ingest], vec!["--via", "nats"]];
        Self(ways.map(|way| {
            let mut command = Command::new(fleet.program("loadgen"));
            fleet.login(NatsUser::Publisher).give_to(&mut command);
            command.arg("run").args(way).args(["--customers", "20", "--count", "100000000", "--timeout-ms", "6000"]);
            // Few at a time: what is refused is refused at once, and the next one follows; and under much load a server that was
            // away needs half a minute until it has all that it missed.
            command.args(["--concurrency", "1"]).env("RUST_LOG", "off").kill_on_drop(true);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        }))
    }

    async fn end(self) {
        for mut way in self.0 {
            let pid = way.id().expect("it has not been waited for");
            kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGINT).unwrap();
            let status = tokio::time::timeout(LIMIT, way.wait()).await.expect("loadgen ends when told to").unwrap();
            // 1: some were refused, or nobody knows of them. 130: none were.
            assert!(matches!(status.code(), Some(1 | 130)), "{status}");
        }
    }
}

/// What has to hold in the end, whatever happened.
async fn nothing_is_lost_or_doubled(fleet: &Fleet, load: Load, witness: Witness) -> [usize; 3] {
    load.end().await;
    let heard = witness.end().await;
    fleet.wait_until_copies_are_current(LIMIT).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    heard.is_what_the_journal_says(fleet).await
}

/// Waits until the writer has made rows of what came since now.
async fn rows_come(fleet: &Fleet) {
    let before = all_rows(fleet).await;
    wait::until("new rows", LIMIT, async || all_rows(fleet).await > before).await.unwrap();
}

#[tokio::test]
async fn every_stream_and_bucket_of_a_fleet_on_three_servers_has_three_copies() {
    let fleet = fleet(Flavor::Sqlite, three()).await;
    assert_eq!(fleet.load(&["--customers", "5", "--count", "50"]).await.unwrap().accepted, 50);
    let names = async || {
        let streams = fleet.streams().await.unwrap_or_default();
        streams.into_iter().map(|stream| stream.stream).collect::<Vec<_>>()
    };
    // The writers make their bucket when they first trim.
    let made = async || names().await.iter().any(|name| name == "KV_sluice_trim");
    wait::until("the bucket of what was trimmed", LIMIT, made).await.unwrap();
    fleet.wait_until_copies_are_current(LIMIT).await.unwrap();
    let streams = fleet.streams().await.unwrap();
    for wanted in ["DEAD", "JOURNAL-0", "JOURNAL-1", "KV_sluice_trim"] {
        assert!(streams.iter().any(|stream| stream.stream == wanted), "{wanted} is not among {streams:?}");
    }
    for stream in &streams {
        assert_eq!((stream.replicas, stream.current), (3, 3), "{stream:?}");
    }
    assert!(fleet.verify().await.unwrap().ok);
}

#[tokio::test]
async fn each_of_three_servers_may_be_killed_under_load_the_leaders_among_them() {
    let mut fleet = fleet(Flavor::Sqlite, three()).await;
    let (load, witness) = (Load::begin(&fleet), Witness::begin(&fleet).await);
    witness.goes_on(LIMIT).await;
    rows_come(&fleet).await;
    let first = fleet.leader_of("JOURNAL-0").await.unwrap().expect("it takes events, so it has a leader");
    for node in [first, (first + 1) % 3, (first + 2) % 3] {
        fleet.wait_until_copies_are_current(LIMIT).await.unwrap();
        fleet.nats_nodes()[node].kill();
        witness.goes_on(LIMIT).await;
        if node == 0 {
            // A service that starts while the server named first is away finds another.
            fleet.writer().restart().await.unwrap();
        }
        rows_come(&fleet).await;
        fleet.nats_nodes()[node].restart().await.unwrap();
    }
    let [accepted, ..] = nothing_is_lost_or_doubled(&fleet, load, witness).await;
    assert!(accepted > 10, "{accepted} events prove too little");
}

#[tokio::test]
async fn a_leader_that_is_frozen_is_replaced_and_does_no_harm_when_it_wakes() {
    let mut fleet = fleet(Flavor::Sqlite, three()).await;
    let (load, witness) = (Load::begin(&fleet), Witness::begin(&fleet).await);
    witness.goes_on(LIMIT).await;
    fleet.wait_until_copies_are_current(LIMIT).await.unwrap();
    let node = fleet.leader_of("JOURNAL-1").await.unwrap().expect("it takes events, so it has a leader");
    fleet.nats_nodes()[node].freeze();
    witness.goes_on(LIMIT).await;
    rows_come(&fleet).await;
    // It wakes believing that it leads, with requests in hand that came while it slept.
    fleet.nats_nodes()[node].thaw();
    witness.goes_on(LIMIT).await;
    let leader = fleet.leader_of("JOURNAL-1").await.unwrap();
    assert!(leader.is_some());
    let [accepted, ..] = nothing_is_lost_or_doubled(&fleet, load, witness).await;
    assert!(accepted > 10, "{accepted} events prove too little");
}

#[tokio::test]
async fn while_two_of_three_servers_are_away_posts_are_refused_with_a_clear_answer_and_all_goes_on_by_itself() {
    let mut fleet = fleet(Flavor::Sqlite, three()).await;
    let (load, witness) = (Load::begin(&fleet), Witness::begin(&fleet).await);
    witness.goes_on(LIMIT).await;
    fleet.wait_until_copies_are_current(LIMIT).await.unwrap();
    let stays = fleet.leader_of("JOURNAL-0").await.unwrap().expect("it takes events, so it has a leader");
    let away = [(stays + 1) % 3, (stays + 2) % 3];
    for node in away {
        fleet.nats_nodes()[node].kill();
    }

    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
    let post = async || {
        let answer = client.post(format!("{}/person/1", fleet.ingest_url())).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    // 504 while the leader has not noticed yet that it leads nobody; then 503.
    let refused = async || {
        let (status, body) = post().await;
        assert!(matches!(status, 202 | 503 | 504), "{status}: {body}");
        status == 503 && body.contains("journal_without_leader") && body.contains("more than half of them are away")
    };
    wait::until("a post is refused with the reason", LIMIT, refused).await.unwrap();

    fleet.nats_nodes()[away[0]].restart().await.unwrap();
    witness.goes_on(LIMIT).await;
    rows_come(&fleet).await;
    fleet.nats_nodes()[away[1]].restart().await.unwrap();
    let [accepted, refused, unknown] = nothing_is_lost_or_doubled(&fleet, load, witness).await;
    assert!(accepted > 10 && refused + unknown > 0, "{accepted}, {refused}, {unknown}");
}
