//! The writer's commands; see the library for what they do.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use sluice_service::{
    metrics, output,
    settings::{self, Settings},
    shutdown, telemetry,
};
use sluice_writer::{
    Config,
    dead::{self, DeadCommand},
    journal_repair::{self, JournalCommand},
    run,
};
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
    /// The dead letters, events that can never become a row: list them, show one, replay or drop some.
    #[command(subcommand)]
    Dead(DeadCommand),
    /// The journal itself: show how the shards stand to it; repair one that lost its end, or was made anew.
    #[command(subcommand)]
    Journal(JournalCommand),
}

/// Measured: see docs/PERFORMANCE.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let (cli, settings): (Cli, _) = settings::parse();
    match cli.command {
        Command::Run(config) => match serve(*config, &settings).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => output::failure("writer", &error),
        },
        Command::Dead(command) => {
            settings.warn();
            Box::pin(dead::run(command)).await
        }
        Command::Journal(command) => {
            settings.warn();
            Box::pin(journal_repair::run(command)).await
        }
    }
}

async fn serve(config: Config, settings: &Settings) -> anyhow::Result<()> {
    telemetry::init(&config.telemetry)?;
    settings.log();
    metrics::install()?;
    let shutdown = shutdown::on_signal()?;
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    run(config, listener, shutdown).await
}
