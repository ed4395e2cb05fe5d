//! What a fleet's folder holds, and the ports of its servers, written down: started again there, it has to be the same.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sluice_model::PartitionCount;

use crate::{
    options::FleetOptions,
    ports::{self, Ports, loopback},
    shards::Shards,
};

const FILE: &str = "fleet.json";

/// A fleet's lasting properties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) shards: Shards,
    pub(crate) partitions: PartitionCount,
    /// The port of ingest.
    pub(crate) ingest: u16,
    /// The port of the directory.
    pub(crate) directory: u16,
    /// The port of nats-server.
    pub(crate) nats: u16,
    /// The ports of the other servers of its cluster; none where it is alone.
    #[serde(default)]
    pub(crate) more_nats: Vec<u16>,
    /// For each server of the cluster, where it listens for the others; none where there is one.
    #[serde(default)]
    pub(crate) nats_routes: Vec<u16>,
    /// One port for each writer's health.
    pub(crate) writers: Vec<u16>,
    /// One port for each shard. SQLite has no use for its own.
    pub(crate) databases: Vec<u16>,
}

impl Plan {
    /// As the folder says; in a new one, as the options say.
    pub(crate) fn of(folder: &Path, options: &FleetOptions) -> anyhow::Result<Self> {
        let file = folder.join(FILE);
        if file.exists() {
            let text = std::fs::read_to_string(&file)?;
            let plan: Self = serde_json::from_str(&text).with_context(|| format!("cannot read {}", file.display()))?;
            plan.check(folder, options)?;
            return Ok(plan);
        }
        let plan = Self::new(options)?;
        std::fs::write(&file, serde_json::to_vec_pretty(&plan)?)?;
        Ok(plan)
    }

    fn new(options: &FleetOptions) -> anyhow::Result<Self> {
        let mut ports = Ports::new(options.base_port);
        let ingest = ports.take("ingest")?;
        let directory = ports.take("the directory")?;
        let nats = ports.take("nats-server")?;
        let mut many = |what: &str, count| (0..count).map(|_| ports.take(what)).collect::<Result<Vec<_>, _>>();
        let (writers, databases) = (many("a writer", options.writers)?, many("a shard", options.shard_count)?);
        // Last, so that the ports of all else are the same with a cluster and without.
        let more_nats = many("a further nats-server", options.nats_nodes.saturating_sub(1))?;
        let routes = if more_nats.is_empty() { 0 } else { options.nats_nodes };
        let nats_routes = many("a nats-server's cluster", routes)?;
        let (shards, partitions) = (options.shards, options.partitions);
        Ok(Self { shards, partitions, ingest, directory, nats, more_nats, nats_routes, writers, databases })
    }

    /// The ports of all NATS servers.
    pub(crate) fn nats_nodes(&self) -> impl Iterator<Item = u16> {
        std::iter::once(self.nats).chain(self.more_nats.iter().copied())
    }

    /// Where NATS is: all servers, with commas between them.
    pub(crate) fn nats_url(&self) -> String {
        let urls: Vec<_> = self.nats_nodes().map(|port| format!("nats://{}", loopback(port))).collect();
        urls.join(",")
    }

    /// A shard is registered with its port, and a journal has its partitions for life: neither may change.
    fn check(&self, folder: &Path, options: &FleetOptions) -> anyhow::Result<()> {
        let same = self.shards == options.shards
            && self.partitions == options.partitions
            && self.databases.len() == usize::from(options.shard_count)
            && self.writers.len() == usize::from(options.writers)
            && self.nats_nodes().count() == usize::from(options.nats_nodes)
            && options.base_port.is_none_or(|base| base == self.ingest);
        anyhow::ensure!(
            same,
            "{} holds another fleet: go on with it by --shards {} --shard-count {} --partitions {} --nats-nodes {} (its \
             ingest is at port {}), or name another folder",
            folder.display(),
            self.shards,
            self.databases.len(),
            self.partitions,
            self.nats_nodes().count(),
            self.ingest
        );
        let lists = [&self.more_nats, &self.nats_routes, &self.writers, &self.databases];
        let single = [self.ingest, self.directory, self.nats];
        for port in single.into_iter().chain(lists.into_iter().flatten().copied()) {
            ports::check(port, "a fleet that was kept")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_folder_gives_the_same_fleet_again_and_refuses_another() {
        let folder = tempfile::tempdir().unwrap();
        let options = FleetOptions::default();
        let plan = Plan::of(folder.path(), &options).unwrap();
        assert_eq!(Plan::of(folder.path(), &options).unwrap(), plan);
        let more = FleetOptions { shard_count: 5, ..options };
        let refusal = Plan::of(folder.path(), &more).unwrap_err().to_string();
        assert!(refusal.contains("--shards sqlite --shard-count 3 --partitions 4 --nats-nodes 1"), "{refusal}");
    }

    #[test]
    fn a_cluster_has_a_port_for_clients_and_one_for_the_others_on_each_server() {
        let folder = tempfile::tempdir().unwrap();
        let options = FleetOptions { nats_nodes: 3, ..FleetOptions::default() };
        let plan = Plan::of(folder.path(), &options).unwrap();
        let clients: Vec<_> = plan.nats_nodes().collect();
        let all: std::collections::BTreeSet<_> = clients.iter().chain(&plan.nats_routes).collect();
        assert_eq!((clients.len(), plan.nats_routes.len(), all.len()), (3, 3, 6));
        let urls: Vec<_> = clients.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        assert_eq!(plan.nats_url(), urls.join(","));
        let alone = FleetOptions { nats_nodes: 1, ..options };
        let refusal = Plan::of(folder.path(), &alone).unwrap_err().to_string();
        assert!(refusal.contains("--nats-nodes 3"), "{refusal}");
        let other = tempfile::tempdir().unwrap();
        assert!(Plan::of(other.path(), &alone).unwrap().nats_routes.is_empty());
    }
}
