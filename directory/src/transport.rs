//! How a question reaches the directory: over NATS or over HTTP.

use std::{sync::Arc, time::Duration};

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use axum::http::StatusCode;
use reqwest::{Method, Url, header};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use sluice_service::{
    Problem,
    nats::refused::{self, Refused},
    tokens::Token,
};

use crate::api::{MAX_QUESTIONS, subject};

/// More than one question takes, and more than its answer: a customer has at most 64 bytes, a
/// shard's name 63, a position 16 digits. Lower: a request is refused for its size. Higher: more
/// requests.
const QUESTION_BYTES: usize = 128;
/// More than what stands around them, headers included.
const AROUND_BYTES: usize = 1_024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Nobody answered in time.
    #[error("the directory does not answer")]
    Unreachable(#[source] BoxError),
    /// NATS does not let us ask.
    #[error("the directory cannot be asked")]
    Forbidden(#[from] Refused),
    /// It answered that it cannot or will not.
    #[error("the directory says: {0}")]
    Problem(Problem),
    /// It answered something else than was asked for: another version, or not a directory at all.
    #[error("the directory's answer cannot be understood")]
    Unreadable(#[source] BoxError),
    /// What was given is no place to ask at.
    #[error("not a directory's endpoint: {0}; http://HOST:PORT is wanted")]
    Endpoint(&'static str),
}

impl DirectoryError {
    /// Whether asking again may help. If not, somebody has to mend the question or the directory.
    pub fn is_transient(&self) -> bool {
        match self {
            // Leave can be given while we run.
            Self::Unreachable(_) | Self::Forbidden(_) => true,
            // 401: the token is being changed, at one end after the other.
            Self::Problem(problem) => problem.retry_safe || problem.status >= 500 || problem.status == 401,
            Self::Unreadable(_) | Self::Endpoint(_) => false,
        }
    }
}

/// A question that both faces know.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    WriteMany,
    ReadMany,
    Credentials,
}

/// A closed set of two.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    Nats { client: async_nats::Client, timeout: Duration },
    Http(Http),
}

impl Transport {
    /// How many questions go in one request, so that neither it nor its answer is too large. As the
    /// server says it now.
    pub(crate) fn most_questions(&self) -> usize {
        match self {
            Self::Nats { client, .. } => questions_within(client.max_payload()),
            Self::Http(_) => MAX_QUESTIONS,
        }
    }

    /// Asks, and reads the answer.
    pub(crate) async fn ask<A: DeserializeOwned>(&self, asked: Asked, body: Vec<u8>) -> Result<A, DirectoryError> {
        match self {
            Self::Nats { client, timeout } => {
                let subject = match asked {
                    Asked::WriteMany => subject::WRITE_MANY,
                    Asked::ReadMany => subject::READ_MANY,
                    Asked::Credentials => subject::SHARDS,
                };
                request(client, *timeout, subject, body).await
            }
            Self::Http(http) => match asked {
                Asked::WriteMany => http.call(Method::POST, "/write", Some(body)).await,
                Asked::ReadMany => http.call(Method::POST, "/read", Some(body)).await,
                Asked::Credentials => http.call(Method::GET, "/shards/credentials", None).await,
            },
        }
    }
}

fn questions_within(bytes: usize) -> usize {
    (bytes.saturating_sub(AROUND_BYTES) / QUESTION_BYTES).clamp(1, MAX_QUESTIONS)
}

async fn request<A: DeserializeOwned>(
    client: &async_nats::Client,
    timeout: Duration,
    subject: &'static str,
    body: Vec<u8>,
) -> Result<A, DirectoryError> {
    // An inbox of its own: a request that is never answered leaves nothing behind in the client (nats.rs #1617).
    let request = async_nats::Request::new().payload(body.into()).timeout(Some(timeout)).inbox(client.new_inbox());
    // The client's own limit begins only once the request is on its way.
    let asked = tokio::time::timeout(timeout, client.send_request(subject, request));
    let message = refused::unless(subject, asked)
        .await?
        .map_err(|elapsed| DirectoryError::Unreachable(elapsed.into()))?
        .map_err(|error| DirectoryError::Unreachable(error.into()))?;
    if let Some(problem) = message.headers.as_ref().and_then(problem_of) {
        return Err(DirectoryError::Problem(problem));
    }
    serde_json::from_slice(&message.payload).map_err(|error| DirectoryError::Unreadable(error.into()))
}

/// A service's error comes as an answer whose headers say so.
fn problem_of(headers: &async_nats::HeaderMap) -> Option<Problem> {
    let code = headers.get(NATS_SERVICE_ERROR_CODE);
    let text = headers.get(NATS_SERVICE_ERROR);
    if code.is_none() && text.is_none() {
        return None;
    }
    let document = headers.get(subject::PROBLEM_HEADER).and_then(|json| serde_json::from_str(json.as_str()).ok());
    Some(document.unwrap_or_else(|| {
        let status = code.and_then(|code| code.as_str().parse::<StatusCode>().ok());
        let text = text.map_or("it gave no reason", |text| text.as_str());
        Problem::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "service_error", text)
    }))
}

