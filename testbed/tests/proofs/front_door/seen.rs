//! What can be seen of the work from outside: metrics, traces, the README's examples.

use sluice_testbed::wait;

use super::{ADA, NDJSON, client, door, post, told};
use crate::LIMIT;

async fn metrics(url: &str) -> String {
    client().get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap()
}

/// The value of the line that begins with this.
fn value(text: &str, metric: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok())
}

#[tokio::test]
async fn every_service_tells_prometheus_what_it_does() {
    let fleet = door(&[]).await;
    let lines = format!("{ADA}\nnonsense\n{ADA}\n");
    assert_eq!(told(post(&fleet, "1").header(NDJSON.0, NDJSON.1).body(lines)).await.0, 202);
    assert_eq!(told(post(&fleet, "1").body("{")).await.0, 400);
    assert_eq!(told(post(&fleet, "1").header("prefer", "wait=20").body(ADA)).await.0, 201);
    let ingest = metrics(&fleet.ingest_url()).await;
    for (metric, wanted) in [
        ("sluice_ingest_accepted_events_total", 3.0),
        ("sluice_ingest_refused_events_total{code=\"malformed_json\"}", 1.0),
        ("sluice_ingest_problems_total{code=\"malformed_json\"}", 1.0),
        ("sluice_ingest_publish_seconds_count", 2.0),
        ("sluice_ingest_commit_seconds_count", 1.0),
        // The one that asks.
        ("sluice_ingest_requests_in_flight", 1.0),
    ] {
        assert_eq!(value(&ingest, metric), Some(wanted), "{metric} in\n{ingest}");
    }
    let settled = async || {
        let writer = metrics(&fleet.writer_url(0)).await;
        let rows: f64 = ["0", "1"]
            .iter()
            .filter_map(|worker| {
                value(&writer, &format!("sluice_lane_rows_total{{shard=\"shard1\",worker=\"{worker}\"}}"))
            })
            .sum();
        let live = writer.lines().filter(|line| line.contains("state=\"live\"") && line.ends_with(" 1")).count();
        let kept =
            writer.contains("sluice_journal_messages{partition=") && writer.contains("sluice_lane_behind_messages{");
        (rows - 3.0).abs() < f64::EPSILON && live == 2 && kept && writer.contains("sluice_lane_commit_seconds_bucket{")
    };
    wait::until("the writer's metrics", LIMIT, settled).await.unwrap();
    let directory = metrics(&fleet.directory_url()).await;
    assert!(
        value(&directory, "sluice_directory_request_seconds_count{face=\"nats\"}").is_some_and(|n| n > 0.0),
        "{directory}"
    );
}

#[tokio::test]
async fn a_recorded_trace_is_followed_through_the_journal_into_the_writers_log() {
    let mut fleet = door(&[]).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer =
        post(&fleet, "1").header("traceparent", trace).header("prefer", "wait=20").body(ADA).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let log = fleet.writer().log().to_owned();
    let told = async || {
        std::fs::read_to_string(&log).unwrap().lines().any(|line| line.contains(trace) && line.contains("committed"))
    };
    wait::until("the trace in the writer's log", LIMIT, told).await.unwrap();
}

/// Every `curl` of the README that goes to ingest, run as it stands there against this fleet.
#[tokio::test]
async fn the_curl_examples_of_the_readme_do_what_they_say() {
    let fleet = door(&[]).await;
    let readme = include_str!("../../../../README.md");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("people.ndjson"), format!("{ADA}\n{ADA}\n")).unwrap();
    let mut ran = 0;
    for line in readme.lines().filter(|line| line.starts_with("curl ") && line.contains("http://127.0.0.1:8080")) {
        let command = line.split(" # ").next().unwrap().replace("http://127.0.0.1:8080", &fleet.ingest_url());
        let done = std::process::Command::new("sh").args(["-c", &command]).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let expected = line.split(" # ").nth(1).unwrap_or_else(|| panic!("{line} does not say what comes")).trim();
        assert!(done.status.success() && said.contains(expected), "{line}\n{said}");
        ran += 1;
    }
    assert!(ran >= 4, "{ran} examples");
    assert!(fleet.verify().await.unwrap().ok);
}
