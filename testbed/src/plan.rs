//! What a fleet's folder holds, and the ports of its servers, written down: started again there, it has to be the same.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sluice_model::PartitionCount;
use sluice_shard::Flavor;

use crate::{
    options::FleetOptions,
    ports::{self, Ports},
};

const FILE: &str = "fleet.json";

/// A fleet's lasting properties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) shards: Flavor,
    pub(crate) partitions: PartitionCount,
    /// The port of ingest.
    pub(crate) ingest: u16,
    /// The port of the directory.
    pub(crate) directory: u16,
    /// The port of nats-server.
    pub(crate) nats: u16,
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
        Ok(Self { shards: options.shards, partitions: options.partitions, ingest, directory, nats, writers, databases })
    }

    /// A shard is registered with its port, and a journal has its partitions for life: neither may change.
    fn check(&self, folder: &Path, options: &FleetOptions) -> anyhow::Result<()> {
        let same = self.shards == options.shards
            && self.partitions == options.partitions
            && self.databases.len() == usize::from(options.shard_count)
            && self.writers.len() == usize::from(options.writers)
            && options.base_port.is_none_or(|base| base == self.ingest);
        anyhow::ensure!(
            same,
            "{} holds another fleet: go on with it by --shards {} --shard-count {} --partitions {} (its ingest is at \
             port {}), or name another folder",
            folder.display(),
            self.shards,
            self.databases.len(),
            self.partitions,
            self.ingest
        );
        let all = [self.ingest, self.directory, self.nats].into_iter().chain(self.writers.iter().copied());
        for port in all.chain(self.databases.iter().copied()) {
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
        assert!(refusal.contains("--shards sqlite --shard-count 3 --partitions 4"), "{refusal}");
    }
}
