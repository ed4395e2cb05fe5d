//! The way in over HTTP: `POST /person/<customer>` at ingest, accepted with 202.

use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Response, StatusCode, Url, header::CONTENT_TYPE};

use crate::{plan::Parcel, tally::Failure};

/// The most of an error's body that is kept as an example.
const EXAMPLE_BYTES: usize = 300;

/// Posts persons. Its connections stay open from one request to the next.
#[derive(Debug, Clone)]
pub struct HttpTarget {
    client: Client,
    base: Url,
}

impl HttpTarget {
    /// A target at ingest's URL.
    ///
    /// # Errors
    /// Where the URL is none.
    pub fn new(url: &str, in_flight: usize, timeout: Duration) -> anyhow::Result<Self> {
        let base = Url::parse(url).with_context(|| format!("--url {url:?}"))?;
        anyhow::ensure!(base.scheme() == "http" && base.has_host(), "--url {url:?}: http://HOST:PORT is wanted");
        let client = Client::builder()
            .timeout(timeout)
            .pool_max_idle_per_host(in_flight)
            .http1_only()
            .build()
            .context("make an HTTP client")?;
        Ok(Self { client, base })
    }

    /// Posts one parcel (of one event) and waits for the whole answer.
    ///
    /// # Errors
    /// Any answer but 202, by its status; no answer, by its cause.
    pub async fn send(&self, parcel: Parcel<'_>) -> Result<(), Failure> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/person/{}", self.base.path().trim_end_matches('/'), parcel.customer));
        let response = self
            .client
            .post(url)
            .header("X-Customer-ID", parcel.customer.as_str())
            .header(CONTENT_TYPE, "application/json")
            .body(parcel.payload)
            .send()
            .await;
        match response {
            Ok(response) => judge(response).await,
            Err(error) => Err(no_answer(error)),
        }
    }
}

async fn judge(response: Response) -> Result<(), Failure> {
    let status = response.status();
    // Read to its end, or the connection is of no more use.
    let body = response.bytes().await.map_err(no_answer)?;
    if status == StatusCode::ACCEPTED {
        return Ok(());
    }
    let start = String::from_utf8_lossy(&body[..body.len().min(EXAMPLE_BYTES)]).into_owned();
    Err(Failure { cause: status.as_u16().to_string(), detail: start })
}

fn no_answer(error: reqwest::Error) -> Failure {
    let cause = match &error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "connect",
        _ => "broken",
    };
    Failure { cause: cause.to_owned(), detail: format!("{:#}", anyhow::Error::new(error)) }
}
