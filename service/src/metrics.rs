//! What a service counts, for Prometheus at `/metrics`.
//!
//! Who counts calls the `metrics` crate's macros, by names that end with their unit; in a process that has not called
//! [`install`] they do nothing.

use std::{sync::OnceLock, time::Duration};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Buckets of durations, in seconds: from what a round trip takes to what nobody waits for.
const SECONDS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Buckets of batches.
const ROWS: [f64; 8] = [1.0, 10.0, 100.0, 500.0, 1_000.0, 5_000.0, 20_000.0, 100_000.0];
/// How often what was observed is put into buckets. Less often: it takes memory until then.
const UPKEEP: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// From now on this process counts. Called once, by a service's main, inside its runtime.
///
/// # Errors
/// Where something else in the process counts already.
pub fn install() -> anyhow::Result<()> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_rows".to_owned()), &ROWS)?;
    let handle = builder.install_recorder()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    HANDLE.set(handle).map_err(|_| anyhow::anyhow!("this process counts already"))
}

/// `GET /metrics`: all that was counted, in Prometheus' text format.
pub(crate) async fn show() -> Response {
    let text = HANDLE.get().map(PrometheusHandle::render).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
