//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use sluice_model::PartitionCount;
use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, Placement, Progress};

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
    /// Keeps a fleet running until interrupted.
    Fleet(FleetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The engine of the shards: sqlite or postgres.
    #[arg(long, default_value = "sqlite")]
    pub(crate) shards: Flavor,
    /// Leave everything running after the test, and say what to try.
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// The engine of the shards: sqlite or postgres (one server for each shard).
    #[arg(long, default_value = "sqlite")]
    pub(crate) shards: Flavor,
    /// How many shards.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) shard_count: u16,
    /// Partitions of the journal, 1 to 512: fixed for its life.
    #[arg(long, default_value = "4")]
    pub(crate) partitions: PartitionCount,
    /// Workers of the writer, which share the partitions.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) workers: u16,
    /// Count ports from here: ingest, directory, nats-server, writer, shards. Without: whatever is free.
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
}

impl DemoArgs {
    pub(crate) fn options(&self) -> FleetOptions {
        FleetOptions { shards: self.shards, ..for_people() }
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
            ..for_people()
        }
    }
}

fn for_people() -> FleetOptions {
    FleetOptions { own_group: true, progress: Progress::Shown, ..FleetOptions::default() }
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
            assert_eq!(args.shards, Flavor::Postgres, "{line}");
        }
    }
}
