//! A NATS server in memory, for simulations: the streams, their consumers and key-value buckets, as far as this crate asks for
//! them. In debug builds only.
//!
//! Each process has a [`Link`] of its own to it. Every operation of a link waits for its turn, and the simulation may refuse
//! it, lose it, or lose its answer ([`sluice_failpoint::simulated`]).

mod consumer;
mod streams;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_nats::HeaderMap;
use bytes::Bytes;
use sluice_failpoint::simulated::{Outcome, note, turn};
use sluice_model::{Partition, PartitionCount, Position};

pub(crate) use self::consumer::Consumer;
use self::streams::Streams;
use crate::{
    Journal,
    error::BoxError,
    rights::Rights,
    server::{Raw, Server, StoreError, StreamInfo},
    stream::Tag,
    subject::{DEAD_STREAM, stream_name},
};

/// What NATS takes by default.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;
/// How long a caller waits for an answer that does not come: the default of the real connection.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// A message, as a simulation looks at it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its place in its stream.
    pub sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub stamp: i64,
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub payload: Bytes,
}

/// Sees what happens to the server, in the moment in which it happens.
pub trait Witness: Send + Sync {
    /// A message was stored.
    fn stored(&self, stream: &str, message: &Stored);
    /// What stands before this sequence is about to be removed.
    fn purging(&self, stream: &str, before: u64);
    /// A message was sent that no stream stores.
    fn sent(&self, subject: &str, payload: &Bytes);
}

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct MemoryServer(Arc<Shared>);

struct Shared {
    streams: Mutex<Streams>,
    witness: Arc<dyn Witness>,
    partitions: PartitionCount,
    copies: usize,
}

impl fmt::Debug for MemoryServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryServer")
    }
}

impl MemoryServer {
    /// A server with an empty journal of so many partitions, whose streams say that they have so many copies.
    pub fn new(partitions: PartitionCount, copies: usize, witness: Arc<dyn Witness>) -> Self {
        let mut streams = Streams::default();
        for partition in partitions.all() {
            streams.make(&stream_name(partition), Position::first(partition).get(), false);
        }
        streams.make(DEAD_STREAM, 1, false);
        Self(Arc::new(Shared { streams: Mutex::new(streams), witness, partitions, copies }))
    }

    /// The journal, as the process of that name has opened it.
    pub fn journal(&self, process: &str) -> Journal {
        let link = Link { server: self.clone(), actor: format!("{process} journal") };
        let tag = Tag { journal_id: "simulated".to_owned(), partitions: self.0.partitions };
        Journal::of(Server::Memory(link), tag, Rights::default(), self.0.copies)
    }

    /// Whether it answers.
    pub fn is_up(&self) -> bool {
        self.streams().is_up()
    }

    /// Whether it answers from now on. Where it does not, its consumers are gone, too.
    pub fn set_up(&self, up: bool) {
        self.streams().set_up(up);
    }

    /// For a while, some answers come from a server that does not lead any more, and that has nothing since now.
    pub fn set_stale(&self, stale: bool) {
        self.streams().set_stale(stale);
    }

    /// Every consumer is lost.
    pub fn cut(&self) {
        self.streams().cut();
    }

    /// A partition's stream loses what stands after `last`. Its positions will be given again.
    pub fn truncate(&self, last: Position) {
        self.streams().truncate(&stream_name(last.partition()), last.get());
    }

    /// The first position that a partition holds (or the next that it will give), and the last that it gave.
    pub fn bounds(&self, partition: Partition) -> (Position, Position) {
        let (first, last) = self.streams().bounds(&stream_name(partition));
        let position = |sequence| Position::new(sequence).expect("a partition's stream holds its positions");
        (position(first), position(last))
    }

    /// Stores a message, as a publisher that needs no turn. `None` where the server is away.
    pub fn publish(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Option<u64> {
        if !self.streams().is_up() {
            return None;
        }
        self.store(subject, headers, payload).ok()
    }

    fn store(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Result<u64, StoreError> {
        let (stream, stored) = self.streams().store(subject, headers, payload)?;
        let Raw { subject, sequence, stamp, headers, payload } = stored;
        let stored = Stored { sequence, stamp, subject: subject.to_string(), headers, payload };
        self.0.witness.stored(&stream, &stored);
        Ok(sequence)
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.0.streams.lock().expect("no holder of this lock panics")
    }
}

/// One process' connection to the server.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    server: MemoryServer,
    actor: String,
}

impl Link {
    pub(crate) async fn stream_info(&self, stream: &str) -> Result<StreamInfo, BoxError> {
        let copies = self.server.0.copies;
        let show = |info: &StreamInfo| format!("{} to {}", at(info.first_sequence), at(info.last_sequence));
        self.ask(format!("info {stream}"), show, |server| Ok(server.streams().info(stream, copies))).await
    }

