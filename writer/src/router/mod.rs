//! Which shard each event of a chunk belongs to.
//!
//! A route is a function of customer and position, so a cached one is good for the contiguous stretch that has been read
//! since it was asked for. Each reader therefore has a router of its own, and one that starts elsewhere starts with an
//! empty cache.

pub mod bad;
pub mod cache;

use std::collections::HashSet;

use bytes::Bytes;
use sluice_directory::{Client, DirectoryError, RouteAnswer};
use sluice_journal::{Message, Watched, dead::Grave};
use sluice_model::{CustomerId, PartitionCount, Position, Reason, Refusal, Rows, message};

use self::{bad::BadEvents, cache::Cache};

/// Sorting a chunk ends with the message that brings its dead letters to this number. Lower: chunks of bad events cost more rounds.
/// Higher: the rows behind them wait for that many letters, and a lane's queue overshoots its bound by their memory (each of them has
/// at most 2 KB beside what stands in its message).
pub const LETTERS: usize = 64;

/// A shard, by its place in [`Router::shares`].
type ShardIndex = usize;

/// What one shard gets of a chunk.
#[derive(Debug, Default, Clone)]
pub struct Share {
    /// Its name.
    pub shard: String,
    /// The rows.
    pub rows: Rows,
    /// Events of its customers that can never become a row.
    pub graves: Vec<Grave>,
    /// Messages of its customers that somebody wants to hear of.
    pub watched: Vec<Watched>,
}

impl Share {
    /// Whether there is anything in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.graves.is_empty() && self.watched.is_empty()
    }
}

/// Sorts the events of one reader's messages by shard.
pub struct Router {
    directory: Client,
    partitions: PartitionCount,
    /// Only this shard's events are wanted; the others are not even decoded.
    only: Option<String>,
    homes: Cache<ShardIndex>,
    shares: Vec<Share>,
    strays: Vec<Grave>,
    watched_strays: Vec<Watched>,
    unscoped_ids: u64,
}

impl Router {
    /// A router with an empty cache for so many customers; with `only`, for a lane that reads for itself.
    pub fn new(directory: Client, partitions: PartitionCount, customers: usize, only: Option<String>) -> Self {
        Self {
            directory,
            partitions,
            only,
            homes: Cache::new(customers),
            shares: Vec::new(),
            strays: Vec::new(),
            watched_strays: Vec::new(),
            unscoped_ids: 0,
        }
    }

    /// What each shard gets of the chunk sorted last. A shard that once had a share keeps its place.
    pub fn shares(&mut self) -> &mut [Share] {
        &mut self.shares
    }

    /// The dead letters of the chunk sorted last that are no lane's: of messages without a valid customer, or of a customer
    /// that strict placement refuses.
    pub fn strays(&self) -> &[Grave] {
        &self.strays
    }

    /// Messages among those that somebody wants to hear of.
    pub fn take_watched_strays(&mut self) -> Vec<Watched> {
        std::mem::take(&mut self.watched_strays)
    }

    /// The share of a shard, if it ever had one.
    pub fn share_of(&mut self, shard: &str) -> Option<&mut Share> {
        self.shares.iter_mut().find(|share| share.shard == shard)
    }

    /// Sorts the first messages of a chunk, at least one, and gives their number: all of them, unless there are many dead letters among
    /// them. What the last chunk left in the shares is removed first.
    ///
    /// # Errors
    /// Where a customer is not known here and the directory does not answer. Nothing is guessed: no position may pass an
    /// event whose shard is not known, so the caller asks again until there is an answer.
    pub async fn sort(&mut self, chunk: &[Message]) -> Result<usize, DirectoryError> {
        self.clear();
        let customers: Vec<_> = chunk.iter().map(|message| message.customer(self.partitions)).collect();
        let refused = self.resolve(chunk, &customers).await?;
        for (index, (message, customer)) in chunk.iter().zip(customers).enumerate() {
            match customer {
                Ok(customer) => self.sort_message(message, customer, &refused),
                Err(_) if message.is_filler() => {}
                Err(refusal) => {
                    let letters = [whole(message, refusal)];
                    self.watched_strays.extend(watched(message, &letters));
                    self.strays.extend(letters);
                }
            }
            if self.letters() >= LETTERS {
                return Ok(index + 1);
            }
        }
        Ok(chunk.len())
    }

    /// Dead letters of the chunk sorted last.
    fn letters(&self) -> usize {
        self.strays.len() + self.shares.iter().map(|share| share.graves.len()).sum::<usize>()
    }

    fn clear(&mut self) {
        self.strays.clear();
        self.watched_strays.clear();
        for share in &mut self.shares {
            share.rows.clear();
            share.graves.clear();
            share.watched.clear();
        }
    }

