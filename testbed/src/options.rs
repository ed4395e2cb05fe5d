//! What a fleet is to be like.

use std::path::PathBuf;

use sluice_model::PartitionCount;
use sluice_shard::Flavor;

use crate::progress::Progress;

/// What becomes of a customer whom the directory does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Placement {
    /// The least loaded shard.
    Auto,
    /// None: its events become dead letters.
    Strict,
}

/// What a fleet is to be like; [`Default`] is what a test wants that says nothing else.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// The engine of its shards.
    pub shards: Flavor,
    /// How many shards: `shard1`, `shard2`, ... For PostgreSQL each is a server of its own.
    pub shard_count: u16,
    /// Partitions of its journal.
    pub partitions: PartitionCount,
    /// Workers in a writer process.
    pub workers: u16,
    /// Writer processes.
    pub writers: u16,
    /// Ports are counted from here; without, whatever is free.
    pub base_port: Option<u16>,
    /// Its folder, kept; started again there, the fleet goes on with its data. Without: a temporary one, removed.
    pub dir: Option<PathBuf>,
    /// Whether nats-server acknowledges only what the disk has.
    pub sync_always: bool,
    /// Whether PostgreSQL commits only what the disk has.
    pub durable_shards: bool,
    /// What becomes of unknown customers.
    pub placement: Placement,
    /// How often a lane without events stores how far it is. The service's own default of seconds makes tests wait.
    pub idle_advance_ms: u64,
    /// Further arguments of each writer, such as `--retain-s 0`.
    pub writer_args: Vec<String>,
    /// The most bytes of one partition's stream.
    pub journal_max_bytes: u64,
    /// See [`crate::process::Launch::own_group`].
    pub own_group: bool,
    /// Whether starting is shown.
    pub progress: Progress,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            shards: Flavor::Sqlite,
            shard_count: 3,
            partitions: PartitionCount::try_from(4).expect("4 is from 1 to 512"),
            workers: 2,
            writers: 1,
            base_port: None,
            dir: None,
            sync_always: true,
            durable_shards: true,
            placement: Placement::Auto,
            idle_advance_ms: 500,
            writer_args: Vec::new(),
            journal_max_bytes: 1 << 30,
            own_group: false,
            progress: Progress::Hidden,
        }
    }
}

impl FleetOptions {
    /// Room for every partition's stream, the dead letters, and as much again as one of them for what else there is.
    pub(crate) fn max_file_store(&self) -> u64 {
        self.journal_max_bytes.saturating_mul(u64::from(self.partitions.get()) + 2).saturating_add(1 << 30)
    }
}
