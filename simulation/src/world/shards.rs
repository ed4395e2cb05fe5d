//! The shards of the world.

use std::time::Duration;

use sluice_directory::{client::memory::address, registration::Registrar};
use sluice_shard::memory::{Contents, Kind, MemoryDatabase};
use tokio::time::Instant;

use super::World;
use crate::chance::Chance;

/// The most shards that there ever are.
const MOST_SHARDS: usize = 4;

impl World {
    /// The names of the registered shards.
    pub fn shards(&self) -> Vec<String> {
        self.directory().names()
    }

    /// A shard's database.
    pub fn database(&self, shard: &str) -> Option<MemoryDatabase> {
        self.changing().databases.get(shard).cloned()
    }

    /// Makes a database a shard, as the directory does it. False where it did not become one.
    pub async fn register(&self, shard: &str, kind: Kind) -> bool {
        let database = MemoryDatabase::new(shard, kind, self.0.oracle.clone());
        database.install();
        self.changing().databases.insert(shard.to_owned(), database);
        let process = "admin";
        let registrar = Registrar::new(self.server().journal(process));
        let announced = match registrar.announce(shard).await {
            Ok(announced) => announced,
            Err(problem) => {
                self.note(&format!("{shard} is not registered: {problem}"));
                return false;
            }
        };
        let prepared = registrar.prepare(shard, &address(process, shard), announced.as_ref()).await;
        if prepared.is_ok() {
            self.directory().add(shard);
        }
        self.note(&format!("registered {shard}: {}", prepared.is_ok()));
        registrar.withdraw(announced).await;
        prepared.is_ok()
    }

    /// Registers a shard that was not there before. False where there are enough.
    pub fn register_another(&self, chance: &mut Chance) -> bool {
        let count = self.changing().databases.len();
        if count >= MOST_SHARDS {
            return false;
        }
        let (world, shard) = (self.clone(), format!("s{}", count + 1));
        let kind = *chance.one_of(&[Kind::AtOnce, Kind::StepByStep, Kind::OneWriter]);
        tokio::spawn(async move { world.register(&shard, kind).await });
        true
    }

    /// Takes a shard out on which nobody is, and which is not the last one.
    pub fn remove(&self, shard: &str) -> bool {
        if self.shards().len() < 2 || !self.directory().remove(shard) {
            return false;
        }
        self.note(&format!("{shard} is taken out"));
        let (world, shard) = (self.clone(), shard.to_owned());
        tokio::spawn(async move {
            let registrar = Registrar::new(world.server().journal("admin"));
            let forgotten = registrar.forget(&shard).await;
            world.note(&format!("{shard} is forgotten: {forgotten:?}"));
        });
        true
    }

    /// One of the copies that were taken of a shard, and its age.
    pub fn copy_of(&self, shard: &str, chance: &mut Chance) -> Option<(Duration, Contents)> {
        let changing = self.changing();
        let copies = changing.copies.get(shard).filter(|copies| !copies.is_empty())?;
        // The last ones more often than the first.
        let back = chance.magnitude(1, copies.len() as u64);
        let (at, copy) = &copies[copies.len() - usize::try_from(back).expect("a small number")];
        Some((Instant::now() - *at, copy.clone()))
    }
}
