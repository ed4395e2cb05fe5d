//! The shards' addresses, as the directory last told them.

use std::{collections::BTreeMap, sync::Mutex};

use sluice_directory::{Client, DirectoryError};
use sluice_shard::ShardAddress;

/// Every registered shard's address. Asked again when a lane meets a shard it does not know, or cannot get in.
pub struct Shards {
    directory: Client,
    known: Mutex<BTreeMap<String, ShardAddress>>,
}

impl Shards {
    /// Nothing known yet.
    pub fn new(directory: Client) -> Self {
        Self { directory, known: Mutex::default() }
    }

    /// Asks the directory, and gives every shard's name.
    ///
    /// # Errors
    /// Where the directory does not answer; what was known stays known.
    pub async fn refresh(&self) -> Result<Vec<String>, DirectoryError> {
        let entries = self.directory.shards().await?;
        let known: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.name, entry.address)).collect();
        let names = known.keys().cloned().collect();
        *self.known.lock().expect("no holder of this lock panics") = known;
        Ok(names)
    }

    /// The address of a shard, if it is known.
    pub fn address(&self, shard: &str) -> Option<ShardAddress> {
        self.known.lock().expect("no holder of this lock panics").get(shard).cloned()
    }
}
