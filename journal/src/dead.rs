//! Dead letters: events that can never become a row, kept with their reason.
//!
//! An event's dead letter has a subject of its own and is published only where there is none yet, so that it exists once
//! however often the event is read again. Many bad events of one message have one letter, under the id of the first of them.
//!
//! 1. `grave`: [`Grave`], a letter that is to be stored.
//! 2. [`store`]: how letters are stored: in windows, without holding up anybody else's publishes.
//! 3. [`letter`]: [`DeadLetter`], one that is stored, and its states.
//! 4. [`change`]: from one state to the next.
//! 5. [`replay`]: back into the journal, once.

pub mod change;
mod grave;
pub mod letter;
pub mod replay;
pub mod store;

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use futures::StreamExt;
use sluice_model::EventId;

pub use change::ChangeError;
use change::last_of;
pub use grave::Grave;
pub use letter::{DeadLetter, Kept, State};
pub use replay::{Fence, Intent, ReplayError, Sought};

use crate::{
    Journal, JournalError,
    subject::{DEAD_STREAM, DEAD_SUBJECTS},
};

/// Dead letters taken at once when they are listed.
const LIST_BATCH: usize = 500;
/// How often a copy of the stream that has not got the last dead letters yet is asked for them again, and how long after. Less:
/// a list cannot be had while a server catches up. More: whoever asks waits for a copy that never will.
const LIST_TRIES: (u32, Duration) = (50, Duration::from_millis(100));
/// The stream of dead letters.
#[derive(Debug, Clone)]
pub struct DeadLetters(Journal);

impl DeadLetters {
    pub(crate) fn new(journal: Journal) -> Self {
        Self(journal)
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
                let (sequence, stamp) = (info.stream_sequence, info.published.unix_timestamp_nanos());
                let stamp = i64::try_from(stamp).unwrap_or_default();
                reached = sequence;
                let (message, _) = message.split();
                let headers = message.headers.unwrap_or_default();
                let kept = Kept { subject: message.subject.to_string(), sequence, stamp, headers };
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
