//! The limits of the listener, over HTTP/2.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use futures::{future::join_all, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{ADA, TlsIngest, door};
use crate::all_rows;

type Body = BoxBody<Bytes, Infallible>;

/// A connection, and what tells when it is closed.
async fn connect(ingest: &TlsIngest) -> (SendRequest<Body>, tokio::task::JoinHandle<Result<(), hyper::Error>>) {
    let stream = ingest.connect(&["h2"]).await.unwrap();
    let (requests, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (requests, tokio::spawn(connection))
}

fn post(ingest: &TlsIngest, body: Body) -> Request<Body> {
    Request::post(format!("{}/person/1", ingest.url())).body(body).unwrap()
}

fn whole(text: &'static str) -> Body {
    Full::new(Bytes::from_static(text.as_bytes())).boxed()
}

/// A body that begins and does not end.
fn endless() -> Body {
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"{")))]);
    let never = stream::pending();
    StreamBody::new(futures::StreamExt::chain(first, never)).boxed()
}

async fn text(answer: Response<Incoming>) -> (u16, String) {
    let status = answer.status().as_u16();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn over_http_2_a_slow_body_is_given_up_while_its_connection_serves_others_and_an_idle_connection_ends() {
    let fleet = door(&[]).await;
    let ingest = TlsIngest::start(&fleet, &["--header-timeout-ms", "1500", "--body-timeout-ms", "1000"]).await;
    let (mut requests, closed) = connect(&ingest).await;
    let slow = requests.send_request(post(&ingest, endless()));
    for _ in 0..5 {
        assert_eq!(requests.send_request(post(&ingest, whole(ADA))).await.unwrap().status().as_u16(), 202);
    }
    let (status, body) = text(slow.await.unwrap()).await;
    assert!(status == 408 && body.contains("body_timeout"), "{status} {body}");
    let idle = Instant::now();
    let _ = tokio::time::timeout(Duration::from_secs(10), closed).await.expect("an idle connection is closed");
    assert!(idle.elapsed() > Duration::from_secs(1), "{:?}", idle.elapsed());

    // One that never asks for anything is closed as well.
    let (_requests, closed) = connect(&ingest).await;
    let _ = tokio::time::timeout(Duration::from_secs(10), closed).await.expect("it is closed");
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 5);
}

#[tokio::test]
async fn over_http_2_a_head_that_is_too_large_and_more_requests_than_may_be_are_refused() {
    let fleet = door(&[]).await;
    let ingest = TlsIngest::start(&fleet, &["--max-connections", "20", "--body-timeout-ms", "2000"]).await;
    let (mut requests, _connection) = connect(&ingest).await;
    let large = Request::post(format!("{}/person/1", ingest.url())).header("x-large", "x".repeat(40_000));
    let refused = requests.send_request(large.body(whole(ADA)).unwrap()).await;
    // The client itself may know the limit, which the server has told it.
    assert!(refused.map_or(true, |answer| answer.status().as_u16() == 431));

    let (mut requests, _connection) = connect(&ingest).await;
    let many: Vec<_> = (0..30).map(|_| requests.send_request(post(&ingest, endless()))).collect();
    let mut statuses: Vec<u16> =
        join_all(many).await.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    statuses.sort_unstable();
    let (slow, busy) = statuses.split_at(20);
    assert!(slow.iter().all(|status| *status == 408) && busy.iter().all(|status| *status == 503), "{statuses:?}");
    assert_eq!(requests.send_request(post(&ingest, whole(ADA))).await.unwrap().status().as_u16(), 202);
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 1);
}

#[tokio::test]
async fn told_to_stop_ingest_answers_the_requests_of_an_http_2_connection_that_it_has_taken() {
    let fleet = door(&[]).await;
    let mut ingest = TlsIngest::start(&fleet, &[]).await;
    let (mut requests, closed) = connect(&ingest).await;
    let (sender, pieces) = futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, Infallible>>();
    let body = StreamBody::new(pieces).boxed();
    let under_way = requests.send_request(post(&ingest, body));
    let (start, rest) = ADA.split_at(10);
    sender.unbounded_send(Ok(Frame::data(Bytes::from_static(start.as_bytes())))).unwrap();
    // So that the request is surely there: another one on the same connection is answered.
    assert_eq!(requests.send_request(post(&ingest, whole(ADA))).await.unwrap().status().as_u16(), 202);
    let pid = i32::try_from(ingest.process.id().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(ingest.connect(&["h2"]).await.is_none(), "it takes no more connections");
    sender.unbounded_send(Ok(Frame::data(Bytes::from_static(rest.as_bytes())))).unwrap();
    drop(sender);
    let (status, body) = text(under_way.await.unwrap()).await;
    assert_eq!(status, 202, "{body}");
    drop(requests);
    let _ = closed.await;
    let ended = tokio::time::timeout(crate::LIMIT, ingest.process.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended:?}");
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 2);
}
