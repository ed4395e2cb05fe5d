//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, builder::RangedU64ValueParser};
use sluice_directory::DirectoryArgs;
use sluice_journal::Settings;
use sluice_model::{CustomerId, MAX_EVENTS};
use sluice_service::{nats::NatsArgs, telemetry::TelemetryArgs};

use crate::customers::Customers;

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

/// The two commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Offers events in a closed loop, and says how many were accepted and how quickly. Exit status 1 if any was not.
    Run(RunArgs),
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

/// What to offer, where, and how hard.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The way in.
    #[arg(long, value_enum, default_value_t = Via::Http)]
    pub via: Via,
    /// Where ingest is.
    #[arg(long, env = "INGEST_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Where NATS is.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// Who the events are for, in turn. A number N means customers 1 to N; a list with commas, or anything else that
    /// is no number, means those very customers (`--customers 3` is 1, 2 and 3; `--customers 1,2,3` is the same).
    #[arg(long, default_value = "3")]
    pub customers: Customers,
    /// Exactly these customers, also where it is a single one that is a number (`--customer-list 3` is 3 alone).
    #[arg(long, value_delimiter = ',', conflicts_with = "customers")]
    pub customer_list: Vec<CustomerId>,
    /// How many events in all.
    #[arg(long, default_value_t = 1_000)]
    pub count: u64,
    /// How many requests are in flight at once; 100 over HTTP and 1,000 to NATS where nothing is said. Too few: one
    /// measures the way there and back. Too many: one measures one's own queue.
    #[arg(long, value_parser = RangedU64ValueParser::<u32>::new().range(1..=100_000))]
    pub concurrency: Option<u32>,
    /// To NATS: events per message, as one JSON object a line. All of a message are one customer's.
    #[arg(long, default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..=MAX_EVENTS as u64))]
    pub events_per_message: u32,
    /// Over HTTP: post nothing, so that ingest makes a random person, as the original's test did.
    #[arg(long)]
    pub empty_body: bool,
    /// The same seed makes the same persons.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long one request may take, in milliseconds, before it counts as failed. Too low: events that are stored
    /// count as failed. Too high: a server that hangs holds the run up for that long.
    #[arg(long, default_value_t = 10_000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub timeout_ms: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl RunArgs {
    /// The customers, in turn.
    pub fn customers(&self) -> Vec<CustomerId> {
        if self.customer_list.is_empty() { self.customers.0.clone() } else { self.customer_list.clone() }
    }

    /// How many requests are in flight at once.
    pub fn in_flight(&self) -> usize {
        let default = match self.via {
            Via::Http => 100,
            Via::Nats => 1_000,
        };
        self.concurrency.map_or(default, |n| usize::try_from(n).expect("at most 100,000"))
    }

    /// How long one request may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Refuses what only the other way in knows, rather than to ignore it.
    ///
    /// # Errors
    /// Names the flag.
    pub fn check(&self) -> anyhow::Result<()> {
        match self.via {
            Via::Nats if self.empty_body => {
                anyhow::bail!("--empty-body is for --via http: a message without a payload becomes a dead letter")
            }
            Via::Http if self.events_per_message > 1 => {
                anyhow::bail!("--events-per-message is for --via nats: a request makes one person")
            }
            _ => Ok(()),
        }
    }
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
    /// How many wrong ids of each kind are named; the totals count all of them.
    #[arg(long, default_value_t = 20)]
    pub list: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run_args(line: &str) -> RunArgs {
        let words = ["loadgen", "run"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(args) => args,
            Command::Verify(_) => unreachable!("the line says run"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_number_of_customers_is_a_count_and_a_list_is_a_list() {
        let names = |line| run_args(line).customers().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("--customers 3"), ["1", "2", "3"]);
        assert_eq!(names("--customers 7,acme"), ["7", "acme"]);
        assert_eq!(names("--customer-list 3"), ["3"]);
        assert!(Cli::try_parse_from(["loadgen", "run", "--customers", "2", "--customer-list", "3"]).is_err());
    }

    #[test]
    fn each_way_in_has_its_own_default_of_requests_in_flight() {
        assert_eq!(run_args("").in_flight(), 100);
        assert_eq!(run_args("--via nats").in_flight(), 1_000);
        assert_eq!(run_args("--via nats --concurrency 7").in_flight(), 7);
    }

    #[test]
    fn a_flag_that_the_way_in_does_not_know_is_refused() {
        assert!(run_args("--empty-body").check().is_ok());
        assert!(run_args("--via nats --events-per-message 10").check().is_ok());
        assert!(run_args("--via nats --empty-body").check().is_err());
        assert!(run_args("--events-per-message 10").check().is_err());
    }
}
