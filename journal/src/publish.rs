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

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{
    connection::State,
    jetstream::{self, ErrorCode, context::PublishErrorKind},
};
use bytes::Bytes;
use futures::future::join_all;
use sluice_failpoint::fail_point;
use sluice_model::{CustomerId, EventId, MAX_EVENTS, MessageBuilder, Partition, Position};
use tokio::sync::{mpsc, oneshot};

use crate::{Journal, subject};

/// Requests that wait for a partition's next round. Beyond them callers wait for a place.
const QUEUE: usize = 8_192;
/// Requests of one round.
const ROUND: usize = 4_096;
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
    /// No acknowledgement came in time: they may be stored or not.
    #[error("not acknowledged ({0}); whether the events are stored is unknown")]
    Unknown(String),
}

/// Stores events. Cloning is cheap; the clones share the rounds.
#[derive(Debug, Clone)]
pub struct Publisher {
    journal: Journal,
    queues: Arc<[mpsc::Sender<Request>]>,
}

#[derive(Debug)]
struct Request {
    customer: CustomerId,
    message: MessageBuilder,
    stored: oneshot::Sender<Result<EventId, PublishError>>,
}

impl Publisher {
    /// Starts one task for each partition; they end when the last clone is gone and all is answered.
    ///
    /// `ack_timeout`: how long to wait for the server's acknowledgement. Too low: a busy disk makes outcomes unknown. Too
    /// high: clients wait that long for a server that is gone.
    pub fn start(journal: &Journal, ack_timeout: Duration) -> Self {
        let queues = journal.partitions().all().map(|partition| {
            let (queue, requests) = mpsc::channel(QUEUE);
            // A context of its own, with a permit for each message of a round: rounds that shared permits could each hold
            // some, and wait for the others' for ever.
            let context = jetstream::ContextBuilder::new().timeout(ack_timeout).max_ack_inflight(ROUND);
            let context = context.build(journal.client().clone());
            let heights = Heights::default();
            tokio::spawn(run(Partitioned { journal: journal.clone(), context, partition, heights }, requests));
            queue
        });
        Self { journal: journal.clone(), queues: queues.collect() }
    }

    /// Stores a customer's events in one message, and gives the id of the first; the others' follow it one by one.
    ///
    /// # Errors
    /// See [`PublishError`]: each variant says whether something may have been stored.
    pub async fn publish(&self, customer: &CustomerId, message: MessageBuilder) -> Result<EventId, PublishError> {
        let max = max_message_bytes(&self.journal);
        if message.bytes() > max {
            return Err(PublishError::TooLarge { bytes: message.bytes(), max });
        }
        let (stored, answer) = oneshot::channel();
        let request = Request { customer: customer.clone(), message, stored };
        let queue = &self.queues[self.journal.partitions().of(customer).index()];
        queue.send(request).await.map_err(|_| PublishError::Disconnected)?;
        answer.await.unwrap_or_else(|_| Err(PublishError::Unknown("the publisher ended".to_owned())))
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
    heights: Heights,
}

/// How far a partition has gone, as this publisher was told.
#[derive(Debug, Default)]
struct Heights {
    /// The highest position acknowledged.
    told: Option<Position>,
    /// A lower one that came after it. Nothing is published while this is so.
    given: Option<Position>,
    /// When the journal was last asked whether it has gone beyond.
    asked: Option<Instant>,
}

impl Heights {
    /// Takes in what one round was told. Of one round nobody knows the order, so it is compared with the rounds before.
    fn note(&mut self, round: &[Position]) -> Result<(), PublishError> {
        let (Some(least), Some(most)) = (round.iter().min(), round.iter().max()) else { return Ok(()) };
        let before = self.told.filter(|told| least <= told);
        if before.is_some() {
            self.given = Some(*least);
        }
        self.told = self.told.max(Some(*most));
        self.check()
    }

    fn check(&self) -> Result<(), PublishError> {
        match (self.told, self.given) {
            (Some(told), Some(given)) => Err(PublishError::WentBack { told, given }),
            _ => Ok(()),
        }
    }

