//! What ingest promises to those who post.

mod browsers;
mod contract;
mod empty;
mod garbage;
mod keys;
mod limits;
mod load;
mod seen;
mod tls;
mod tokens;
mod uploads;
mod waiting;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions};

use crate::fleet;

const ADA: &str = r#"{"name":"Ada","address":"London"}"#;
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

/// One SQLite shard, one writer, and ingest with these arguments.
async fn door(ingest_args: &[&str]) -> Fleet {
    let ingest_args = ingest_args.iter().map(|arg| (*arg).to_owned()).collect();
    fleet(Flavor::Sqlite, FleetOptions { shard_count: 1, ingest_args, ..FleetOptions::default() }).await
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

fn post(fleet: &Fleet, customer: &str) -> RequestBuilder {
    client().post(format!("{}/person/{customer}", fleet.ingest_url()))
}

/// Status, and the body as JSON.
async fn told(request: RequestBuilder) -> (u16, Value) {
    read(request.send().await.unwrap()).await
}

async fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

/// The lines that an upload's report names, with their codes.
fn errors(report: &Value) -> Vec<(u64, String)> {
    let errors = report["errors"].as_array().unwrap().iter();
    errors.map(|error| (error["line"].as_u64().unwrap(), error["code"].as_str().unwrap().to_owned())).collect()
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}
