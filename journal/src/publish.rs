//! Storing events by group commit.
//!
//! While a partition's last publish is under way, what arrives for it gathers; then all of it is published at once, the
//! events of one customer packed into one message. Each fsync of the server so carries as many events as the load makes.
//!
//! A publisher also notices a journal that went back: an acknowledgement at or below a position that it was acknowledged before. What
//! was stored so stays stored (a [repair](crate::repair) brings it to its shard), but its id may be another row's. So nothing more is
//! published to that partition until the journal has gone beyond all that this publisher was ever told, which a repair brings about
//! where the shards have stored it; or until the process is started anew, which forgets. A publisher that only begins then cannot
//! notice: that is what the stamps in the shards are for.

mod heights;
mod packed;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{
    connection::State,
    jetstream::{self, ErrorCode, context::PublishErrorKind, message::PublishMessage},
};
use bytes::Bytes;
use futures::future::join_all;
use sluice_failpoint::fail_point;
use sluice_model::{CustomerId, EventId, MessageBuilder, Pace, Partition, Position};
use tokio::sync::{mpsc, oneshot};

use self::{
    heights::Heights,
    packed::{Packed, pack},
};
use crate::{
    Journal,
    fate::inbox::{Inbox, Waiting},
    lookup, subject,
};

/// Requests that wait for a partition's next round. Beyond them callers wait for a place.
const QUEUE: usize = 8_192;
/// Requests of one round.
const ROUND: usize = 4_096;
/// The beginnings of two rounds are so far apart, where the former had at least so many requests. Shorter: rounds of a few requests on a
/// busy machine, each with an fsync of its own. Longer: requests wait in vain.
const APART: Duration = Duration::from_millis(1);
const LOAD_FROM: usize = 4;
/// From so many events on a round is worth its price: a few uploads are.
const LARGE_FROM: usize = 256;
/// How often a journal that went back is asked whether it has gone beyond again. Less: publishers learn late that it was repaired.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Why events were not stored, or not surely.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// There is no connection to NATS: nothing was published. Sending again is safe.
    #[error("NATS is not reachable; nothing was published")]
    Disconnected,
    /// The journal is full: nothing was stored. Sending again later is safe.
    #[error("the journal is full; nothing was stored")]
    Full,
    /// Nobody takes events for this partition: nothing was stored. Sending again soon is safe.
    #[error(
        "nobody takes events for this partition at the moment; nothing was stored. In a NATS cluster its servers are choosing \
         a leader, or more than half of them are away; else its stream is missing"
    )]
    NoLeader,
    /// The server refused: nothing was stored.
    #[error("the journal refused: {0}")]
    Refused(String),
    /// The partition's stream could drop what it takes: nothing was published. Sending again once
    /// it is mended is safe.
    #[error("the journal's stream is not set up as it has to be; nothing was published: {0}")]
    Misconfigured(String),
    /// The journal has lost positions that it gave before: nothing was published.
    #[error(
        "the journal lost its end: it has given position {given:?} after {told:?}; nothing was published. `writer journal show` \
         names what is lost, `writer journal repair` mends it; ingest goes on once the journal has gone beyond that, or is restarted"
    )]
    WentBack {
        /// The highest position acknowledged.
        told: Position,
        /// The lower one that came later.
        given: Position,
    },
    /// The events are too large for one message.
    #[error("{bytes} bytes in one message; at most {max} are allowed")]
    TooLarge {
        /// How large they are.
        bytes: usize,
        /// How large they may be.
        max: usize,
    },
    /// The message id was used before, for other events: nothing was stored.
    #[error("this key was used for other events, which are stored as {first}; nothing was stored now")]
    KeyReused {
        /// The first of those.
        first: EventId,
    },
    /// No acknowledgement came in time: they may be stored or not.
    #[error("not acknowledged ({0}); whether the events are stored is unknown")]
    Unknown(String),
}

/// What is asked for beside storage.
#[derive(Debug, Default, Clone)]
pub struct Ask {
    /// To be told what becomes of the events.
    pub fate: bool,
    /// The trace that they belong to; see [`crate::fate::is_trace`].
    pub trace: Option<String>,
    /// An id by which a second message of the same is known, for the time of the journal's duplicate window: a message of
    /// its own, which is stored once. Visible ASCII characters.
    pub message_id: Option<String>,
}

