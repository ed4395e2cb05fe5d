//! Whose the messages are that were given again: as the reader will have it that reads them.

use std::collections::HashMap;

use anyhow::Context;
use sluice_directory::{Client, RouteAnswer};
use sluice_journal::Message;
use sluice_model::{CustomerId, PartitionCount, Refusal};

/// Where a message belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// A repair's own; nobody's.
    Filler,
    /// To this shard.
    Shard(CustomerId, String),
    /// Its customer is placed nowhere, and placement is strict.
    Refused(CustomerId),
    /// Its customer is placed nowhere yet. Only where nobody is to be placed.
    Unplaced,
    /// Its subject names no customer of this partition.
    Nobody(Refusal),
}

/// Asks the directory, message by message in the order of the journal.
pub struct Homes {
    directory: Client,
    partitions: PartitionCount,
    /// Whether customers who are new get their place now, or their refusal is noted: so that both hold when the writers ask.
    place: bool,
    /// Good for the stretch that is read, as with every reader.
    known: HashMap<CustomerId, String>,
}

impl Homes {
    /// Nobody known yet.
    pub fn new(directory: Client, partitions: PartitionCount, place: bool) -> Self {
        Self { directory, partitions, place, known: HashMap::new() }
    }

    /// The home of each message of a chunk.
    ///
    /// # Errors
    /// Where the directory does not answer.
    pub async fn of(&mut self, chunk: &[Message]) -> anyhow::Result<Vec<Home>> {
        let mut homes: Vec<Home> = chunk.iter().map(|message| self.without_asking(message)).collect();
        let open: Vec<usize> =
            homes.iter().enumerate().filter(|(_, home)| **home == Home::Unplaced).map(|(index, _)| index).collect();
        let customer =
            |index: &usize| chunk[*index].event_of(self.partitions).expect("only a customer's message is open");
        let customers: Vec<CustomerId> = open.iter().map(customer).collect();
        for ((index, customer), shard) in open.iter().zip(&customers).zip(self.ask(chunk, &open, &customers).await?) {
            homes[*index] = match shard {
                Some(shard) => {
                    self.known.insert(customer.clone(), shard.clone());
                    Home::Shard(customer.clone(), shard)
                }
                None if self.place => Home::Refused(customer.clone()),
                None => Home::Unplaced,
            };
        }
        Ok(homes)
    }

    fn without_asking(&self, message: &Message) -> Home {
        if message.is_filler() {
            return Home::Filler;
        }
        match message.event_of(self.partitions) {
            Err(refusal) => Home::Nobody(refusal),
            Ok(customer) => match self.known.get(&customer) {
                Some(shard) => Home::Shard(customer, shard.clone()),
                None => Home::Unplaced,
            },
        }
    }

    async fn ask(
        &self,
        chunk: &[Message],
        open: &[usize],
        customers: &[CustomerId],
    ) -> anyhow::Result<Vec<Option<String>>> {
        const ASK: &str = "ask the directory (--sharding-mode) for routes";
        if !self.place {
            let routes = self.directory.read_routes(customers).await.context(ASK)?;
            let at = open.iter().map(|index| chunk[*index].position);
            let placed =
                routes.into_iter().zip(at).map(|(route, at)| Some(route.filter(|route| route.from <= at)?.shard));
            return Ok(placed.collect());
        }
        let at = open.iter().map(|index| chunk[*index].position);
        let questions: Vec<_> = customers.iter().cloned().zip(at).collect();
        let answers = self.directory.write_routes(&questions).await.context(ASK)?;
        let shard = |answer| match answer {
            RouteAnswer::Placed(route) => Some(route.shard),
            RouteAnswer::Refused => None,
        };
        Ok(answers.into_iter().map(shard).collect())
    }
}
