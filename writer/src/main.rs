//! The writer's commands; see the library for what they do.

use anyhow::Context;
use clap::{Parser, Subcommand};
use sluice_service::{shutdown, telemetry};
use sluice_writer::{Config, run};
use tokio::net::TcpListener;

/// Reads the journal and writes each customer's rows to the shard they belong to, exactly once.
#[derive(Debug, Parser)]
#[command(name = "writer", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes until interrupted; then commits what it has read and ends.
    Run(Box<Config>),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command::Run(config) = Cli::parse().command;
    telemetry::init(&config.telemetry)?;
    shutdown::end_on_panic();
    let shutdown = shutdown::on_signal()?;
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    run(*config, listener, shutdown).await
}
