//! `testbed`: see the library's page. Exit status: 0 all is well, 1 a row is wrong or something failed, 130 interrupted.

mod args;
mod demo;
mod interrupt;
mod keep;
mod lookups_command;
mod outage_command;
mod report;
mod soak_command;

use std::process::ExitCode;

use args::{Cli, Command};
use sluice_service::{
    output,
    telemetry::{self, LogFormat, TelemetryArgs},
};

#[tokio::main]
async fn main() -> ExitCode {
    match execute(args::parse(std::env::args_os())).await {
        Ok(code) => code,
        Err(error) => output::failure("testbed", &error),
    }
}

async fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    // People watch the progress; a log is for what goes wrong. The services' own logs are files.
    let log = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into());
    telemetry::init(&TelemetryArgs { log_format: LogFormat::Text, log })?;
    let stop = interrupt::token()?;
    match cli.command {
        Command::Demo(args) => demo::run(&args, &stop).await,
        Command::Fleet(args) => keep::run(&args, &stop).await,
        Command::Soak(args) => soak_command::run(&args, &stop).await,
        Command::Lookups(args) => lookups_command::run(&args, &stop).await,
        Command::Outage(args) => outage_command::run(&args, &stop).await,
    }
}