    pub(crate) async fn raw_message(&self, stream: &str, sequence: u64) -> Result<Option<Raw>, BoxError> {
        let what = format!("get {}", at(sequence));
        self.ask(what, show_raw, |server| Ok(server.streams().raw(stream, sequence))).await
    }

    pub(crate) async fn last_message(&self, stream: &str, subject: &str) -> Result<Option<Raw>, BoxError> {
        let what = format!("get last {subject}");
        self.ask(what, show_raw, |server| Ok(server.streams().last(stream, subject))).await
    }

    pub(crate) async fn store(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<u64, StoreError> {
        let what = format!("store {subject}");
        self.ask(what, |stored| at(*stored), |server| server.store(&subject, headers, payload)).await
    }

    pub(crate) async fn purge(&self, stream: &str, before: u64) -> Result<u64, BoxError> {
        let purge = |server: &MemoryServer| {
            server.0.witness.purging(stream, before);
            Ok(server.streams().purge(stream, before))
        };
        self.ask(format!("purge {stream} before {}", at(before)), ToString::to_string, purge).await
    }

    pub(crate) async fn send(&self, subject: &str, payload: Bytes) -> Result<(), BoxError> {
        let send = |server: &MemoryServer| {
            server.0.witness.sent(subject, &payload);
            Ok(())
        };
        self.ask(format!("send {subject}"), |()| String::from_utf8_lossy(&payload).into_owned(), send).await
    }

    /// Makes a bucket's stream, where it is missing.
    pub(crate) async fn open_bucket(&self, stream: &str) -> Result<(), BoxError> {
        let make = |server: &MemoryServer| {
            server.streams().make(stream, 1, true);
            Ok(())
        };
        self.ask(format!("open {stream}"), |()| String::new(), make).await
    }

    /// A consumer of all that a stream holds from a sequence on.
    pub(crate) async fn consume(&self, stream: &str, from: u64) -> Result<Consumer, BoxError> {
        let make = |server: &MemoryServer| Ok::<_, BoxError>(server.streams().generation());
        let what = format!("consume {stream} from {}", at(from));
        let generation = self.ask(what, |_| String::new(), make).await?;
        Ok(Consumer::new(self.clone(), stream.to_owned(), from, generation))
    }

    pub(crate) fn unique_text(&self) -> String {
        format!("{}-{}", self.actor.replace(' ', "-"), self.server.streams().next_name())
    }

    /// One question: its turn, what it does, its answer. May be cancelled at each await, as a real one.
    async fn ask<T, E>(
        &self,
        what: String,
        show: impl Fn(&T) -> String,
        act: impl FnOnce(&MemoryServer) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<Silence> + fmt::Display,
    {
        let verdict = turn(&self.actor, || what.clone()).await;
        let outcome = if self.server.streams().is_up() { verdict.outcome } else { Outcome::Lost };
        let answer = match outcome {
            Outcome::Done | Outcome::AnswerLost | Outcome::Cut => act(&self.server),
            Outcome::Refused | Outcome::Lost => Err(Silence::NoConnection.into()),
        };
        note(&self.actor, || match &answer {
            Ok(answer) => format!("{what}: {outcome:?} {}", show(answer)),
            Err(error) => format!("{what}: {outcome:?} {error}"),
        });
        match outcome {
            Outcome::Done => {
                if verdict.slow {
                    turn(&self.actor, || format!("hear of {what}")).await;
                }
                answer
            }
            Outcome::Refused => answer,
            Outcome::Cut => Err(Silence::NoConnection.into()),
            Outcome::Lost | Outcome::AnswerLost => {
                tokio::time::sleep(REQUEST_LIMIT).await;
                Err(Silence::Late.into())
            }
        }
    }
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Silence {
    #[error("the connection is gone")]
    NoConnection,
    #[error("no answer in time")]
    Late,
}

impl From<Silence> for StoreError {
    fn from(silence: Silence) -> Self {
        Self::Other(silence.into())
    }
}

/// A sequence as people read it: `3/17` in a partition's stream.
fn at(sequence: u64) -> String {
    Position::new(sequence).map_or_else(|| sequence.to_string(), |position| format!("{position:?}"))
}

fn show_raw(raw: &Option<Raw>) -> String {
    raw.as_ref().map_or_else(|| "none".to_owned(), |raw| format!("{} of {}", at(raw.sequence), raw.stamp))
}
