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
//!
//! No message is larger than half of what the server says that it takes (`max_payload`), whenever a
//! round begins. A server that was told to take less while we are connected says so only when it
//! refuses: `settle` finds out then what is stored.

mod heights;
mod packed;
mod partition;
mod settle;

use std::{ops::Range, sync::Arc, time::Duration};

use async_nats::jetstream;
use sluice_model::{CustomerId, EventId, MessageBuilder, Position};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::partition::classify;
use self::{
    heights::Heights,
    packed::Reply,
    partition::{Partitioned, run},
};
use crate::{
    Journal,
    fate::inbox::{Inbox, Waiting},
};

/// Requests that wait for a partition's next round. Beyond them callers wait for a place.
const QUEUE: usize = 8_192;
/// Requests of one round.
const ROUND: usize = 4_096;

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
    /// The events are too large for one message: nothing was stored.
    #[error(
        "{bytes} bytes of one event are too large: the journal's NATS server takes messages of which {max} bytes are events \
         (half of its max_payload); nothing of it was stored. Send less, or let the server take more"
    )]
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

/// What came of some of the events that were offered together.
#[derive(Debug)]
pub struct Piece {
    /// Which of them, counted from 0.
    pub events: Range<usize>,
    /// What came of them.
    pub stored: Result<Stored, PublishError>,
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
    reply: Reply,
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
        let max = max_message_bytes(&self.journal);
        if message.bytes() > max {
            return Err(PublishError::TooLarge { bytes: message.bytes(), max });
        }
        let (stored, answer) = oneshot::channel();
        self.queue(customer, message, ask, Reply::Whole(stored)).await?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Takes a customer's events, after all that it took of that customer before; gives what will
    /// come of each of them. They go into as few messages as the server's limit allows. Waits while
    /// there is no room for more.
    ///
    /// # Errors
    /// Where nobody takes them.
    pub async fn offer(
        &self,
        customer: &CustomerId,
        message: MessageBuilder,
        ask: Ask,
    ) -> Result<impl Future<Output = Vec<Piece>> + Send + use<>, PublishError> {
        let events = message.events();
        let (stored, answers) = mpsc::unbounded_channel();
        self.queue(customer, message, ask, Reply::Pieces(stored)).await?;
        Ok(packed::all_pieces(events, answers))
    }

    async fn queue(
        &self,
        customer: &CustomerId,
        message: MessageBuilder,
        ask: Ask,
        reply: Reply,
    ) -> Result<(), PublishError> {
        let request = Request { customer: customer.clone(), message, ask, reply };
        let queue = &self.queues[self.journal.partitions().of(customer).index()];
        queue.send(request).await.map_err(|_| PublishError::Disconnected)
    }
}

fn ended() -> PublishError {
    PublishError::Unknown("the publisher ended".to_owned())
}

/// The most bytes of a message: half of what the server takes, which leaves room for headers and
/// for dead letters.
pub fn max_message_bytes(journal: &Journal) -> usize {
    journal.client().max_payload() / 2
}
