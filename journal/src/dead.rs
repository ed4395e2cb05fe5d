//! Dead letters: events that can never become a row, kept with their reason.
//!
//! An event's dead letter has a subject of its own and is published only where there is none yet, so that it exists once
//! however often the event is read again. What becomes of it later stands in the rooms below: [`letter`] (its states),
//! [`change`] (from one to the next), [`replay`] (back into the journal, once).

pub mod change;
pub mod letter;
pub mod replay;

use std::{collections::HashMap, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
};
use bytes::Bytes;
use futures::{StreamExt, future::try_join_all};
use sluice_failpoint::fail_point;
use sluice_model::{CustomerId, EventId, Refusal};

pub use change::ChangeError;
use change::last_of;
pub use letter::{DeadLetter, Kept, State};
pub use replay::{Fence, Intent, ReplayError, Sought};

use crate::{
    Journal, JournalError,
    server::StoreError,
    subject::{DEAD_STREAM, DEAD_SUBJECTS, DeadSubject, header},
};

/// Dead letters taken at once when they are listed.
const LIST_BATCH: usize = 500;
/// How often a copy of the stream that has not got the last dead letters yet is asked for them again, and how long after. Less:
/// a list cannot be had while a server catches up. More: whoever asks waits for a copy that never will.
const LIST_TRIES: (u32, Duration) = (50, Duration::from_millis(100));
/// More than a dead letter's headers and subject take: two texts of 500 characters, and some numbers.
const HEADER_ROOM_BYTES: usize = 8 << 10;

/// An event to be buried.
#[derive(Debug, Clone)]
pub struct Grave {
    /// The event.
    pub id: EventId,
    /// Whose it is, where its subject says so.
    pub customer: Option<CustomerId>,
    /// Why it can never become a row.
    pub refusal: Refusal,
    /// The subject of its message.
    pub subject: String,
    /// When its message was stored, in nanoseconds since 1970.
    pub stamp: i64,
    /// Its bytes.
    pub payload: Bytes,
}

impl Grave {
    /// The memory it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.payload.len() + self.subject.len() + self.refusal.detail.len()
    }
}

/// The stream of dead letters.
#[derive(Debug, Clone)]
pub struct DeadLetters(Journal);

impl DeadLetters {
    pub(crate) fn new(journal: Journal) -> Self {
        Self(journal)
    }

    /// Stores these, each once. Returns when every one is acknowledged: only then may a position pass them.
    ///
    /// # Errors
    /// Where one is not acknowledged; all may be buried again without harm.
    pub async fn bury(&self, graves: &[Grave]) -> Result<(), JournalError> {
        try_join_all(graves.iter().map(|grave| self.bury_one(grave))).await.map(drop)
    }

    async fn bury_one(&self, grave: &Grave) -> Result<(), JournalError> {
        const OPERATION: &str = "store a dead letter";
        let subject = DeadSubject { id: grave.id, customer: grave.customer.as_ref() }.to_string();
        let mut headers = HeaderMap::new();
        headers.insert(header::REASON, grave.refusal.reason.code());
        headers.insert(header::DETAIL, printable(&grave.refusal.detail));
        headers.insert(header::POSITION, grave.id.position().to_string());
        headers.insert(header::INDEX, grave.id.index().to_string());
        headers.insert(header::SUBJECT, printable(&grave.subject));
        headers.insert(header::STAMP, grave.stamp.to_string());
        headers.insert(header::EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let payload = self.fitting(&grave.payload);
        if payload.len() < grave.payload.len() {
            headers.insert(header::WHOLE_BYTES, grave.payload.len().to_string());
        }
        fail_point!("bury.before");
        match self.0.store(subject, headers, payload).await {
            Ok(_) => {
                fail_point!("bury.after");
                metrics::counter!("sluice_dead_letters_total", "reason" => grave.refusal.reason.code()).increment(1);
                tracing::warn!(event = %grave.id, reason = %grave.refusal.reason, "dead letter");
                Ok(())
            }
            // It is there already: this event was read before.
            Err(StoreError::Overtaken) => Ok(()),
            Err(StoreError::Other(error)) => Err(JournalError::new(OPERATION, error)),
        }
    }

    /// What of a payload the server takes next to the headers. Only a message of somebody else's can be too large for
    /// that, and none so large can become a row; its beginning is kept, and the whole stands in the journal for as long as that
    /// keeps it. Refusing it would hold up its partition for ever.
    fn fitting(&self, payload: &Bytes) -> Bytes {
        let room = self.0.max_payload().saturating_sub(HEADER_ROOM_BYTES);
        payload.slice(..payload.len().min(room))
    }

    /// Every dead letter there is now, and the tombstones of those that were replayed or dropped; the oldest change first.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn list(&self) -> Result<Vec<DeadLetter>, JournalError> {
        const OPERATION: &str = "list the dead letters";
        let error = |e: BoxError| JournalError::new(OPERATION, e);
        // A consumer reads whichever copy of the stream is on its server. That has all once it has given the leader's last.
        let last = last_of(&self.stream(OPERATION).await?, DEAD_SUBJECTS, OPERATION).await?;
        let last = last.map_or(0, |message| message.sequence);
        let config = pull::Config {
            deliver_policy: DeliverPolicy::LastPerSubject,
            filter_subject: DEAD_SUBJECTS.to_owned(),
            ack_policy: AckPolicy::None,
            memory_storage: true,
            ..pull::Config::default()
        };
        let consumer = self.0.context().create_consumer_on_stream(config, DEAD_STREAM).await;
        let consumer: PullConsumer = consumer.map_err(|e| error(e.into()))?;
        // By subject: a letter that is changed meanwhile comes a second time.
        let mut letters: HashMap<EventId, DeadLetter> = HashMap::new();
        let (mut delivered, mut reached, mut tries) = (0, 0, 0);
        // Until there is nothing more, rather than by a number told before: what is dropped meanwhile never comes.
        loop {
            let mut batch = consumer.fetch().max_messages(LIST_BATCH).messages().await.map_err(|e| error(e.into()))?;
            let before = delivered;
            let mut trouble = None;
            while let Some(message) = batch.next().await {
                let message = match message {
                    Ok(message) => message,
                    // Such as that nobody listens: a new consumer on another server is heard of a moment later.
                    Err(error) => {
                        trouble = Some(error);
                        break;
                    }
                };
                let info = message.info().map_err(error)?;
                delivered += 1;
                if info.consumer_sequence != delivered {
                    return Err(error("one was lost on its way; ask again".into()));
                }
                let sequence = info.stream_sequence;
                reached = sequence;
                let (message, _) = message.split();
                let headers = message.headers.unwrap_or_default();
                let kept = Kept { subject: message.subject.to_string(), sequence, headers };
                letters.extend(DeadLetter::read(kept, message.payload).map(|letter| (letter.id, letter)));
            }
            if delivered > before {
                continue;
            }
            if trouble.is_none() && reached >= last {
                break;
            }
            tries += 1;
            if tries > LIST_TRIES.0 {
                let lags = || "the server that was asked has not got the last of them yet; ask again".into();
                return Err(error(trouble.unwrap_or_else(lags)));
            }
            tokio::time::sleep(LIST_TRIES.1).await;
        }
        let mut letters: Vec<_> = letters.into_values().collect();
        letters.sort_by_key(|letter| letter.kept.sequence);
        Ok(letters)
    }
}

type BoxError = crate::error::BoxError;

/// A text as a header may hold it: no control characters (CR and LF would end the header), and not without bounds.
fn printable(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
