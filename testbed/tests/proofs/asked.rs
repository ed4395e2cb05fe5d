//! What the services answer to single questions.

use std::{sync::Mutex, time::Duration};

use serde_json::Value;
use sluice_testbed::{Fleet, wait};

use crate::LIMIT;

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap()
}

/// The status and the JSON at a URL; status 0 where nobody answers.
pub(crate) async fn get(url: &str) -> (u16, Value) {
    match client().get(url).send().await {
        Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or_default()),
        Err(_) => (0, Value::Null),
    }
}

/// What comes of a post for a customer.
pub(crate) async fn post(fleet: &Fleet, customer: &str) -> (u16, Value) {
    let request = client().post(format!("{}/person/{customer}", fleet.ingest_url()));
    let answer = request.body(r#"{"name":"Ada","address":"London"}"#).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A service says soon that it is not ready, and `what` in its reasons. Returns the answer.
pub(crate) async fn is_unready(url: &str, what: &str) -> Value {
    readiness(url, 503, "reasons", what).await
}

/// A service says soon that it is ready, and `what` among its warnings. Returns the answer.
pub(crate) async fn is_ready_and_warns(url: &str, what: &str) -> Value {
    readiness(url, 200, "warnings", what).await
}

async fn readiness(url: &str, wanted: u16, list: &str, what: &str) -> Value {
    let last = Mutex::new(Value::Null);
    let said = wait::until(&format!("{url} says {what:?}"), LIMIT, async || {
        let (status, body) = get(&format!("{url}/readyz")).await;
        let said = status == wanted && body[list].to_string().contains(what);
        *last.lock().unwrap() = body;
        said
    })
    .await;
    let last = last.into_inner().unwrap();
    said.unwrap_or_else(|error| panic!("{error}; it says {last}"));
    last
}

/// A service says soon that it is ready.
pub(crate) async fn is_ready(url: &str) {
    readiness(url, 200, "status", "ready").await;
}

/// A customer of each of these partitions.
pub(crate) fn customer_of(fleet: &Fleet, partition: u16) -> String {
    let is_there = |n: &u32| fleet.partitions().of(&n.to_string().parse().unwrap()).number() == partition;
    (1..).find(is_there).unwrap().to_string()
}
