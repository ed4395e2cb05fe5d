//! The command line, and what the scenarios go by.

use std::{ffi::OsString, time::Duration};

use clap::{Parser, ValueEnum};
use sluice_testbed::{FleetOptions, Progress};

/// Measures Sluice beside what this machine can do at most, in one run: each figure is a ratio against a limit or a peer that is measured
/// in the same round, and the middle round counts. Starts what it needs on free ports of 127.0.0.1, and ends it. Takes some minutes for
/// each scenario; docs/PERFORMANCE.md says what the table means.
#[derive(Debug, Parser)]
#[command(name = "bench-fleet", version)]
pub struct Cli {
    /// Only these scenarios, with commas between them, such as A,C.
    #[arg(long, value_enum, value_delimiter = ',', ignore_case = true)]
    pub only: Vec<Scenario>,
    /// Rounds of each scenario. Fewer: noise of the machine decides. More: hours.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub rounds: u32,
    /// Print JSON instead of the table.
    #[arg(long)]
    pub json: bool,
    /// A hundredth of the load: shows that the benchmark works, and says nothing about speed.
    #[arg(long)]
    pub smoke: bool,
    /// Serve on this address the very answer that ingest gives, and do nothing: what ingest is compared with.
    #[arg(long, hide = true, value_name = "ADDRESS")]
    pub listen: Option<std::net::SocketAddr>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// Drain single events to three PostgreSQL shards.
    A,
    /// Drain events in messages of 100.
    B,
    /// Single posts, compared with the same server doing nothing.
    C,
    /// Uploads of 1,000 lines, compared with a bare client that stores the same messages.
    D,
    /// An event's latency, compared with an fsync and a commit.
    E,
    /// More shards and more customers, compared with few.
    F,
    /// One of three shards dead for a minute, compared with the same load without that.
    G,
    /// MariaDB and SQLite shards.
    H,
    /// The journal's server acknowledging before the disk has it.
    I,
}

/// What every scenario goes by.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rounds of each.
    pub rounds: u32,
    /// A hundredth of the load.
    pub smoke: bool,
    /// Where progress is shown.
    pub progress: Progress,
}

impl Plan {
    /// A number of events, customers or the like, as far as this plan goes.
    pub fn small(&self, number: u64) -> u64 {
        if self.smoke { (number / 100).max(10) } else { number }
    }

    /// So many seconds of load, as far as this plan goes.
    pub fn seconds(&self, seconds: u64) -> Duration {
        if self.smoke { Duration::from_millis(200) } else { Duration::from_secs(seconds) }
    }

    /// Options that every fleet here has: a user's defaults.
    pub fn fleet(&self) -> FleetOptions {
        FleetOptions { own_group: true, ..FleetOptions::default() }
    }
}

impl Cli {
    /// Reads a command line.
    pub fn read(args: impl Iterator<Item = OsString>) -> Self {
        Self::parse_from(args)
    }

    /// What the scenarios go by.
    pub fn plan(&self) -> Plan {
        Plan { rounds: self.rounds, smoke: self.smoke, progress: Progress::Shown }
    }

    /// The scenarios asked for, in order.
    pub fn scenarios(&self) -> Vec<Scenario> {
        let all = Scenario::value_variants();
        all.iter().filter(|scenario| self.only.is_empty() || self.only.contains(scenario)).copied().collect()
    }
}
