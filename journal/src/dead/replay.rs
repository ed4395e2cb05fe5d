//! Bringing the events of a dead letter back into the journal, once, whoever dies or sleeps in between. Several are one message again.
//!
//! 1. [`DeadLetters::intend`] stores in the dead letter from which position on the replay can stand in the journal.
//! 2. [`DeadLetters::seek`] looks for it among the customer's messages from there to the last one, and gives a
//!    [`Fence`]: that last one's position.
//! 3. [`DeadLetters::publish`] stores the event only where the customer's last message is still the fence's. So between
//!    looking and storing nobody else can have stored the same event, and no clock or duplicate window is relied on. The
//!    message's id (`Nats-Msg-Id`) only saves a second look.
//! 4. [`DeadLetters::finish`] puts a tombstone with the new id in the letter's place.
//!
//! After a crash anywhere the letter says what to do: without an intent, begin; with one, seek and go on.

use async_nats::jetstream::stream::Stream;
use futures::StreamExt;
use sluice_model::{CustomerId, EventId, Position};

use super::{
    ChangeError, DeadLetter, DeadLetters, State,
    change::{found, is_overtaken, last_of},
};
use crate::{
    JournalError,
    subject::{self, header},
};

/// A replay that was begun.
#[derive(Debug, Clone)]
pub struct Intent {
    letter: DeadLetter,
    customer: CustomerId,
    /// All before was looked through.
    next: Position,
}

impl Intent {
    /// The intent that the letter bears, if it does.
    pub fn of(letter: &DeadLetter) -> Option<Self> {
        let State::Replaying { from: next } = letter.state else { return None };
        Some(Self { customer: letter.owner()?, letter: letter.clone(), next })
    }

    /// The letter that bears it.
    pub fn letter(&self) -> &DeadLetter {
        &self.letter
    }
}

/// What looking for a replay gave.
#[derive(Debug)]
pub enum Sought {
    /// It is in the journal, under this id.
    Published(EventId),
    /// It is not there, as of the fence.
    Absent(Fence),
}

/// What the journal must not have gone beyond when the replay is stored.
#[derive(Debug, Clone)]
pub struct Fence(Last);

#[derive(Debug, Clone, Copy)]
enum Last {
    /// Of the customer's messages.
    OfCustomer(u64),
    /// Of all: the customer's are trimmed away, and "none yet" could come true a second time.
    OfPartition(u64),
}

