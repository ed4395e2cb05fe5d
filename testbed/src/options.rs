//! What a fleet is to be like.

use std::path::PathBuf;

use sluice_model::PartitionCount;
use sluice_shard::Flavor;

use crate::{progress::Progress, shards::Shards};

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
    /// The engines of its shards.
    pub shards: Shards,
    /// How many shards: `shard1`, `shard2`, ... Each of PostgreSQL or MariaDB is on a server of its own.
    pub shard_count: u16,
    /// Partitions of its journal.
    pub partitions: PartitionCount,
    /// Workers in a writer process.
    pub workers: u16,
    /// Writer processes.
    pub writers: u16,
    /// NATS servers: one, or a cluster of an odd number of them, at most 5. A cluster goes on while more than half of them
    /// are up.
    pub nats_nodes: u16,
    /// Copies of each stream and bucket, at most one for each NATS server; without, see [`FleetOptions::replicas`].
    pub replicas: Option<u16>,
    /// Ports are counted from here; without, whatever is free.
    pub base_port: Option<u16>,
    /// Its folder, kept; started again there, the fleet goes on with its data. Without: a temporary one, removed.
    pub dir: Option<PathBuf>,
    /// Whether every shard on a server is reached through a [`crate::proxy::Proxy`] of its own.
    pub proxied: bool,
    /// Whether nats-server acknowledges only what the disk has.
    pub sync_always: bool,
    /// Whether PostgreSQL and MariaDB commit only what the disk has.
    pub durable_shards: bool,
    /// What becomes of unknown customers.
    pub placement: Placement,
    /// How often a lane without events stores how far it is. The service's own default of seconds makes tests wait.
    pub idle_advance_ms: u64,
    /// How often the directory measures the shards, in seconds. In tests hardly ever: they move files of SQLite shards about, which no
    /// other process may have open then.
    pub measure_s: u64,
    /// Further arguments of each writer, such as `--retain-s 0`.
    pub writer_args: Vec<String>,
    /// A command that each writer is started by, with its own arguments, such as `nice -n 5`. It has to become the writer
    /// (`exec`), so that signals reach that.
    pub writer_under: Vec<String>,
    /// Further arguments of ingest, such as `--ack-timeout-ms 500`.
    pub ingest_args: Vec<String>,
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
            shards: Flavor::Sqlite.into(),
            shard_count: 3,
            partitions: PartitionCount::try_from(4).expect("4 is from 1 to 512"),
            workers: 2,
            writers: 1,
            nats_nodes: 1,
            replicas: None,
            base_port: None,
            dir: None,
            proxied: false,
            sync_always: true,
            durable_shards: true,
            placement: Placement::Auto,
            idle_advance_ms: 500,
            measure_s: 3_600,
            writer_args: Vec::new(),
            writer_under: Vec::new(),
            ingest_args: Vec::new(),
            journal_max_bytes: 1 << 30,
            own_group: false,
            progress: Progress::Hidden,
        }
    }
}

impl FleetOptions {
    /// Copies of each stream and bucket: what was asked for; else 3 in a cluster, and 1 on a single server. Each copy takes
    /// a server's disk, and each publish waits for the majority of them.
    pub fn replicas(&self) -> u16 {
        self.replicas.unwrap_or(if self.nats_nodes >= 3 { 3 } else { 1 })
    }

    /// Refuses what no cluster can be, before anything is started.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let (nodes, replicas) = (self.nats_nodes, self.replicas());
        anyhow::ensure!(
            matches!(nodes, 1 | 3 | 5),
            "--nats-nodes {nodes}: 1, 3 or 5 are possible. Two servers do not elect a leader when one of them is lost, \
             and four bear the loss of no more than three do"
        );
        anyhow::ensure!(
            (1..=nodes).contains(&replicas),
            "--replicas {replicas}: from 1 to {nodes} are possible, as each copy wants a NATS server of its own; \
             more servers: --nats-nodes"
        );
        Ok(())
    }

    /// Room for every partition's stream, the dead letters, and as much again as one of them for what else there is.
    pub(crate) fn max_file_store(&self) -> u64 {
        self.journal_max_bytes.saturating_mul(u64::from(self.partitions.get()) + 2).saturating_add(1 << 30)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_make_no_cluster_and_copies_without_a_server_are_refused_with_what_is_possible() {
        let check = |nats_nodes, replicas| FleetOptions { nats_nodes, replicas, ..FleetOptions::default() }.check();
        for (nodes, replicas) in [(1, None), (3, None), (5, None), (5, Some(5)), (3, Some(1))] {
            check(nodes, replicas).unwrap();
        }
        for nodes in [0, 2, 4, 7] {
            assert!(check(nodes, None).unwrap_err().to_string().contains("1, 3 or 5 are possible"));
        }
        for (nodes, replicas) in [(1, 3), (3, 5), (3, 0)] {
            let refusal = check(nodes, Some(replicas)).unwrap_err().to_string();
            assert!(refusal.contains("--nats-nodes"), "{refusal}");
        }
    }
}
