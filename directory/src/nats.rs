//! The NATS face: the same questions and answers by the NATS services API, so that `nats micro` sees it.
//!
//! An error is an empty answer with the two headers of that API and one more, `Sluice-Problem`, that holds the same
//! problem document as HTTP's.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{
    Client, HeaderMap,
    service::{Request, Service, ServiceExt, endpoint, error},
};
use axum::http::StatusCode;
use bytes::Bytes;
use futures::{StreamExt, stream::SelectAll};
use serde::Serialize;
use sluice_service::Problem;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::Directory,
    api::{self, AtQuery, subject},
    http::observed,
};

/// The name under which NATS tools find us.
pub const SERVICE: &str = "directory";
/// The most requests that are answered at a time; the others wait in the subscription.
const CONCURRENCY: usize = 64;
/// The longest that one request may take. Below what clients wait by default (5 s), so that they hear why.
const REQUEST_LIMIT: Duration = Duration::from_secs(4);
/// How long, after a stop, requests that have reached us are still answered.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The questions that can be asked over NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    WriteOne,
    ReadOne,
    WriteMany,
    ReadMany,
    Shards,
}

impl Question {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::WriteOne, "write", subject::WRITE_ONE),
        (Self::ReadOne, "read", subject::READ_ONE),
        (Self::WriteMany, "routes-write", subject::WRITE_MANY),
        (Self::ReadMany, "routes-read", subject::READ_MANY),
        (Self::Shards, "shards", subject::SHARDS),
    ];
}

/// The subscribed face: requests come in, and wait until they are served.
pub struct Face {
    client: Client,
    service: Service,
    requests: SelectAll<futures::stream::BoxStream<'static, (Question, Request)>>,
}

impl Face {
    /// Announces the service and subscribes.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn subscribe(client: Client) -> anyhow::Result<Self> {
        let service = client
            .service_builder()
            .description("Sluice: where each customer's rows belong")
            .start(SERVICE, env!("CARGO_PKG_VERSION"))
            .await
            .map_err(anyhow::Error::from_boxed)?;
        let mut requests = SelectAll::new();
        for (question, name, subject) in Question::ALL {
            let added = service.endpoint_builder().name(name).add(subject).await;
            let endpoint: endpoint::Endpoint = added.map_err(anyhow::Error::from_boxed)?;
            requests.push(endpoint.map(move |request| (question, request)).boxed());
        }
        Ok(Self { client, service, requests })
    }

    /// Answers until `shutdown`; then takes no more, and answers what has come.
    pub async fn serve(self, directory: Arc<Directory>, shutdown: CancellationToken) {
        let Self { client, service, requests } = self;
        let serving = requests.for_each_concurrent(CONCURRENCY, |(question, request)| {
            let (directory, client) = (&directory, &client);
            async move { serve_one(Arc::clone(directory), client, question, request).await }
        });
        tokio::pin!(serving);
        tokio::select! {
            () = &mut serving => {
                directory.set_deaf();
                tracing::error!("the NATS subscriptions ended: restart this directory");
            }
            () = shutdown.cancelled() => {
                // It only tells the subscriptions to end; it cannot fail.
                let _ = service.stop().await;
                let drained = tokio::time::timeout(STOP_LIMIT, async { serving.await; client.flush().await }).await;
                if drained.is_err() {
                    tracing::warn!("stopped with NATS requests unanswered: the connection did not let them through");
                }
            }
        }
    }
}

async fn serve_one(directory: Arc<Directory>, client: &Client, question: Question, request: Request) {
    let subject = request.message.subject.as_str();
    let begun = Instant::now();
    let (asked, payload) = (request.message.subject.clone(), request.message.payload.clone());
    // A task of its own, for the reason that the HTTP face has.
    let answering = tokio::spawn(async move { answer(&directory, question, &asked, &payload).await });
    let answer = match tokio::time::timeout(REQUEST_LIMIT, answering).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::error!(%error, subject, "a request failed");
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request failed"))
        }
        Err(_) => {
            let detail = format!("no answer within {} s", REQUEST_LIMIT.as_secs());
            Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", detail).retry_after(1))
        }
    };
    let largest = client.server_info().max_payload;
    let answer = answer.and_then(|json| if json.len() <= largest { Ok(json) } else { Err(too_large(&json, largest)) });
    observed("nats", begun, answer.as_ref().err().map(|problem| problem.code.as_str()));
    let sent = match answer {
        Ok(json) => request.respond(Ok(json)).await,
        Err(problem) => {
            let (headers, error) = as_headers(&problem);
            request.respond_with_headers(Err(error), headers).await
        }
    };
    if let Err(error) = sent {
        tracing::warn!(subject, error = &error as &dyn std::error::Error, "cannot answer over NATS");
    }
}

