//! The rounds of one partition: what has gathered is packed and sent, and each request hears what
//! came of it.

use std::time::{Duration, Instant};

use async_nats::{
    connection::State,
    jetstream::{
        self, ErrorCode,
        context::{PublishAckFuture, PublishErrorKind},
        message::PublishMessage,
    },
};
use bytes::Bytes;
use futures::future::join_all;
use sluice_failpoint::fail_point;
use sluice_model::{CustomerId, Pace, Partition, Position};
use tokio::sync::mpsc;

use super::{
    PublishError, ROUND, Request,
    heights::Heights,
    max_message_bytes,
    packed::{Packed, pack},
};
use crate::{
    Journal,
    fate::inbox::{Inbox, Waiting},
    lookup, subject,
};

/// The beginnings of two rounds are so far apart, where the former had at least so many requests.
/// Shorter: rounds of a few requests on a busy machine, each with an fsync of its own. Longer:
/// requests wait in vain.
const APART: Duration = Duration::from_millis(1);
const LOAD_FROM: usize = 4;
/// From so many events on a round is worth its price: a few uploads are.
const LARGE_FROM: usize = 256;
/// How often a journal that went back is asked whether it has gone beyond again. Less: publishers
/// learn late that it was repaired.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A message that was handed to the client.
pub(super) struct Sent {
    pub(super) message: Packed,
    /// Its events, where it bears an id: they may be wanted again. The message itself holds them no
    /// more.
    pub(super) payload: Option<Bytes>,
    /// The most bytes that a message could have when it was sent.
    pub(super) limit: usize,
}

/// And may be acknowledged.
struct UnderWay {
    sent: Sent,
    fate: Option<Waiting>,
    ack: PublishAckFuture,
}

/// What came of a message.
pub(super) enum Outcome {
    /// Whose it is, and where it is stored now.
    Answered(CustomerId, Option<Position>),
    /// It is not acknowledged, and the server takes less by now; nobody was told yet.
    Unsettled(Sent, PublishError),
}

impl Outcome {
    fn position(&self) -> Option<Position> {
        match self {
            Self::Answered(_, position) => *position,
            Self::Unsettled(..) => None,
        }
    }
}

/// One partition of the journal, as a publisher stores in it.
pub(super) struct Partitioned {
    pub(super) journal: Journal,
    pub(super) context: jetstream::Context,
    pub(super) partition: Partition,
    pub(super) inbox: Inbox,
    pub(super) heights: Heights,
}

/// Publishes round after round, until nobody can send requests any more.
pub(super) async fn run(mut partition: Partitioned, mut requests: mpsc::Receiver<Request>) {
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
        partition.publish(packed, max_bytes).await;
    }
}

impl Partitioned {
    async fn publish(&mut self, packed: Vec<Packed>, max: usize) {
        // A client that has lost its server keeps what is published and sends it later, when the
        // caller has long been told something else.
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
            let bytes = message.message.bytes();
            if bytes > max {
                message.refuse(&PublishError::TooLarge { bytes, max });
                continue;
            }
            let payload = Bytes::from(std::mem::take(&mut message.message).into_payload());
            let sent = Sent { payload: message.id().map(|_| payload.clone()), message, limit: max };
            match self.send(sent, payload).await {
                Ok(under_way) => waiting.push(under_way),
                Err((message, error)) => message.refuse(&error),
            }
        }
        fail_point!("publish.sent");
        // All at once: an acknowledgement's time limit begins when it is awaited.
        let outcomes = join_all(waiting.into_iter().map(|under_way| self.outcome(under_way))).await;
        let told: Vec<Position> = outcomes.iter().filter_map(Outcome::position).collect();
        self.note(&told);
        let settled = self.settle(outcomes).await;
        self.note(&settled);
    }

    /// Hands a message to the client.
    async fn send(&self, sent: Sent, payload: Bytes) -> Result<UnderWay, (Packed, PublishError)> {
        let subject = subject::create(self.journal.partitions(), &sent.message.customer);
        let (headers, fate) = sent.message.headers(&self.inbox);
        let mut publish = PublishMessage::build().payload(payload);
        if let Some(headers) = headers {
            publish = publish.headers(headers);
        }
        fail_point!("publish.before");
        match self.context.send_publish(subject, publish).await {
            Ok(ack) => Ok(UnderWay { sent, fate, ack }),
            Err(error) => Err((sent.message, classify(&error))),
        }
    }

    /// Waits for a message's acknowledgement, and answers who waits for it where it comes.
    async fn outcome(&self, UnderWay { sent, fate, ack }: UnderWay) -> Outcome {
        let customer = sent.message.customer.clone();
        let ack = tokio::select! {
            ack = ack.into_future() => ack.map_err(|error| classify(&error)),
            error = self.outgrown(&sent) => Err(error),
        };
        let ack = match ack {
            Ok(ack) => ack,
            Err(error @ PublishError::Unknown(_)) if self.has_outgrown(&sent) => {
                return Outcome::Unsettled(sent, error);
            }
            Err(error) => {
                sent.message.refuse(&error);
                return Outcome::Answered(customer, None);
            }
        };
        fail_point!("publish.acked");
        let position = match self.position(ack.sequence) {
            Ok(position) if ack.duplicate => {
                sent.message.answer_again(position, self.is_the_same(position, sent.payload).await);
                // What was stored before says where that was.
                None
            }
            Ok(position) => {
                sent.message.answer(position, 0, fate);
                Some(position)
            }
            Err(error) => {
                sent.message.refuse(&error);
                None
            }
        };
        Outcome::Answered(customer, position)
    }

    fn note(&mut self, told: &[Position]) {
        if let Err(error) = self.heights.note(told) {
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

    /// Whether the message at a position holds these very events. One that is trimmed by now is
    /// taken for the same: the key says so.
    async fn is_the_same(&self, position: Position, payload: Option<Bytes>) -> Result<bool, PublishError> {
        let unknown =
            |error: crate::JournalError| PublishError::Unknown(format!("stored before as {position:?}: {error}"));
        let before = lookup::payload(&self.journal, position).await.map_err(unknown)?;
        Ok(before.is_none_or(|before| payload.is_none_or(|payload| before == payload)))
    }

    pub(super) fn position(&self, sequence: u64) -> Result<Position, PublishError> {
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
