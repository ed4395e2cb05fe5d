//! Finding one dead letter, and changing what has become of it: by whoever saw its last state, and by nobody else.

use async_nats::jetstream::{
    self, ErrorCode,
    context::{PublishError, PublishErrorKind},
    stream::{RawMessageErrorKind, Stream},
};
use bytes::Bytes;
use sluice_model::EventId;

use super::{DeadLetter, DeadLetters, Kept, State};
use crate::{
    JournalError,
    subject::{DEAD_STREAM, dead_of_anybody, header},
};

/// Why a dead letter was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else changed it first. Look at it again.
    #[error("somebody else has changed the dead letter meanwhile")]
    Changed,
    /// JetStream did not answer, or refused. The change may have been made: look at the letter again.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl DeadLetters {
    /// An event's dead letter as of now, if it has one: also one that was replayed or dropped.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn find(&self, id: EventId) -> Result<Option<DeadLetter>, JournalError> {
        const OPERATION: &str = "look for a dead letter";
        let stream = self.stream(OPERATION).await?;
        let found = last_of(&stream, &dead_of_anybody(id), OPERATION).await?;
        Ok(found.and_then(|message| {
            let (subject, sequence) = (message.subject.to_string(), message.sequence);
            let stamp = i64::try_from(message.time.unix_timestamp_nanos()).unwrap_or_default();
            DeadLetter::read(Kept { subject, sequence, stamp, headers: message.headers }, message.payload)
        }))
    }

    /// The dead letter that an event has together with others of its message, whose first is another one: under that one's id it is
    /// found. At most as many questions as events stand before it.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn find_shared(&self, id: EventId) -> Result<Option<DeadLetter>, JournalError> {
        for index in (0..id.index()).rev() {
            let found = self.find(id.position().event(index)).await?;
            if let Some(letter) = found.filter(|letter| letter.events.contains(id.index())) {
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }

    /// Puts a tombstone in the place of a dead letter, so that its event stays accounted for. Gives the tombstone.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn discard(&self, letter: &DeadLetter) -> Result<DeadLetter, ChangeError> {
        self.replace(letter, State::Dropped).await
    }

    /// Stores the letter in another state, where the one given is still its last, and removes what stood before.
    pub(super) async fn replace(&self, letter: &DeadLetter, state: State) -> Result<DeadLetter, ChangeError> {
        const OPERATION: &str = "store what became of a dead letter (where the stream DEAD is full, enlarge it)";
        let mut headers = letter.headers_in(state);
        headers.insert(header::EXPECTED_LAST_SUBJECT_SEQUENCE, letter.kept.sequence.to_string());
        let payload = if state.is_tombstone() { Bytes::new() } else { letter.payload.clone() };
        let subject = &letter.kept.subject;
        let published = self.0.context().publish_with_headers(subject.clone(), headers.clone(), payload.clone()).await;
        let ack = match published.map_err(|e| JournalError::new(OPERATION, e))?.await {
            Ok(ack) => ack,
            Err(error) if is_overtaken(&error) => return Err(ChangeError::Changed),
            Err(error) => return Err(JournalError::new(OPERATION, error).into()),
        };
        self.tidy(subject).await;
        let kept = Kept { subject: subject.clone(), sequence: ack.sequence, stamp: 0, headers };
        Ok(DeadLetter { payload, state, kept, ..letter.clone() })
    }

    /// Removes all but the subject's last message. What is left behind by a crash here counts for nothing, and goes
    /// with the next change.
    async fn tidy(&self, subject: &str) {
        const OPERATION: &str = "remove a dead letter's former states";
        let removed = match self.stream(OPERATION).await {
            Ok(stream) => stream.purge().filter(subject).keep(1).await.map_err(|e| JournalError::new(OPERATION, e)),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(error = &error as &dyn std::error::Error, subject, "space is not freed yet");
        }
    }

    pub(super) async fn stream(&self, operation: &'static str) -> Result<Stream<()>, JournalError> {
        self.0.context().get_stream_no_info(DEAD_STREAM).await.map_err(|e| JournalError::new(operation, e))
    }
}

/// The last message of a subject (which may have wildcards), as the stream's leader has it: a copy may lag.
pub(super) async fn last_of(
    stream: &Stream<()>,
    subject: &str,
    operation: &'static str,
) -> Result<Option<jetstream::message::StreamMessage>, JournalError> {
    found(stream.get_last_raw_message_by_subject(subject).await, operation)
}

/// Tells "there is none" from "nobody knows".
pub(crate) fn found<T>(
    answer: Result<T, jetstream::stream::RawMessageError>,
    operation: &'static str,
) -> Result<Option<T>, JournalError> {
    match answer {
        Ok(message) => Ok(Some(message)),
        Err(error) => match error.kind() {
            RawMessageErrorKind::NoMessageFound => Ok(None),
            RawMessageErrorKind::JetStream(e) if e.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            _ => Err(JournalError::new(operation, error)),
        },
    }
}

/// Whether a publish was refused because the subject (or stream) has moved on. A cluster has a second code for it.
pub(crate) fn is_overtaken(error: &PublishError) -> bool {
    let source = std::error::Error::source(error).and_then(|e| e.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::WrongLastSequence
        || source.is_some_and(|e| e.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}
