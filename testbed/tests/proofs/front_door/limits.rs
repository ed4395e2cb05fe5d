//! Slow clients, many clients, and a stop.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use sluice_testbed::wait;

use super::{ADA, door, post, told};
use crate::LIMIT;

async fn connect(fleet: &sluice_testbed::Fleet) -> TcpStream {
    TcpStream::connect(fleet.ingest_url().trim_start_matches("http://")).await.unwrap()
}

/// What comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut text)).await;
    assert!(closed.is_ok(), "the connection stays open");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn connections_that_dawdle_are_closed_while_others_are_served() {
    let fleet = door(&["--header-timeout-ms", "1000", "--body-timeout-ms", "1000"]).await;
    let mut slow = Vec::new();
    for n in 0..300 {
        let mut stream = connect(&fleet).await;
        let text = match n % 3 {
            0 => "",
            1 => "POST /person/1 HTTP/1.1\r\nHost: x\r\nX-Slow",
            _ => "POST /person/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        slow.push((n % 3, stream));
    }
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(told(post(&fleet, "1").body(ADA)).await.0, 202);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    for (kind, mut stream) in slow {
        let answer = rest(&mut stream).await;
        if kind == 2 {
            assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
        }
    }
}

#[tokio::test]
async fn beyond_the_most_connections_one_more_is_closed_and_a_place_that_becomes_free_is_taken() {
    let fleet = door(&["--max-connections", "4"]).await;
    // The fleet itself may still have some open.
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(connect(&fleet).await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rest(&mut connect(&fleet).await).await, "");
    held.clear();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(told(post(&fleet, "1").body(ADA)).await.0, 202);
}

#[tokio::test]
async fn told_to_stop_ingest_answers_what_it_has_taken_and_takes_no_more() {
    let mut fleet = door(&[]).await;
    let mut under_way = connect(&fleet).await;
    let head = format!("POST /person/1 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", ADA.len());
    under_way.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let address = fleet.ingest_url().trim_start_matches("http://").to_owned();
    fleet.ingest().tell_to_stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(TcpStream::connect(&address).await.is_err(), "it takes no more");
    under_way.write_all(ADA.as_bytes()).await.unwrap();
    let answer = rest(&mut under_way).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let mut ended = None;
    let all_done = || {
        ended = fleet.ingest().ended();
        std::future::ready(ended.is_some())
    };
    wait::until("ingest's end", LIMIT, all_done).await.unwrap();
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(crate::all_rows(&fleet).await, 1);
}

#[tokio::test]
async fn where_others_could_listen_ingest_wants_tls_or_to_be_told_that_it_is_not_needed() {
    let fleet = door(&[]).await;
    let done =
        tokio::process::Command::new(fleet.program("ingest")).args(["--listen", "0.0.0.0:0"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("--plaintext") && said.contains("--tls-cert"), "{said}");
}
