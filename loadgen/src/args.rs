//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sluice_directory::DirectoryArgs;
use sluice_journal::Settings;
use sluice_model::CustomerId;
use sluice_service::{nats::NatsArgs, telemetry::TelemetryArgs};

pub use crate::run_args::RunArgs;

/// Makes load for Sluice, and proves that each event became exactly one row.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version)]
pub struct Cli {
    /// How it logs.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The three commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Offers events, at a rate or as fast as they are taken, and says how many were accepted and how quickly. Exit status 1
    /// if any was not.
    Run(RunArgs),
    /// Compares the results of two runs, number by number.
    Compare(CompareArgs),
    /// Waits until the journal is drained, then checks every shard's rows against it, id by id. Exit status 1 if
    /// anything is missing, doubled or misplaced; 2 if that could not be found out.
    Verify(VerifyArgs),
}

/// The way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// `POST /person/<customer>` at ingest.
    Http,
    /// A publish to `person.create.<customer>`, acknowledged by JetStream.
    Nats,
}

/// Which two results to compare.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// What `loadgen run --json` printed, in a file.
    pub a: PathBuf,
    /// Another one, which is told as a multiple of the first.
    pub b: PathBuf,
    /// How it is told.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// The same as `--output json`.
    #[arg(long)]
    pub json: bool,
}

impl CompareArgs {
    /// How it is told.
    pub fn output(&self) -> Output {
        if self.json { Output::Json } else { self.output }
    }
}

/// How a comparison is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table, for people.
    Table,
    /// One JSON object, for programs.
    Json,
}

/// What to check, and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Where NATS is.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// The journal.
    #[command(flatten)]
    pub journal: Settings,
    /// How to ask the directory.
    #[command(flatten)]
    pub directory: DirectoryArgs,
    /// How long to wait until every shard has stored what the journal held at the start, in seconds. Too low: a
    /// writer that is merely busy looks like one that lost events. Too high: a writer that is gone is waited for.
    #[arg(long, default_value_t = 60)]
    pub wait_s: u64,
    /// Check only what belongs on this shard, and only its rows: a row that stands elsewhere in place of there counts as missing.
    #[arg(long, value_name = "NAME")]
    pub shard: Option<String>,
    /// Check only this customer's events and rows: a row under another customer counts as missing.
    #[arg(long, value_name = "ID")]
    pub customer: Option<CustomerId>,
    /// Also check all rows against what `loadgen run --account FILE` wrote; may be given several times. Sound where these runs sent
    /// all that the shards were ever sent. It reads the names of all rows, customer by customer.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["shard", "customer"])]
    pub account: Vec<PathBuf>,
    /// How many wrong ids of each kind are named; the totals count all of them.
    #[arg(long, default_value_t = 20)]
    pub list: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::CommandFactory;

    use super::*;

    /// What `loadgen run` with these further words means.
    pub(crate) fn run_args(line: &str) -> RunArgs {
        let words = ["loadgen", "run"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(args) => args,
            Command::Compare(_) | Command::Verify(_) => unreachable!("the line says run"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