/// Events that are stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The first one's id; the others' follow it one by one.
    pub first: EventId,
    /// Whether they were before, under the same message id.
    pub replayed: bool,
    /// To hear what became of them, where that was asked. Not for those that were stored before: that was told then.
    pub fate: Option<Waiting>,
}

/// Stores events. Cloning is cheap; the clones share the rounds.
#[derive(Debug, Clone)]
pub struct Publisher {
    journal: Journal,
    queues: Arc<[mpsc::Sender<Request>]>,
}

type Answer = Result<Stored, PublishError>;

#[derive(Debug)]
struct Request {
    customer: CustomerId,
    message: MessageBuilder,
    ask: Ask,
    stored: oneshot::Sender<Answer>,
}

impl Publisher {
    /// Starts one task for each partition; they end when the last clone is gone and all is answered.
    ///
    /// `ack_timeout`: how long to wait for the server's acknowledgement. Too low: a busy disk makes outcomes unknown. Too
    /// high: clients wait that long for a server that is gone.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn start(journal: &Journal, ack_timeout: Duration) -> Result<Self, async_nats::SubscribeError> {
        let inbox = Inbox::open(journal.client()).await?;
        let queues = journal.partitions().all().map(|partition| {
            let (queue, requests) = mpsc::channel(QUEUE);
            // A context of its own, with a permit for each message of a round: rounds that shared permits could each hold
            // some, and wait for the others' for ever.
            let context = jetstream::ContextBuilder::new().timeout(ack_timeout).max_ack_inflight(ROUND);
            let context = context.build(journal.client().clone());
            let heights = Heights::default();
            let inbox = inbox.clone();
            tokio::spawn(run(Partitioned { journal: journal.clone(), context, partition, inbox, heights }, requests));
            queue
        });
        Ok(Self { journal: journal.clone(), queues: queues.collect() })
    }

    /// The journal that it stores in.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Stores a customer's events in one message.
    ///
    /// # Errors
    /// See [`PublishError`]: each variant says whether something may have been stored.
    pub async fn publish(
        &self,
        customer: &CustomerId,
        message: MessageBuilder,
        ask: Ask,
    ) -> Result<Stored, PublishError> {
        self.offer(customer, message, ask).await?.await
    }

    /// Takes a customer's events, after all that it took of that customer before; gives what will come of them. Waits while there is no
    /// room for more.
    ///
    /// # Errors
    /// As [`Publisher::publish`]; so will the answer.
    pub async fn offer(
        &self,
        customer: &CustomerId,
        message: MessageBuilder,
        ask: Ask,
    ) -> Result<impl Future<Output = Result<Stored, PublishError>> + Send + use<>, PublishError> {
        let max = max_message_bytes(&self.journal);
        if message.bytes() > max {
            return Err(PublishError::TooLarge { bytes: message.bytes(), max });
        }
        let (stored, answer) = oneshot::channel();
        let request = Request { customer: customer.clone(), message, ask, stored };
        let queue = &self.queues[self.journal.partitions().of(customer).index()];
        queue.send(request).await.map_err(|_| PublishError::Disconnected)?;
        let ended = || PublishError::Unknown("the publisher ended".to_owned());
        Ok(async move { answer.await.unwrap_or_else(|_| Err(ended())) })
    }
}

/// The most bytes of a message: half of what the server takes, which leaves room for headers and for dead letters.
pub fn max_message_bytes(journal: &Journal) -> usize {
    journal.client().server_info().max_payload / 2
}

struct Partitioned {
    journal: Journal,
    context: jetstream::Context,
    partition: Partition,
    inbox: Inbox,
    heights: Heights,
}

async fn run(mut partition: Partitioned, mut requests: mpsc::Receiver<Request>) {
    let mut round = Vec::new();
    let mut pace = Pace::new(APART, LOAD_FROM, LARGE_FROM);
    while requests.recv_many(&mut round, ROUND).await > 0 {
        if let Some(until) = pace.wait_until(Instant::now()) {
            tokio::time::sleep_until(until.into()).await;
            while round.len() < ROUND
                && let Ok(request) = requests.try_recv()
            {
                round.push(request);
            }
        }
        let events = round.iter().map(|request| request.message.events()).sum();
        pace.begun(Instant::now(), round.len(), events);
        let max_bytes = max_message_bytes(&partition.journal);
        let packed = pack(round.drain(..), max_bytes);
        partition.publish(packed).await;
    }
}

