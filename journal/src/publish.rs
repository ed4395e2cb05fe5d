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
    HeaderMap,
    connection::State,
    jetstream::{self, ErrorCode, context::PublishErrorKind, message::PublishMessage},
};
use bytes::Bytes;
use futures::future::join_all;
use sluice_failpoint::fail_point;
use sluice_model::{CustomerId, EventId, MAX_EVENTS, MessageBuilder, Partition, Position};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Journal,
    fate::{
        REPLY_HEADER, TRACE_HEADER,
        inbox::{Inbox, Waiting},
    },
    read, subject,
};

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

    /// Whether the message at a position holds these very events. One that is trimmed by now is taken for the same: the key says so.
    async fn is_the_same(&self, position: Position, payload: Option<Bytes>) -> Result<bool, PublishError> {
        let unknown =
            |error: crate::JournalError| PublishError::Unknown(format!("stored before as {position:?}: {error}"));
        let before = read::payload(&self.journal, position).await.map_err(unknown)?;
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

/// Several requests' events in one message.
#[derive(Debug)]
struct Packed {
    customer: CustomerId,
    message: MessageBuilder,
    parts: Vec<Part>,
    /// Whether it is a single request's, with a message id.
    has_id: bool,
}

/// One request's part of a message.
#[derive(Debug)]
struct Part {
    /// Where its events begin.
    first: usize,
    ask: Ask,
    stored: oneshot::Sender<Answer>,
}

impl Packed {
    /// What the message says beside its events, and how to hear of them.
    fn headers(&self, inbox: &Inbox) -> (Option<HeaderMap>, Option<Waiting>) {
        let mut headers = HeaderMap::new();
        let mut fate = None;
        for Part { ask, .. } in &self.parts {
            if let Some(id) = &ask.message_id {
                headers.insert(subject::header::MESSAGE_ID, id.as_str());
            }
            if let Some(trace) = &ask.trace {
                headers.append(TRACE_HEADER, trace.as_str());
            }
            if ask.fate && fate.is_none() {
                let (reply, waiting) = inbox.place();
                headers.insert(REPLY_HEADER, reply.as_str());
                fate = Some(waiting);
            }
        }
        ((!headers.is_empty()).then_some(headers), fate)
    }

    // Whoever asked may be gone by now; that changes nothing of what is stored.
    fn tell(self, answer: impl Fn(&Part) -> Answer) {
        for part in self.parts {
            let answer = answer(&part);
            let _ = part.stored.send(answer);
        }
    }

    fn answer(self, position: Position, fate: Option<Waiting>) {
        self.tell(|part| {
            let fate = fate.clone().filter(|_| part.ask.fate);
            Ok(Stored { first: position.event(part.first), replayed: false, fate })
        });
    }

    fn answer_again(self, position: Position, same: Result<bool, PublishError>) {
        self.tell(|part| {
            let first = position.event(part.first);
            if same.clone()? {
                Ok(Stored { first, replayed: true, fate: None })
            } else {
                Err(PublishError::KeyReused { first })
            }
        });
    }

    fn refuse(self, error: &PublishError) {
        self.tell(|_| Err(error.clone()));
    }
}

/// Packs the requests of a round: as few messages as the limits allow, a customer's events in the order they came.
fn pack(requests: impl Iterator<Item = Request>, max_bytes: usize) -> Vec<Packed> {
    let mut packed: Vec<Packed> = Vec::new();
    let mut open: HashMap<CustomerId, usize> = HashMap::new();
    for Request { customer, message, ask, stored } in requests {
        let has_id = ask.message_id.is_some();
        let fits = |packed: &Packed| {
            !has_id
                && packed.message.events() + message.events() <= MAX_EVENTS
                && packed.message.bytes() + 1 + message.bytes() <= max_bytes
        };
        match open.get(&customer).map(|index| &mut packed[*index]).filter(|packed| fits(packed)) {
            Some(packed) => {
                let first = packed.message.append(&message);
                packed.parts.push(Part { first, ask, stored });
            }
            None => {
                if !has_id {
                    open.insert(customer.clone(), packed.len());
                }
                packed.push(Packed { customer, message, parts: vec![Part { first: 0, ask, stored }], has_id });
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
        Request { customer: customer.parse().unwrap(), message, ask: Ask::default(), stored: oneshot::channel().0 }
    }

    #[test]
    fn a_request_with_a_message_id_is_a_message_of_its_own() {
        let with_id = Request { ask: Ask { message_id: Some("k".to_owned()), ..Ask::default() }, ..request("1", 1) };
        let packed = pack([request("1", 1), with_id, request("1", 1)].into_iter(), 1 << 20);
        assert_eq!(packed.iter().map(|p| (p.message.events(), p.has_id)).collect::<Vec<_>>(), [(2, false), (1, true)]);
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
            .map(|p| {
                (p.customer.as_str(), p.message.events(), p.parts.iter().map(|part| part.first).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(shape, [("1", 4, vec![0, 1]), ("2", 2, vec![0]), ("1", 1_023, vec![0, 1_022])]);
        // 26 bytes an event: two of them and the line feed are 53.
        let small = pack([request("1", 1), request("1", 1), request("1", 1)].into_iter(), 53);
        assert_eq!(small.iter().map(|p| p.message.events()).collect::<Vec<_>>(), [2, 1]);
    }
}