    /// Asks for every customer that is not cached, in one request. A refusal holds for its position only: it is given back
    /// instead of cached.
    async fn resolve(
        &mut self,
        chunk: &[Message],
        customers: &[Result<&str, Refusal>],
    ) -> Result<HashSet<Position>, DirectoryError> {
        debug_assert!(chunk.len() <= cache::LEAST / 4, "a chunk's customers have to be known together");
        let mut questions: Vec<(CustomerId, Position)> = Vec::new();
        for (message, customer) in chunk.iter().zip(customers) {
            let Ok(customer) = customer else { continue };
            if !self.homes.touch(customer) {
                questions.push((customer.parse().expect("a subject's customer was checked"), message.position));
            }
        }
        let mut refused = HashSet::new();
        if questions.is_empty() {
            return Ok(refused);
        }
        let answers = self.directory.write_routes(&questions).await?;
        for ((customer, position), answer) in questions.into_iter().zip(answers) {
            match answer {
                RouteAnswer::Placed(route) => {
                    let index = self.index(&route.shard);
                    self.homes.insert(customer, index);
                }
                RouteAnswer::Refused => {
                    refused.insert(position);
                }
            }
        }
        Ok(refused)
    }

    fn sort_message(&mut self, message: &Message, customer: &str, refused: &HashSet<Position>) {
        if refused.contains(&message.position) {
            let customer: CustomerId = customer.parse().expect("a subject's customer was checked");
            let refusal = Refusal::new(Reason::UnknownCustomer, placed_nowhere(&customer));
            let letters = refused_events(message, &customer, &refusal);
            self.watched_strays.extend(watched(message, &letters));
            self.strays.extend(letters);
            return;
        }
        let (customer, index) = self.homes.get(customer).expect("every customer of the chunk was resolved");
        let share = &mut self.shares[index];
        if self.only.as_ref().is_some_and(|only| *only != share.shard) {
            return;
        }
        // A lane that reads for itself reads what the live reader has counted.
        if self.only.is_none() {
            note_unscoped_id(&mut self.unscoped_ids, message, customer);
        }
        let mut bad = BadEvents::new(message, customer);
        for (index, event) in message::events(&message.payload, customer).enumerate() {
            match event.person {
                Ok(person) => share.rows.push(customer, message.position.event(index), &person),
                Err(refusal) => bad.push(index, event.json, refusal),
            }
        }
        let letters = bad.into_letters();
        share.watched.extend(watched(message, &letters));
        share.graves.extend(letters);
    }

    fn index(&mut self, shard: &str) -> ShardIndex {
        self.shares.iter().position(|share| share.shard == shard).unwrap_or_else(|| {
            self.shares.push(Share { shard: shard.to_owned(), ..Share::default() });
            self.shares.len() - 1
        })
    }
}

/// Counts a message whose id another customer's may have too: the server would drop that one as a
/// duplicate. Told at the 1st, 2nd, 4th and so on: a publisher that does so does it for each
/// message.
fn note_unscoped_id(count: &mut u64, message: &Message, customer: &CustomerId) {
    let Some(id) = message.unscoped_id(customer.as_str()) else { return };
    metrics::counter!("sluice_unscoped_message_ids_total").increment(1);
    *count += 1;
    if count.is_power_of_two() {
        tracing::warn!(
            id, %customer, count, position = %message.position,
            "a publisher's message id (Nats-Msg-Id) does not name its customer: a message of another customer with the same id is \
             dropped as a duplicate. Use <customer>/<key>"
        );
    }
}

/// The message, if somebody wants to hear of it, with its events that are no rows.
fn watched(message: &Message, letters: &[Grave]) -> Option<Watched> {
    let mut watched = Watched::of(message)?;
    letters.iter().for_each(|letter| watched.note_dead(letter.events.clone(), &letter.refusal));
    Some(watched)
}

/// Why a customer's events are refused under strict placement.
pub(crate) fn placed_nowhere(customer: &CustomerId) -> String {
    format!("customer {customer} is placed nowhere, and placement is strict")
}

/// The dead letters of a message whose events are all refused.
pub(crate) fn refused_events(message: &Message, customer: &CustomerId, refusal: &Refusal) -> Vec<Grave> {
    let mut bad = BadEvents::new(message, customer);
    for (index, event) in message::events(&message.payload, customer).enumerate() {
        bad.push(index, event.json, refusal.clone());
    }
    bad.into_letters()
}

/// The dead letter of a message whose subject says nothing that could be done: all its events in one, as if it were one.
pub(crate) fn whole(message: &Message, refusal: Refusal) -> Grave {
    let (stored, payload) = ((message.subject.as_str(), message.stamp), Bytes::copy_from_slice(&message.payload));
    Grave::of_event(message.position, 0, None, refusal, stored, payload)
}
