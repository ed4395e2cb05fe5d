//! The shards' addresses, as the directory last told them.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use sluice_directory::{Client, DirectoryError, ShardEntry, registration::Registrar};
use sluice_journal::Journal;
use sluice_service::Problem;
use sluice_shard::ShardAddress;

/// Every registered shard's address. Asked again when a lane meets a shard it does not know, or cannot get in.
pub struct Shards {
    directory: Client,
    registrar: Registrar,
    asked: AtomicU64,
    known: Mutex<Known>,
}

/// An answer, and the number of the question. Of two answers, that to the later question counts, whichever comes last.
#[derive(Default)]
struct Known {
    asked: u64,
    entries: BTreeMap<String, ShardEntry>,
}

impl Known {
    fn learn(&mut self, asked: u64, entries: Vec<ShardEntry>) {
        if asked > self.asked {
            *self = Self { asked, entries: entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect() };
        }
    }
}

impl Shards {
    /// Nothing known yet.
    pub fn new(directory: Client, journal: Journal) -> Self {
        Self { directory, registrar: Registrar::new(journal), asked: AtomicU64::new(0), known: Mutex::default() }
    }

    /// Asks the directory, and gives every shard's name.
    ///
    /// # Errors
    /// Where the directory does not answer; what was known stays known.
    pub async fn refresh(&self) -> Result<Vec<String>, DirectoryError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let entries = self.directory.shards().await?;
        let mut known = self.known();
        known.learn(asked, entries);
        Ok(known.entries.keys().cloned().collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.known().entries.len()
    }

    /// What is known of a shard.
    pub fn entry(&self, shard: &str) -> Option<ShardEntry> {
        self.known().entries.get(shard).cloned()
    }

    /// Which of its versions that is.
    pub fn version(&self, shard: &str) -> Option<u64> {
        self.known().entries.get(shard).map(|entry| entry.version)
    }

    /// Makes a database a shard, where there is nobody else who does. False where there is.
    ///
    /// # Errors
    /// Where the directory does not answer, or the database refuses.
    pub async fn register(&self, shard: &str, address: &ShardAddress) -> Result<bool, RegisterError> {
        if !self.directory.registers_nothing().await? {
            return Ok(false);
        }
        let announced = self.registrar.announce(shard).await?;
        let prepared = self.registrar.prepare(shard, address, announced.as_ref()).await;
        self.registrar.withdraw(announced).await;
        prepared?;
        tracing::info!(shard, %address, "made the database a shard");
        Ok(true)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no holder of this lock panics")
    }
}

/// Why a database did not become a shard.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Nobody says whose it would be.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// It cannot be one.
    #[error("{0}")]
    Refused(#[from] Problem),
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use sluice_directory::{Pool, ShardState};
    use sluice_shard::{CustomerColumn, Flavor};

    use super::*;

    fn entry(password: &str) -> ShardEntry {
        let (host, user, database) = ("h".into(), "u".into(), "d".into());
        let (password, customer_column) = (password.into(), CustomerColumn::default());
        let address =
            ShardAddress { flavor: Flavor::Postgres, host, port: 1, user, password, database, customer_column };
        ShardEntry { name: "a".into(), address, pool: Pool::Shared, state: ShardState::Open, version: 1 }
    }

    #[test]
    fn an_answer_that_was_asked_for_before_a_change_and_comes_after_it_does_not_undo_it() {
        let mut known = Known::default();
        known.learn(2, vec![entry("new")]);
        // The answer to the first question was on its way for longer.
        known.learn(1, vec![entry("old"), ShardEntry { name: "taken out".into(), ..entry("old") }]);
        let passwords: Vec<_> = known.entries.values().map(|e| e.address.password.expose_secret()).collect();
        assert_eq!(passwords, ["new"]);
        known.learn(3, vec![]);
        assert!(known.entries.is_empty());
    }
}