impl Partitioned {
    async fn publish(&mut self, packed: Vec<Packed>) {
        // A client that has lost its server keeps what is published and sends it later, when the caller has long been
        // told something else.
        if self.context.client().connection_state() != State::Connected {
            packed.into_iter().for_each(|message| message.refuse(&PublishError::Disconnected));
            return;
        }
        if let Err(error) = self.may_publish().await {
            packed.into_iter().for_each(|message| message.refuse(&error));
            return;
        }
        let mut waiting = Vec::with_capacity(packed.len());
        for mut message in packed {
            let payload = Bytes::from(std::mem::take(&mut message.message).into_payload());
            let subject = subject::create(self.journal.partitions(), &message.customer);
            let (headers, fate) = message.headers(&self.inbox);
            let mut publish = PublishMessage::build().payload(payload.clone());
            if let Some(headers) = headers {
                publish = publish.headers(headers);
            }
            fail_point!("publish.before");
            match self.context.send_publish(subject, publish).await {
                // Kept only where it may have to be compared.
                Ok(ack) => waiting.push((message.has_id.then_some(payload), fate, message, ack)),
                Err(error) => message.refuse(&classify(&error)),
            }
        }
        fail_point!("publish.sent");
        // All at once: an acknowledgement's time limit begins when it is awaited.
        let told = join_all(waiting.into_iter().map(|(payload, fate, message, ack)| {
            let this = &*self;
            async move {
                let ack = match ack.await {
                    Ok(ack) => ack,
                    Err(error) => {
                        message.refuse(&classify(&error));
                        return None;
                    }
                };
                fail_point!("publish.acked");
                match this.position(ack.sequence) {
                    Ok(position) if ack.duplicate => {
                        message.answer_again(position, this.is_the_same(position, payload).await);
                        // What was stored before says where that was.
                        None
                    }
                    Ok(position) => {
                        message.answer(position, fate);
                        Some(position)
                    }
                    Err(error) => {
                        message.refuse(&error);
                        None
                    }
                }
            }
        }))
        .await;
        let told: Vec<Position> = told.into_iter().flatten().collect();
        if let Err(error) = self.heights.note(&told) {
            tracing::error!(partition = %self.partition, error = &error as &dyn std::error::Error, "nothing more is published");
        }
    }

    /// Whether the partition can be used as it is, and the journal has not gone back, or has gone
    /// beyond that again; it is asked for that once a second.
    async fn may_publish(&mut self) -> Result<(), PublishError> {
        if let Some(why) = self.journal.misconfigured(self.partition) {
            return Err(PublishError::Misconfigured(why));
        }
        let refused = self.heights.check();
        let due = self.heights.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
        if refused.is_err() && due {
            self.heights.asked = Some(Instant::now());
            if let Ok(bounds) = self.journal.bounds(self.partition).await {
                self.heights.reached(bounds.last);
            }
            return self.heights.check();
        }
        refused
    }

    /// Whether the message at a position holds these very events. One that is trimmed by now is taken for the same: the key says so.
    async fn is_the_same(&self, position: Position, payload: Option<Bytes>) -> Result<bool, PublishError> {
        let unknown =
            |error: crate::JournalError| PublishError::Unknown(format!("stored before as {position:?}: {error}"));
        let before = lookup::payload(&self.journal, position).await.map_err(unknown)?;
        Ok(before.is_none_or(|before| payload.is_none_or(|payload| before == payload)))
    }

    fn position(&self, sequence: u64) -> Result<Position, PublishError> {
        Position::new(sequence).filter(|position| position.partition() == self.partition).ok_or_else(|| {
            PublishError::Unknown(format!("stored as {sequence}, which is not of partition {}", self.partition))
        })
    }
}

pub(crate) fn classify(error: &jetstream::context::PublishError) -> PublishError {
    match error.kind() {
        PublishErrorKind::StreamNotFound => PublishError::NoLeader,
        PublishErrorKind::MaxPayloadExceeded => PublishError::Refused(error.to_string()),
        PublishErrorKind::Other => {
            let source = std::error::Error::source(error).and_then(|e| e.downcast_ref::<jetstream::Error>());
            match source {
                Some(refused) if refused.error_code() == ErrorCode::STREAM_STORE_FAILED => PublishError::Full,
                Some(refused) => PublishError::Refused(refused.to_string()),
                None => PublishError::Unknown(error.to_string()),
            }
        }
        _ => PublishError::Unknown(error.to_string()),
    }
}
