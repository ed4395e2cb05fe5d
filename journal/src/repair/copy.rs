//! What was given again, stored once more where it is read.

use async_nats::{HeaderMap, jetstream::ErrorCode};
use sluice_model::{Partition, Position};

use crate::{
    Journal, JournalError, Message,
    subject::{self, header},
};

/// Which message a copy is a copy of. Position and stamp: the position alone was given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Where it stands.
    pub position: Position,
    /// When it was stored.
    pub stamp: i64,
}

impl Origin {
    /// What a message says that it is a copy of. Anybody can write such a header: compare the two before you believe it.
    pub fn of(message: &Message) -> Option<Self> {
        let text = |name: &str| message.headers.as_ref()?.get(name).map(|value| value.as_str());
        let position = text(header::REPAIRED_FROM)?.parse().ok().and_then(Position::new)?;
        Some(Self { position, stamp: text(header::STAMP)?.parse().ok()? })
    }
}

/// The right to copy messages of a partition. Whoever takes it after us takes it from us.
#[derive(Debug, Clone)]
pub struct Turn {
    journal: Journal,
    at: Position,
    abreast: usize,
}

/// Why a copy is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Another repair of the partition has begun since. Nothing was stored.
    #[error("another repair of this partition is at work")]
    Overtaken,
    /// JetStream did not answer, or refused. It may be stored: take the turn again, and look.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Journal {
    /// Takes the turn, by a filler. What others copied before stands before that filler; what they try to copy later, the server
    /// refuses.
    ///
    /// # Errors
    /// Where JetStream does not answer, or refuses.
    pub async fn take_turn(&self, partition: Partition) -> Result<Turn, JournalError> {
        let at = self.fill_one(partition).await?;
        // A cluster takes one message with a condition at a time, and refuses others that come meanwhile.
        let abreast = if self.replicas_of(partition).await? > 1 { 1 } else { 200 };
        Ok(Turn { journal: self.clone(), at, abreast })
    }
}

impl Turn {
    /// The filler's position.
    pub fn at(&self) -> Position {
        self.at
    }

    /// How many copies may be under way at once.
    pub fn abreast(&self) -> usize {
        self.abreast
    }

    /// Stores a message again, at the end of its partition; gives its new position.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub async fn copy(&self, message: &Message) -> Result<Position, CopyError> {
        const OPERATION: &str = "copy a message";
        let headers = self.headers(message);
        let (bytes, room) = (message.payload.len() + header_bytes(&headers), self.journal.max_payload());
        if bytes > room {
            let what = format!(
                "the copy of {} has {bytes} bytes with its headers, and the NATS server takes {room}: raise its max_payload for as \
                 long as the repair takes, and give the command again",
                message.position
            );
            return Err(JournalError::new(OPERATION, what).into());
        }
        let published = self
            .journal
            .context()
            .publish_with_headers(message.subject.clone(), headers, message.payload.clone())
            .await;
        match published.map_err(|e| JournalError::new(OPERATION, e))?.await {
            Ok(ack) => {
                let stored = Position::new(ack.sequence);
                let foreign = || JournalError::new(OPERATION, format!("sequence {} is not a journal's", ack.sequence));
                Ok(stored.ok_or_else(foreign)?)
            }
            Err(error) => {
                let source = std::error::Error::source(&error).and_then(|e| e.downcast_ref());
                let code = source.map(async_nats::jetstream::Error::error_code);
                let overtaken = error.kind() == async_nats::jetstream::context::PublishErrorKind::WrongLastSequence;
                if overtaken || code == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) {
                    return Err(CopyError::Overtaken);
                }
                Err(JournalError::new(OPERATION, error).into())
            }
        }
    }

    /// The message's own headers, but for those that told the server how to store it; and whose copy it is.
    fn headers(&self, message: &Message) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
            let text: &str = name.as_ref();
            if !text.to_ascii_lowercase().starts_with("nats-") {
                values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
            }
        }
        let Message { position, stamp, .. } = message;
        headers.insert(header::REPAIRED_FROM, position.to_string());
        headers.insert(header::STAMP, stamp.to_string());
        headers.insert(header::MESSAGE_ID, format!("repair-{position}-{stamp}"));
        headers.insert(header::EXPECTED_LAST_SUBJECT_SEQUENCE, self.at.to_string());
        headers.insert(header::EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT, subject::filler(position.partition()));
        headers
    }
}

/// What headers take on the wire: a first line, and for each a name, a value and four more.
fn header_bytes(headers: &HeaderMap) -> usize {
    let one = |(name, values): (&async_nats::HeaderName, &Vec<async_nats::HeaderValue>)| {
        let name: &str = name.as_ref();
        values.iter().map(|value| name.len() + value.as_str().len() + 4).sum::<usize>()
    };
    14 + headers.iter().map(one).sum::<usize>()
}
