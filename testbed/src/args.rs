//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use sluice_model::PartitionCount;
use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, Placement, Progress, Shards, soak::SoakOptions};

/// Runs the whole of Sluice on this machine: real servers on free ports of 127.0.0.1, ended when this ends.
#[derive(Debug, Parser)]
#[command(name = "testbed", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The original's test: three customers on three shards, 1,000 requests each, all three at once. Exit status 1 where
    /// a row is missing, doubled or in the wrong place.
    Demo(DemoArgs),
    /// A fleet under mixed load, and faults drawn at random: processes killed and frozen, shards cut off, locked and set back. Every
    /// event is accounted for at the end; exit status 1 where one is missing, doubled or in the wrong place.
    Soak(SoakArgs),
    /// Keeps a fleet running until interrupted.
    Fleet(FleetArgs),
    /// Kills one of three PostgreSQL shards under steady load, starts it again after a while, and prints what the other two felt, the
    /// writer's memory, and how soon the shard was level. Exit status 1 where that is not as promised.
    Outage(OutageArgs),
    /// Measures what it costs to find out where a customer belongs: from the writer's memory, and by asking the directory over NATS and
    /// over HTTP, one by one and a thousand at a time.
    Lookups(LookupsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The engine of the shards: sqlite, postgres, mysql, or mixed: of each in turn.
    #[arg(long, default_value = "sqlite")]
    pub(crate) shards: Shards,
    /// Leave everything running after the test, and say what to try.
    #[arg(long)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) journal: JournalServers,
}

/// How many servers the journal stands on.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct JournalServers {
    /// NATS servers, each with a folder of its own: 1, 3 or 5. With 3 the journal goes on when any one of them is lost,
    /// with 5 when two are; while more are lost, posts get 503 or 504, and nothing that was accepted is lost. Each further
    /// server takes the disk of one more and some of this machine's time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=5))]
    pub(crate) nats_nodes: u16,
    /// Copies of each of the journal's streams, of the dead letters and of every key-value bucket, at most one for each NATS
    /// server: 3 where there are 3 servers or more, else 1. What a kept folder holds already keeps the number that it has,
    /// and the services' logs say how to change it. With one copy, a lost server takes acknowledged events with it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=5))]
    pub(crate) replicas: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// The engine of the shards: sqlite, postgres or mysql (one server for each shard), or mixed: of each in turn.
    #[arg(long, default_value = "sqlite")]
    pub(crate) shards: Shards,
    /// How many shards.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) shard_count: u16,
    /// Partitions of the journal, 1 to 512: fixed for its life.
    #[arg(long, default_value = "4")]
    pub(crate) partitions: PartitionCount,
    /// Workers of the writer, which share the partitions.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) workers: u16,
    /// Count ports from here: ingest, directory, nats-server, writer, shards; then, in a cluster, the further NATS servers,
    /// and one for each of them all to reach the others. Without: whatever is free.
    #[arg(long)]
    pub(crate) base_port: Option<u16>,
    /// Keep all data here; started again with the same folder, the fleet goes on with it. Without: a temporary folder,
    /// removed at the end.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Once all is ready, write here as JSON where everything is, with passwords; removed at the end.
    #[arg(long, value_name = "FILE")]
    pub(crate) describe: Option<PathBuf>,
    /// What becomes of a customer whom the directory does not know.
    #[arg(long, value_enum, default_value_t = Placement::Auto)]
    pub(crate) placement: Placement,
    /// Let nats-server acknowledge before the disk has it (it writes every two minutes): faster, and a power failure
    /// loses what was acknowledged since.
    #[arg(long)]
    pub(crate) lazy_sync: bool,
    #[command(flatten)]
    pub(crate) journal: JournalServers,
}

