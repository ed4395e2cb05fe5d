//! A reader's consumer gives nothing any more, although the server answers and the journal has
//! more.

use std::time::Duration;

use async_nats::{
    ConnectOptions,
    jetstream::{self, Context},
};
use futures::TryStreamExt;
use serde_json::json;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, NatsUser, wait};

use crate::{
    LIMIT, all_rows,
    asked::{get, is_ready, is_unready, post},
    fleet,
};

/// One partition.
fn options() -> FleetOptions {
    FleetOptions { partitions: 1.try_into().unwrap(), ..FleetOptions::default() }
}

async fn operator(fleet: &Fleet) -> Context {
    jetstream::new(fleet.login(NatsUser::Operator).connect(ConnectOptions::new()).await.unwrap())
}

/// Pauses every consumer that the partition has now; returns how many that were.
async fn pause_all(jetstream: &Context) -> usize {
    let stream = jetstream.get_stream("JOURNAL-0").await.unwrap();
    let names: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    for name in &names {
        let paused: serde_json::Value = jetstream
            .request(format!("CONSUMER.PAUSE.JOURNAL-0.{name}"), &json!({"pause_until": "2099-01-01T00:00:00Z"}))
            .await
            .unwrap();
        assert!(paused["paused"].as_bool() == Some(true) || paused["error"]["code"] == 404, "{paused}");
    }
    names.len()
}

#[tokio::test]
async fn a_reader_whose_consumer_is_paused_gets_a_new_one_and_the_lag_is_told_meanwhile() {
    let mut fleet = fleet(Flavor::Sqlite, options()).await;
    assert_eq!(post(&fleet, "1").await.0, 202);
    wait::until("a row", LIMIT, async || all_rows(&fleet).await == 1).await.unwrap();
    assert!(pause_all(&operator(&fleet).await).await >= 1);
    for _ in 0..3 {
        assert_eq!(post(&fleet, "1").await.0, 202);
    }
    let writer = fleet.writer_url(0);
    let lag = async || {
        let told = get(&format!("{writer}/lanes")).await.1;
        let lane = told["lanes"].as_array().unwrap().iter().find(|lane| lane["behind_messages"] == 3);
        lane.is_some_and(|lane| lane["behind_seconds"].as_f64() > Some(0.5))
            && told["partitions"]["0"]["unread_messages"] == 3
    };
    wait::until("the lag, from the journal's end", LIMIT, lag).await.unwrap();
    let late = Duration::from_secs(15);
    wait::until("the rows, by a new consumer", late, async || all_rows(&fleet).await == 4).await.unwrap();
    let log = std::fs::read_to_string(fleet.writer().log()).unwrap();
    assert!(log.contains("although 3 messages wait: a new consumer is made"), "{log}");
}

#[tokio::test]
async fn a_partition_that_does_not_get_on_makes_its_writer_unready_until_it_does() {
    let writer_args = ["--stalled-after-s", "6"].map(str::to_owned).to_vec();
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions { writer_args, ..options() }).await;
    let writer = fleet.writer_url(0);
    is_ready(&writer).await;
    fleet.directory().kill();
    // Nobody knows yet where this customer's rows belong.
    assert_eq!(post(&fleet, "1").await.0, 202);
    let told = is_unready(&writer, "partition 0 has stood still for").await;
    let reason = told["reasons"][0].as_str().unwrap();
    assert!(reason.contains("there is more to read, waiting for the directory"), "{told}");
    let metrics = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{writer}/metrics"));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    for line in [r#"sluice_partition_unread_messages{partition="0"} 1"#, "sluice_lane_behind_seconds{"] {
        assert!(metrics.lines().any(|told| told.starts_with(line)), "{line}: {metrics}");
    }
    fleet.directory().restart().await.unwrap();
    is_ready(&writer).await;
    wait::until("the row", LIMIT, async || all_rows(&fleet).await == 1).await.unwrap();
}
