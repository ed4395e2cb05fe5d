//! What those who post meet.

use std::fmt::Write;

use reqwest::Client;
use serde_json::Value;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions};

use super::set_max_payload;
use crate::{all_rows, fleet};

/// Lines of customers `0` to `9`, one after the other.
fn lines(count: usize) -> String {
    let mut lines = String::new();
    for n in 0..count {
        writeln!(lines, r#"{{"customer_id":"{}","name":"n{n}","address":"{}"}}"#, n % 10, "a".repeat(60)).unwrap();
    }
    lines
}

async fn upload(fleet: &Fleet, lines: String) -> (u16, Value) {
    let request = Client::builder().no_proxy().build().unwrap().post(format!("{}/person", fleet.ingest_url()));
    let answer = request.header("content-type", "application/x-ndjson").body(lines).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// An upload by which ingest finds out that the server takes less; gives how many lines are stored.
/// NATS cuts the connection then: lines that come before it is back are told to come again, and no
/// outcome is unknown.
async fn finds_out(fleet: &Fleet, lines: String) -> i64 {
    let (status, report) = upload(fleet, lines).await;
    let errors = report["errors"].as_array().unwrap();
    let known = errors.iter().all(|error| error["retry_safe"] == true && error["code"] == "journal_unreachable");
    assert!((status == 202 && errors.is_empty()) || (status == 503 && known), "{status} {report}");
    report["accepted"].as_i64().unwrap()
}

async fn limit(fleet: &mut Fleet, bytes: usize) {
    let (folder, url) = (fleet.folder().join("nats"), fleet.nats_url());
    set_max_payload(fleet.nats(), &folder, &url, bytes).await;
}

#[tokio::test]
async fn uploads_are_stored_whatever_the_server_takes_and_what_is_too_large_is_told_by_its_line() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions { shard_count: 1, ..FleetOptions::default() }).await;
    assert_eq!(upload(&fleet, lines(100)).await.0, 202);
    let mut stored = 100;
    // Nobody is told; the first upload finds out.
    limit(&mut fleet, 64 << 10).await;
    stored += finds_out(&fleet, lines(20_000)).await;
    let (status, report) = upload(&fleet, lines(20_000)).await;
    assert_eq!((status, &report["accepted"]), (202, &20_000.into()), "{report}");
    limit(&mut fleet, 8 << 10).await;
    stored += finds_out(&fleet, lines(2_000)).await;
    let large = format!(r#"{{"customer_id":"1","name":"n","address":"{}"}}"#, "\\u0001".repeat(4_000));
    let mixed = format!("{}{large}\n{}", lines(2_000), lines(2_000));
    for _ in 0..2 {
        let (status, report) = upload(&fleet, mixed.clone()).await;
        assert_eq!((status, &report["accepted"], &report["rejected"]), (202, &4_000.into(), &1.into()), "{report}");
        let error = &report["errors"][0];
        assert_eq!((&error["line"], &error["code"]), (&2_001.into(), &"message_too_large".into()), "{report}");
        assert!(error["detail"].as_str().unwrap().contains("4096"), "the limit is named: {report}");
    }
    let one = Client::builder().no_proxy().build().unwrap().post(format!("{}/person/1", fleet.ingest_url()));
    let large = large.replace(r#""customer_id":"1","#, "");
    let answer: Value = one.body(large).send().await.unwrap().json().await.unwrap();
    let told = (&answer["status"], &answer["code"], &answer["pointer"], &answer["retry_safe"]);
    assert_eq!(told, (&413.into(), &"message_too_large".into(), &"".into(), &false.into()), "{answer}");

    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && verified.dead_letters == 0, "{verified:?}");
    assert_eq!(all_rows(&fleet).await, stored + 20_000 + 2 * 4_000);
}

/// With a thousand customers a reader's questions, and the directory's answers, are larger than
/// such a server takes at once.
#[tokio::test]
async fn a_thousand_new_customers_find_their_shards_where_the_server_takes_little() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions { shard_count: 2, ..FleetOptions::default() }).await;
    limit(&mut fleet, 16 << 10).await;
    fleet.writer().stop();
    let mut lines = String::new();
    for n in 0..2_000 {
        writeln!(lines, r#"{{"customer_id":"{n:0>60}","name":"n","address":"a"}}"#).unwrap();
    }
    let (status, report) = upload(&fleet, lines).await;
    assert_eq!((status, &report["accepted"]), (202, &2_000.into()), "{report}");
    fleet.writer().restart().await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 2_000);
}
