//! The ingest service; see the library for what it does.

use std::process::ExitCode;

use anyhow::Context;
use sluice_ingest::{Config, run};
use sluice_service::{
    metrics, output,
    settings::{self, Settings},
    shutdown, telemetry,
};
use tokio::net::TcpListener;

/// Measured: see docs/PERFORMANCE.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let (config, settings) = settings::parse();
    match execute(config, &settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failure("ingest", &error),
    }
}

async fn execute(config: Config, settings: &Settings) -> anyhow::Result<()> {
    telemetry::init(&config.telemetry)?;
    settings.log();
    metrics::install()?;
    let shutdown = shutdown::on_signal()?;
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    run(config, listener, shutdown).await
}