/// A directory's HTTP face, seen from outside.
#[derive(Debug, Clone)]
pub struct Http {
    endpoint: String,
    client: reqwest::Client,
    token: Option<Arc<Token>>,
}

impl Http {
    /// A directory at `http://host:port`.
    ///
    /// # Errors
    /// Where that is not what the text is.
    pub fn new(endpoint: &str, timeout: Duration) -> Result<Self, DirectoryError> {
        let url = Url::parse(endpoint).map_err(|_| DirectoryError::Endpoint("it is no URL"))?;
        if url.scheme() != "http" || !url.has_host() {
            return Err(DirectoryError::Endpoint("only http is possible"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(DirectoryError::Endpoint("it says more than host, port and path"));
        }
        // The directory is a neighbour: whatever proxy the environment names for the wide world is not for it.
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| DirectoryError::Unreachable(error.into()))?;
        Ok(Self { endpoint: url.as_str().trim_end_matches('/').to_owned(), client, token: None })
    }

    /// Proves who we are by that token.
    pub(crate) fn with(self, token: Option<Token>) -> Self {
        Self { token: token.map(Arc::new), ..self }
    }

    /// Sends JSON, or nothing, and reads JSON or a problem.
    pub(crate) async fn call<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<A, DirectoryError> {
        let mut request = self.client.request(method, format!("{}{path}", self.endpoint));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.now().expose_secret());
        }
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let unreachable = |error: reqwest::Error| DirectoryError::Unreachable(error.into());
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        if status.is_success() {
            let body: &[u8] = if status == StatusCode::NO_CONTENT { b"null" } else { &body };
            return serde_json::from_slice(body).map_err(|error| DirectoryError::Unreadable(error.into()));
        }
        Err(DirectoryError::Problem(serde_json::from_slice(&body).unwrap_or_else(|_| {
            Problem::new(status, "not_a_problem_document", "an error without a reason; is this a directory at all?")
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nats_service_error_becomes_a_problem_with_or_without_our_document() {
        let mut headers = async_nats::HeaderMap::new();
        assert_eq!(problem_of(&headers), None);
        headers.insert(NATS_SERVICE_ERROR, "busy");
        headers.insert(NATS_SERVICE_ERROR_CODE, "503");
        let bare = problem_of(&headers).unwrap();
        assert_eq!((bare.status, bare.detail.as_str()), (503, "busy"));
        assert!(DirectoryError::Problem(bare).is_transient());
        let ours = Problem::new(StatusCode::NOT_FOUND, "unknown_customer", "who?");
        headers.insert(subject::PROBLEM_HEADER, serde_json::to_string(&ours).unwrap());
        assert_eq!(problem_of(&headers), Some(ours.clone()));
        assert!(!DirectoryError::Problem(ours).is_transient());
    }

    #[test]
    fn a_request_and_its_answer_fit_into_what_the_server_takes() {
        use sluice_model::Position;

        use crate::api::{At, Route, RouteAnswer, Routes, WriteQuestion, WriteQuestions};

        for (bytes, most) in [(0, 1), (1_024, 1), (8 << 10, 56), (64 << 10, 504), (1 << 20, MAX_QUESTIONS)] {
            assert_eq!(questions_within(bytes), most, "{bytes}");
        }
        let most = questions_within(64 << 10);
        let at = Position::new((1 << 53) - 1).unwrap();
        let question = WriteQuestion { customer: "c".repeat(64).parse().unwrap(), at: Some(At(at)) };
        let asked = serde_json::to_vec(&WriteQuestions { customers: vec![question; most] }).unwrap();
        let route = RouteAnswer::Placed(Route { shard: "s".repeat(63), from: at });
        let answer = serde_json::to_vec(&Routes { routes: vec![route; most] }).unwrap();
        assert!(asked.len() < 64 << 10 && answer.len() < 64 << 10, "{} {}", asked.len(), answer.len());
    }

    #[test]
    fn an_endpoint_that_is_none_is_refused_without_being_repeated() {
        for bad in ["", "localhost:7070", "https://h:1", "http://u:hunter2@h:1", "nats://h:4222", "http://h:1/?a=b"] {
            let error = Http::new(bad, Duration::from_secs(1)).unwrap_err();
            assert!(!error.is_transient() && !format!("{error} {error:?}").contains("hunter2"), "{bad:?}");
        }
        assert_eq!(Http::new("http://h:1/", Duration::from_secs(1)).unwrap().endpoint, "http://h:1");
    }
}
