//! What a dead event's shard says about it before it is replayed.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use anyhow::Context;
use sluice_directory::Client;
use sluice_journal::DeadLetter;
use sluice_model::{CustomerId, EventId, MAX_EVENTS};
use sluice_shard::{Identity, Shard, ShardAddress, ShardError, StoredPosition, StoredRow};

use super::replay::{Refused, Trouble};

/// How long a shard may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The shards, connected to when first asked.
pub struct Homes {
    directory: Client,
    journal_id: String,
    addresses: BTreeMap<String, ShardAddress>,
    connections: HashMap<String, Shard>,
}

impl Homes {
    /// None connected yet.
    pub fn new(directory: Client, journal_id: &str) -> Self {
        let journal_id = journal_id.to_owned();
        Self { directory, journal_id, addresses: BTreeMap::new(), connections: HashMap::new() }
    }

    /// The shard that a customer's rows are on, if it has passed the dead events without making a row of one of them.
    ///
    /// One that has not passed them may yet make rows of them: what a database refused once (a value, a right) it may take the
    /// next time.
    ///
    /// # Errors
    /// A refusal of this event where a replay could double it or leads nowhere; else where the directory does not answer.
    pub async fn clear(&mut self, customer: &CustomerId, letter: &DeadLetter) -> Result<String, Trouble> {
        let routes = self.directory.read_routes(std::slice::from_ref(customer)).await;
        let route = routes.context("ask the directory (--sharding-mode) for a route")?.into_iter().next().flatten();
        let shard = route.ok_or_else(|| Refused::NotPlaced { customer: customer.clone() })?.shard;
        let found = tokio::time::timeout(LIMIT, self.ask(&shard, customer, letter)).await;
        let found = found.unwrap_or_else(|_| Err(silent(&shard, anyhow::anyhow!("no answer in time"))));
        if found.is_err() {
            // In doubt about its state: the next question goes over a new one.
            self.connections.remove(&shard);
        }
        let (stored, has_row) = found?;
        if has_row {
            return Err(Refused::RowExists { shard }.into());
        }
        match stored {
            Some(stored) if stored.position >= letter.id.position() => Ok(shard),
            _ => Err(Refused::NotPassed { shard }.into()),
        }
    }

    /// How far the shard is in the events' partition, and then whether it has a row of one of them.
    async fn ask(
        &mut self,
        name: &str,
        customer: &CustomerId,
        letter: &DeadLetter,
    ) -> Result<(Option<StoredPosition>, bool), Trouble> {
        let unreadable = |error: ShardError| silent(name, error);
        let shard = self.connection(name).await?;
        let (id, last) = (letter.id, letter.ids().last().unwrap_or(letter.id));
        let stored = shard.positions().await.map_err(unreadable)?.get(&id.position().partition()).copied();
        let before = EventId::try_from(id.get() - 1).ok();
        // More rows of one message there cannot be.
        let most = u32::try_from(MAX_EVENTS).expect("1,024");
        let rows =
            shard.customer_rows(customer, before, if last == id { 1 } else { most }).await.map_err(unreadable)?;
        let is_of_letter =
            |row: &StoredRow| row.id.position() == id.position() && letter.events.contains(row.id.index());
        Ok((stored, rows.iter().any(is_of_letter)))
    }

    async fn connection(&mut self, name: &str) -> Result<&mut Shard, Trouble> {
        if !self.connections.contains_key(name) {
            if !self.addresses.contains_key(name) {
                let shards = self.directory.shards().await.context("ask the directory for the shards")?;
                self.addresses = shards.into_iter().map(|entry| (entry.name, entry.address)).collect();
            }
            let address = self
                .addresses
                .get(name)
                .ok_or_else(|| silent(name, anyhow::anyhow!("the directory does not list it")))?;
            let identity = Identity { shard: name.to_owned(), journal_id: self.journal_id.clone() };
            let shard = Shard::connect(address, &identity).await.map_err(|error| silent(name, error))?;
            self.connections.insert(name.to_owned(), shard);
        }
        Ok(self.connections.get_mut(name).expect("it is there, or was made just now"))
    }
}

fn silent(shard: &str, why: impl Into<anyhow::Error>) -> Trouble {
    Refused::ShardSilent { shard: shard.to_owned(), why: format!("{:#}", why.into()) }.into()
}