/// Why a replay is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Something was stored for the customer since the seeking. Nothing was stored now; seek again.
    #[error("other events of the customer came in between")]
    Overtaken,
    /// Part of where the replay could stand is trimmed away: whether it was stored, the journal no longer says.
    #[error(
        "the journal begins at {first:?} ({first}); whether the replay stood from {from:?} ({from}) on is not known"
    )]
    Trimmed {
        /// Where seeking had to begin.
        from: Position,
        /// The first position kept.
        first: Position,
    },
    /// JetStream did not answer, or refused. The replay may be stored: seek again.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl DeadLetters {
    /// Step 1. `None` where the letter names no customer: there is nowhere to replay it to.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn intend(&self, letter: &DeadLetter) -> Result<Option<Intent>, ChangeError> {
        const OPERATION: &str = "replay a dead letter";
        let Some(customer) = letter.owner() else { return Ok(None) };
        // What cannot be finished is not begun.
        self.0.rights().check_for(OPERATION, subject::create(self.0.partitions(), &customer))?;
        let from = self.0.bounds(self.0.partitions().of(&customer)).await?.last.next();
        let letter = self.replace(letter, State::Replaying { from }).await?;
        Ok(Intent::of(&letter))
    }

    /// Step 2. What was looked through once is not looked through again.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn seek(&self, intent: &mut Intent) -> Result<Sought, ReplayError> {
        const OPERATION: &str = "look for a replayed event in the journal";
        let (journal, partition) = (&self.0, self.0.partitions().of(&intent.customer));
        let subject = subject::create(journal.partitions(), &intent.customer);
        let stream = journal.context().get_stream_no_info(subject::stream_name(partition)).await;
        let stream = stream.map_err(|e| JournalError::new(OPERATION, e))?;
        let from = intent.next;
        let fence = match last_of(&stream, &subject, OPERATION).await? {
            Some(last) => {
                if let Some(published) = look(&stream, &subject, intent, last.sequence, OPERATION).await? {
                    return Ok(Sought::Published(published.event(0)));
                }
                Last::OfCustomer(last.sequence)
            }
            None => {
                let last = end_without(&stream, &subject, OPERATION).await?.ok_or(ReplayError::Overtaken)?;
                // A stream that never held anything says 0 or its first sequence minus one.
                Last::OfPartition(last.max(Position::before_first(partition).get()))
            }
        };
        // Asked last: what was trimmed before or while looking was not seen.
        let first = journal.bounds(partition).await?.first;
        if first > from { Err(ReplayError::Trimmed { from, first }) } else { Ok(Sought::Absent(Fence(fence))) }
    }

    /// Step 3. Gives the event's new id; of several events that of the first, and those of the others follow on it.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn publish(&self, intent: &Intent, fence: &Fence) -> Result<EventId, ReplayError> {
        const OPERATION: &str = "store a replayed event";
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(header::REPLAY_OF, intent.letter.id.to_string());
        headers.insert(header::MESSAGE_ID, format!("replay-{}", intent.letter.id));
        match fence.0 {
            Last::OfCustomer(last) => headers.insert(header::EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string()),
            Last::OfPartition(last) => headers.insert(header::EXPECTED_LAST_SEQUENCE, last.to_string()),
        }
        let subject = subject::create(self.0.partitions(), &intent.customer);
        let published = self.0.context().publish_with_headers(subject, headers, intent.letter.message()).await;
        match published.map_err(|e| JournalError::new(OPERATION, e))?.await {
            Ok(ack) => {
                let stored = Position::new(ack.sequence);
                let foreign = || JournalError::new(OPERATION, format!("sequence {} is not a journal's", ack.sequence));
                Ok(stored.ok_or_else(foreign)?.event(0))
            }
            Err(error) if is_overtaken(&error) => Err(ReplayError::Overtaken),
            Err(error) => Err(JournalError::new(OPERATION, error).into()),
        }
    }

    /// Step 4. [`ChangeError::Changed`] says that somebody else has finished the same replay.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn finish(&self, intent: &Intent, new: EventId) -> Result<DeadLetter, ChangeError> {
        self.replace(&intent.letter, State::Replayed { new }).await
    }
}

/// The partition's last sequence, if it holds no message of that subject up to there. One answer says both: two could come from
/// different servers, one of which believes in vain that it leads, and has not got what the other counts.
async fn end_without(stream: &Stream<()>, subject: &str, operation: &'static str) -> Result<Option<u64>, JournalError> {
    let mut found = stream.info_with_subjects(subject).await.map_err(|e| JournalError::new(operation, e))?;
    let last = found.info.state.last_sequence;
    Ok(if found.next().await.is_none() { Some(last) } else { None })
}

/// Looks through the customer's messages up to `last`, by the stream's leader, one by one: between an intent and its
/// replay there are few.
async fn look(
    stream: &Stream<()>,
    subject: &str,
    intent: &mut Intent,
    last: u64,
    operation: &'static str,
) -> Result<Option<Position>, JournalError> {
    let id = intent.letter.id.to_string();
    while intent.next.get() <= last {
        let next = stream.raw_message_builder().sequence(intent.next.get()).next_by_subject(subject).send().await;
        let Some(message) = found(next, operation)?.filter(|message| message.sequence <= last) else { break };
        let position = Position::new(message.sequence)
            .ok_or_else(|| JournalError::new(operation, format!("sequence {} is not a journal's", message.sequence)))?;
        if message.headers.get(header::REPLAY_OF).is_some_and(|of| of.as_str() == id) {
            return Ok(Some(position));
        }
        intent.next = position.next();
    }
    Ok(None)
}
