//! Many lines in one request.

use std::fmt::Write;

use futures::stream;
use reqwest::Body;
use sluice_testbed::wait;

use super::{ADA, NDJSON, client, door, errors, post, read, told};
use crate::{LIMIT, all_rows, asked::is_ready};

#[tokio::test]
async fn each_refused_line_is_told_by_its_number_and_spoils_no_other() {
    let fleet = door(&[]).await;
    let long = "x".repeat((64 << 10) + 1);
    let lines =
        [ADA, "nonsense", "", r#"{"name":"a"}"#, ADA, &long, r#"{"name":"a\u0000","address":""}"#, ADA].join("\n");
    let (status, report) = told(post(&fleet, "1").header(NDJSON.0, NDJSON.1).body(lines)).await;
    assert_eq!(
        (status, &report["accepted"], &report["rejected"], &report["lines"]),
        (202, &3.into(), &4.into(), &8.into())
    );
    let named = [(2, "malformed_json"), (4, "invalid_event"), (6, "too_long"), (7, "nul_character")];
    assert_eq!(errors(&report), named.map(|(line, code)| (line, code.to_owned())));
    assert_eq!(
        (&report["errors"][1]["pointer"], &report["errors"][3]["pointer"]),
        (&"/address".into(), &"/name".into())
    );
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && all_rows(&fleet).await == 3, "{verified:?}");
}

#[tokio::test]
async fn lines_of_many_customers_packed_by_gzip_or_zstd_go_to_each_of_them() {
    let fleet = door(&[]).await;
    let mut lines = String::new();
    for n in 0..5_000 {
        writeln!(lines, r#"{{"customer_id":"c{}","name":"n{n}","address":"a"}}"#, n % 700).unwrap();
    }
    for (encoding, body) in
        [("gzip", pack("gzip", &lines).await), ("zstd", zstd::encode_all(lines.as_bytes(), 1).unwrap())]
    {
        let request = client().post(format!("{}/person", fleet.ingest_url())).header(NDJSON.0, NDJSON.1);
        let (status, report) = told(request.header("content-encoding", encoding).body(body)).await;
        assert_eq!((status, &report["accepted"]), (202, &5_000.into()), "{encoding}: {report}");
    }
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && all_rows(&fleet).await == 10_000, "{verified:?}");
}

/// By the tool that everybody has.
async fn pack(tool: &str, text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    std::fs::write(&path, text).unwrap();
    tokio::process::Command::new(tool).arg("-c").arg(&path).output().await.unwrap().stdout
}

/// 64 MiB, a piece at a time: the suite's measure of what an upload of any size takes. (Of 1 GB the notes in docs/LIMITS.md tell.)
#[tokio::test]
async fn an_upload_is_never_held_as_a_whole() {
    const PIECES: usize = 1_024;
    let mut fleet = door(&[]).await;
    assert_eq!(told(post(&fleet, "1").body(ADA)).await.0, 202);
    let idle = fleet.ingest().memory().unwrap().resident;
    let line = format!("{{\"name\":\"{}\",\"address\":\"{}\"}}\n", "n".repeat(900), "a".repeat(3_100));
    let piece = line.repeat(16);
    let events = PIECES * 16;
    let pieces = stream::iter((0..PIECES).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let answer = post(&fleet, "1").header(NDJSON.0, NDJSON.1).body(Body::wrap_stream(pieces)).send().await.unwrap();
    let (status, report) = read(answer).await;
    assert_eq!((status, &report["accepted"]), (202, &events.into()), "{report}");
    let peak = fleet.ingest().memory().unwrap().peak;
    assert!(peak < idle + (48 << 20), "{} MiB more than idle", (peak - idle) >> 20);
    assert!(fleet.verify().await.unwrap().ok);
}

#[tokio::test]
async fn where_the_journal_goes_away_an_upload_ends_with_what_is_stored_and_what_is_not() {
    let mut fleet = door(&["--ack-timeout-ms", "1000"]).await;
    let piece = format!("{ADA}\n").repeat(200);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let pieces = stream::unfold((), move |()| {
        let (piece, more) = (piece.clone(), !*stopped.borrow());
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            more.then_some((Ok::<_, std::io::Error>(piece), ()))
        }
    });
    let request = post(&fleet, "1").header(NDJSON.0, NDJSON.1).body(Body::wrap_stream(pieces));
    let upload = tokio::spawn(request.send());
    wait::until("rows", LIMIT, async || all_rows(&fleet).await > 1_000).await.unwrap();
    fleet.nats().kill();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    stop.send(true).unwrap();
    let (status, report) = read(upload.await.unwrap().unwrap()).await;
    fleet.nats().restart().await.unwrap();
    // The verifier asks it over NATS.
    is_ready(&fleet.directory_url()).await;
    assert!(status == 503 || status == 504, "{status} {report}");
    let failed = report["failed"].as_u64().unwrap();
    let named = errors(&report).len() as u64 + report["errors_omitted"].as_u64().unwrap();
    assert!(failed > 0 && named == failed, "{report}");
    // The directory comes back by itself. Until then there is nobody to ask.
    wait::until("the directory answers", LIMIT, async || fleet.verify().await.is_ok()).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    let (rows, accepted) = (all_rows(&fleet).await, report["accepted"].as_i64().unwrap());
    assert!(
        verified.ok && rows >= accepted && rows <= accepted + i64::try_from(failed).unwrap(),
        "{rows} rows, {report}"
    );
    assert_eq!(told(post(&fleet, "1").body(ADA)).await.0, 202, "ingest goes on");
}