async fn answer(directory: &Directory, question: Question, subject: &str, payload: &[u8]) -> Result<Bytes, Problem> {
    let customer = || {
        let token = subject.rsplit('.').next().unwrap_or_default();
        token
            .parse()
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid_customer", error).at("subject: last token"))
    };
    match question {
        Question::WriteOne => {
            let query = if payload.is_empty() { AtQuery::default() } else { api::parse(payload)? };
            json(&directory.write_one(customer()?, query.at.map(|at| at.0)).await?)
        }
        Question::ReadOne => json(&directory.read_one(customer()?).await?),
        Question::WriteMany => json(&directory.write_many(api::parse(payload)?).await?),
        Question::ReadMany => json(&directory.read_many(api::parse(payload)?).await?),
        Question::Shards => json(&directory.credentials().await?),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it ends each arm of `answer`, which can fail before it")]
fn json(answer: &impl Serialize) -> Result<Bytes, Problem> {
    Ok(serde_json::to_vec(answer).expect("answers have only texts and numbers").into())
}

fn too_large(json: &Bytes, largest: usize) -> Problem {
    let detail = format!("the answer has {} bytes, NATS takes {largest}: ask over HTTP", json.len());
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "answer_too_large", detail)
}

/// A header must not hold a line's end: JSON escapes those, and the plain text is freed of them.
fn as_headers(problem: &Problem) -> (HeaderMap, error::Error) {
    let mut headers = HeaderMap::new();
    let document = serde_json::to_string(problem).expect("a problem has only texts and numbers");
    headers.insert(subject::PROBLEM_HEADER, document);
    let status = problem.to_string().replace(char::is_control, " ");
    (headers, error::Error { status, code: problem.status.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::{directory, new_sqlite};

    #[tokio::test]
    async fn the_nats_face_answers_as_http_does() {
        let folder = tempfile::tempdir().unwrap();
        let directory = directory(&folder, crate::placement::Policy::Auto).await;
        let ask = async |question, subject: &str, payload: &[u8]| answer(&directory, question, subject, payload).await;
        let problem = ask(Question::WriteOne, "directory.write.1", b"").await.unwrap_err();
        assert_eq!((problem.status, problem.code.as_str(), problem.retry_safe), (503, "no_open_shard", true));
        directory.register(new_sqlite(&folder, "a")).await.unwrap();

        let one = ask(Question::WriteOne, "directory.write.1", b"").await.unwrap();
        let http = directory.write_one("1".parse().unwrap(), None).await.unwrap();
        assert_eq!(one, json(&http).unwrap());
        assert_eq!(ask(Question::ReadOne, "directory.read.1", b"").await.unwrap(), one);
        let many = ask(Question::WriteMany, subject::WRITE_MANY, br#"{"customers":[{"customer":"1"}]}"#).await.unwrap();
        assert_eq!(&many[..], br#"{"routes":[{"shard":"a","from":0}]}"#);
        let many = ask(Question::ReadMany, subject::READ_MANY, br#"{"customers":["1","2"]}"#).await.unwrap();
        assert_eq!(&many[..], br#"{"routes":[{"shard":"a","from":0},null]}"#);
        let shards = ask(Question::Shards, subject::SHARDS, b"").await.unwrap();
        assert_eq!(shards, json(&directory.credentials().await.unwrap()).unwrap());
        let bad = ask(Question::ReadOne, "directory.read.*", b"").await.unwrap_err();
        assert_eq!((bad.status, bad.code.as_str()), (400, "invalid_customer"));
    }

    #[test]
    fn an_error_of_many_lines_fits_headers_and_comes_back_whole() {
        let problem = Problem::new(StatusCode::CONFLICT, "a_code", "first\r\nsecond").at("/x");
        let (headers, error) = as_headers(&problem);
        assert_eq!((error.code, error.status.contains(['\r', '\n'])), (409, false));
        let document = headers.get(subject::PROBLEM_HEADER).unwrap().as_str();
        assert_eq!(serde_json::from_str::<Problem>(document).unwrap(), problem);
    }
}