    /// The journal ends here now.
    fn reached(&mut self, last: Position) {
        if self.told.is_none_or(|told| told <= last) {
            self.given = None;
        }
    }
}

async fn run(mut partition: Partitioned, mut requests: mpsc::Receiver<Request>) {
    let mut round = Vec::new();
    while requests.recv_many(&mut round, ROUND).await > 0 {
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
            packed.into_iter().for_each(|message| message.answer(&Err(PublishError::Disconnected)));
            return;
        }
        if let Err(error) = self.may_publish().await {
            packed.into_iter().for_each(|message| message.answer(&Err(error.clone())));
            return;
        }
        let mut waiting = Vec::with_capacity(packed.len());
        for mut message in packed {
            let payload = Bytes::from(std::mem::take(&mut message.message).into_payload());
            let subject = subject::create(self.journal.partitions(), &message.customer);
            fail_point!("publish.before");
            match self.context.publish(subject, payload).await {
                Ok(ack) => waiting.push((message, ack)),
                Err(error) => message.answer(&Err(classify(&error))),
            }
        }
        fail_point!("publish.sent");
        // All at once: an acknowledgement's time limit begins when it is awaited.
        let told = join_all(waiting.into_iter().map(|(message, ack)| {
            let this = &*self;
            async move {
                let (stored, duplicate) = match ack.await {
                    Ok(ack) => {
                        fail_point!("publish.acked");
                        (this.position(ack.sequence), ack.duplicate)
                    }
                    Err(error) => (Err(classify(&error)), false),
                };
                message.answer(&stored);
                // What was stored before says where that was.
                stored.ok().filter(|_| !duplicate)
            }
        }))
        .await;
        let told: Vec<Position> = told.into_iter().flatten().collect();
        if let Err(error) = self.heights.note(&told) {
            tracing::error!(partition = %self.partition, error = &error as &dyn std::error::Error, "nothing more is published");
        }
    }

    /// Whether the journal has not gone back, or has gone beyond that again; it is asked for that once a second.
    async fn may_publish(&mut self) -> Result<(), PublishError> {
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

/// Several requests' events in one message.
#[derive(Debug)]
struct Packed {
    customer: CustomerId,
    message: MessageBuilder,
    parts: Vec<(usize, oneshot::Sender<Result<EventId, PublishError>>)>,
}

impl Packed {
    fn answer(self, stored: &Result<Position, PublishError>) {
        for (first, asker) in self.parts {
            // Whoever asked may be gone by now; that changes nothing of what is stored.
            let _ = asker.send(stored.clone().map(|position| position.event(first)));
        }
    }
}

/// Packs the requests of a round: as few messages as the limits allow, a customer's events in the order they came.
fn pack(requests: impl Iterator<Item = Request>, max_bytes: usize) -> Vec<Packed> {
    let mut packed: Vec<Packed> = Vec::new();
    let mut open: HashMap<CustomerId, usize> = HashMap::new();
    for Request { customer, message, stored } in requests {
        let fits = |packed: &Packed| {
            packed.message.events() + message.events() <= MAX_EVENTS
                && packed.message.bytes() + 1 + message.bytes() <= max_bytes
        };
        match open.get(&customer).map(|index| &mut packed[*index]).filter(|packed| fits(packed)) {
            Some(packed) => {
                let first = packed.message.append(&message);
                packed.parts.push((first, stored));
            }
            None => {
                open.insert(customer.clone(), packed.len());
                packed.push(Packed { customer, message, parts: vec![(0, stored)] });
            }
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use sluice_model::Person;

    use super::*;

    fn request(customer: &str, events: usize) -> Request {
        let mut message = MessageBuilder::new();
        for _ in 0..events {
            message.push(&Person { name: "a".into(), address: "b".into() });
        }
        Request { customer: customer.parse().unwrap(), message, stored: oneshot::channel().0 }
    }

    #[test]
    fn an_ack_below_an_earlier_one_stops_a_partition_until_the_journal_has_gone_beyond() {
        let at = |n| Position::new(n).unwrap();
        let mut heights = Heights::default();
        for round in [&[at(3), at(1), at(2)][..], &[], &[at(9), at(4)]] {
            heights.note(round).unwrap();
        }
        let error = heights.note(&[at(12), at(9), at(10)]).unwrap_err();
        assert!(matches!(error, PublishError::WentBack { told, given } if (told, given) == (at(12), at(9))), "{error}");
        heights.reached(at(11));
        assert!(heights.check().is_err());
        heights.reached(at(12));
        assert!(heights.check().is_ok() && heights.note(&[at(13)]).is_ok());
        // One that was stored long ago and is found again by its message id says nothing: it is not noted at all.
        assert!(heights.note(&[]).is_ok() && heights.note(&[at(13)]).is_err());
    }

    #[test]
    fn a_round_packs_each_customers_events_in_order_within_both_limits() {
        let requests = [("1", 1), ("2", 2), ("1", 3), ("1", 1_022), ("1", 1)].map(|(c, n)| request(c, n));
        let packed = pack(requests.into_iter(), 1 << 20);
        let shape: Vec<_> = packed
            .iter()
            .map(|p| (p.customer.as_str(), p.message.events(), p.parts.iter().map(|part| part.0).collect::<Vec<_>>()))
            .collect();
        assert_eq!(shape, [("1", 4, vec![0, 1]), ("2", 2, vec![0]), ("1", 1_023, vec![0, 1_022])]);
        // 26 bytes an event: two of them and the line feed are 53.
        let small = pack([request("1", 1), request("1", 1), request("1", 1)].into_iter(), 53);
        assert_eq!(small.iter().map(|p| p.message.events()).collect::<Vec<_>>(), [2, 1]);
    }
}
