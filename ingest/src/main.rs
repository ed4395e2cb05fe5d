//! The ingest service; see the library for what it does.

use anyhow::Context;
use clap::Parser;
use sluice_ingest::{Config, run};
use sluice_service::{metrics, shutdown, telemetry};
use tokio::net::TcpListener;

/// Measured: see docs/PERFORMANCE.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    telemetry::init(&config.telemetry)?;
    metrics::install()?;
    let shutdown = shutdown::on_signal()?;
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    run(config, listener, shutdown).await
}