#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// For how long faults are drawn.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) minutes: f64,
    /// Two soaks of one seed have the same faults at the same moments.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The engine of the shards: sqlite, postgres, mysql, or mixed: of each in turn.
    #[arg(long, default_value = "postgres")]
    pub(crate) shards: Shards,
    /// Events per second that are published; some are posted beside them.
    #[arg(long, default_value_t = 3_000)]
    pub(crate) rate: u32,
    /// Faults per minute, on average.
    #[arg(long, default_value_t = 15.0)]
    pub(crate) faults_per_minute: f64,
    #[command(flatten)]
    pub(crate) journal: JournalServers,
    /// Only print which fault would happen when.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl SoakArgs {
    pub(crate) fn options(&self) -> SoakOptions {
        SoakOptions {
            minutes: self.minutes,
            seed: self.seed,
            shards: self.shards,
            rate: self.rate,
            faults_per_minute: self.faults_per_minute,
            nats_nodes: self.journal.nats_nodes,
            replicas: self.journal.replicas,
            progress: Progress::Shown,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct LookupsArgs {
    /// How often one customer is asked for, in each way; a thousand at a time a tenth as often.
    #[arg(long, default_value_t = 3_000)]
    pub(crate) samples: usize,
    /// Print the figures as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl LookupsArgs {
    pub(crate) fn options(&self) -> FleetOptions {
        for_people(JournalServers { nats_nodes: 1, replicas: None })
    }
}

#[derive(Debug, Args)]
pub(crate) struct OutageArgs {
    /// Events a second.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) rate: u32,
    /// Events of each message, as ingest packs them under load.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) events_per_message: u32,
    /// How long all is well, in seconds.
    #[arg(long, default_value_t = 25)]
    pub(crate) before_s: u64,
    /// How long the shard is down, in seconds.
    #[arg(long, default_value_t = 60)]
    pub(crate) down_s: u64,
    #[command(flatten)]
    pub(crate) journal: JournalServers,
}

impl OutageArgs {
    pub(crate) fn fleet_options(&self) -> FleetOptions {
        FleetOptions { shards: Flavor::Postgres.into(), ..for_people(self.journal) }
    }
}

impl DemoArgs {
    pub(crate) fn options(&self) -> FleetOptions {
        FleetOptions { shards: self.shards, ..for_people(self.journal) }
    }
}

impl FleetArgs {
    pub(crate) fn options(&self) -> FleetOptions {
        FleetOptions {
            shards: self.shards,
            shard_count: self.shard_count,
            partitions: self.partitions,
            workers: self.workers,
            base_port: self.base_port,
            dir: self.dir.clone(),
            placement: self.placement,
            sync_always: !self.lazy_sync,
            ..for_people(self.journal)
        }
    }
}

fn for_people(journal: JournalServers) -> FleetOptions {
    let JournalServers { nats_nodes, replicas } = journal;
    let (own_group, progress) = (true, Progress::Shown);
    FleetOptions { nats_nodes, replicas, measure_s: 10, own_group, progress, ..FleetOptions::default() }
}

/// Reads the command line, or ends with what is wrong about it. `cargo demo` is an alias that ends with `-- demo`; with
/// `cargo demo -- --shards postgres` a second `--` follows the command, which means nothing.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Cli {
    let args = args.enumerate().filter(|(index, arg)| *index != 2 || arg != "--");
    Cli::parse_from(args.map(|(_, arg)| arg))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_flags_of_a_cargo_alias_may_follow_two_dashes_or_not() {
        for line in ["testbed demo --shards postgres", "testbed demo -- --shards postgres"] {
            let Command::Demo(args) = parse(line.split(' ').map(OsString::from)).command else {
                unreachable!("the line says demo")
            };
            assert_eq!(args.shards, Flavor::Postgres.into(), "{line}");
        }
    }

    #[test]
    fn the_journals_copies_follow_its_servers_unless_they_are_named() {
        let replicas = |line: &str| {
            let Command::Fleet(args) = parse(line.split(' ').map(OsString::from)).command else {
                unreachable!("the line says fleet")
            };
            let options = args.options();
            (options.nats_nodes, options.replicas())
        };
        assert_eq!(replicas("testbed fleet"), (1, 1));
        assert_eq!(replicas("testbed fleet -- --nats-nodes 3"), (3, 3));
        assert_eq!(replicas("testbed fleet -- --nats-nodes 5"), (5, 3));
        assert_eq!(replicas("testbed fleet -- --nats-nodes 3 --replicas 1"), (3, 1));
    }
}
