//! The way in over HTTP: `POST /person/<customer>` at ingest with one person, or with many, one a line; `POST /person` where
//! each line says whose it is.
//!
//! One person is accepted with 202 (stored), or with 201 where the request waits for the commit. What an answer to many lines
//! says of each stands in [`bulk`](crate::bulk).

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use reqwest::{
    Client, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap},
};
use tokio::time::Instant;

use crate::{
    bulk,
    outcome::{Answer, Commit, Failure, Fate, Rows},
    plan::Parcel,
};

/// The most of an error's body that is kept as an example.
const EXAMPLE_BYTES: usize = 300;

/// How long ingest is asked to wait for a commit.
const COMMIT_WAIT: Duration = Duration::from_secs(30);

/// Posts persons. Its connections stay open from one request to the next.
#[derive(Debug, Clone)]
pub struct HttpTarget {
    client: Client,
    base: Url,
    timeout: Duration,
    bulk: bool,
}

/// An answer, read to its end.
struct Told {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl HttpTarget {
    /// A target at ingest's URL. `bulk`: parcels are many lines.
    ///
    /// # Errors
    /// Where the URL is none.
    pub fn new(url: &str, in_flight: usize, timeout: Duration, bulk: bool) -> anyhow::Result<Self> {
        let base = Url::parse(url).with_context(|| format!("--url {url:?}"))?;
        anyhow::ensure!(base.scheme() == "http" && base.has_host(), "--url {url:?}: http://HOST:PORT is wanted");
        let client =
            Client::builder().pool_max_idle_per_host(in_flight).http1_only().build().context("make an HTTP client")?;
        Ok(Self { client, base, timeout, bulk })
    }

    /// Posts one parcel and waits for the whole answer; posts it again where it has a key.
    pub async fn send(&self, parcel: &Parcel<'_>) -> Answer {
        let events = parcel.lines.len();
        let told = match self.post(parcel).await {
            Ok(told) => told,
            Err(failure) => return Answer::failed(events, failure),
        };
        let answer = self.judge(parcel, &told);
        if parcel.key.is_none() || !answer.is_accepted() {
            return answer;
        }
        match self.post(parcel).await.and_then(|again| replay(&told, &again)) {
            Ok(()) => Answer { replayed: true, ..answer },
            // It was accepted, and how quickly is known: only that is not all there is to it.
            Err(failure) => Answer { fates: vec![Fate::Failed(Arc::new(failure)); events], ..answer },
        }
    }

    async fn post(&self, parcel: &Parcel<'_>) -> Result<Told, Failure> {
        let mut url = self.base.clone();
        let base = self.base.path().trim_end_matches('/');
        url.set_path(&match parcel.customer {
            Some(customer) => format!("{base}/person/{customer}"),
            None => format!("{base}/person"),
        });
        let content_type = if self.bulk { "application/x-ndjson" } else { "application/json" };
        let mut request = self.client.post(url).header(CONTENT_TYPE, content_type).timeout(self.timeout);
        if let Some(customer) = parcel.customer {
            request = request.header("X-Customer-ID", customer.as_str());
        }
        if parcel.wants_commit {
            let wait = format!("wait={}", COMMIT_WAIT.as_secs());
            request = request.header("Prefer", wait).timeout(self.timeout + COMMIT_WAIT);
        }
        if let Some(key) = &parcel.key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.body(parcel.payload.clone()).send().await.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        // Read to its end, or the connection is of no more use.
        let body = response.bytes().await.map_err(no_answer)?.to_vec();
        Ok(Told { status, headers, body })
    }

    fn judge(&self, parcel: &Parcel<'_>, told: &Told) -> Answer {
        let by_line = self.bulk.then(|| bulk::read(told.status, &told.body)).flatten();
        let answer = Answer::now(match by_line {
            Some(answer) => answer.fates(&parcel.lines),
            None => parcel.lines.iter().map(|line| fate(parcel, line.bad, told)).collect(),
        });
        if !parcel.wants_commit || !answer.is_accepted() {
            return answer;
        }
        let committed = told.status == StatusCode::CREATED;
        let commit = if committed { Commit::At(Instant::now()) } else { Commit::NotInTime };
        Answer { accepted_at: None, commit: Some(commit), ..answer }
    }
}

/// What an answer without a word on single lines says of one of them.
fn fate(parcel: &Parcel<'_>, bad: bool, told: &Told) -> Fate {
    let accepted = told.status == StatusCode::ACCEPTED || (parcel.wants_commit && told.status == StatusCode::CREATED);
    let refused = matches!(told.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    match (bad, accepted) {
        (false, true) => Fate::Accepted,
        (true, false) if refused => Fate::Rejected,
        (true, _) if told.status.is_success() => Fate::Failed(Arc::new(bulk::bad_was_accepted())),
        _ => {
            let cause = told.status.as_u16().to_string();
            Fate::Failed(Arc::new(Failure::new(cause, start(&told.body), rows(told.status))))
        }
    }
}

/// Ingest's promise: below 500, and with 503, nothing was stored.
fn rows(status: StatusCode) -> Rows {
    if status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE { Rows::None } else { Rows::Perhaps }
}

/// Whether the answer to a request that was sent again is the first one's.
fn replay(first: &Told, again: &Told) -> Result<(), Failure> {
    if !again.status.is_success() {
        // The key's promise is that nothing is stored twice, however the second request ends.
        return Err(Failure::new(again.status.as_u16().to_string(), start(&again.body), Rows::One));
    }
    let is_replayed = again.headers.get("Idempotent-Replayed").is_some_and(|value| value == "true");
    let (id, same) = (id(&first.body), id(&again.body));
    if is_replayed && id.is_some() && id == same {
        return Ok(());
    }
    let said = if is_replayed { "Idempotent-Replayed: true" } else { "no Idempotent-Replayed: true" };
    let detail = format!("the id was {id:?}, and {same:?} with {said} when it was sent again");
    Err(Failure::new("replay_differs", detail, Rows::OneOrTwo))
}

fn id(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(body.get("id")?.as_str()?.to_owned())
}

fn start(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(EXAMPLE_BYTES)]).into_owned()
}

fn no_answer(error: reqwest::Error) -> Failure {
    let (cause, rows) = match &error {
        error if error.is_timeout() => ("timeout", Rows::Perhaps),
        error if error.is_connect() => ("connect", Rows::None),
        _ => ("broken", Rows::Perhaps),
    };
    Failure::new(cause, format!("{:#}", anyhow::Error::new(error)), rows)
}
