//! A partition that holds nothing goes on from a later position, in one step, and begins there with a filler: so there is a message
//! with a stamp that shards can have stored.
//!
//! The server does that by a purge up to a sequence beyond the last one: which also removes whatever was stored since one looked. So
//! the stream first gets a limit that no event keeps to; publishers are told that nothing was stored, and try again.

use async_nats::jetstream::stream::Config;
use sluice_model::{Partition, Position};

use crate::{
    Journal, JournalError,
    compare::SHUT,
    dead::change::found,
    subject::{filler, stream_name, stream_update},
};

/// What our streams say where no largest message is wished for.
const UNLIMITED: i32 = -1;

/// A partition that takes no events. It stays shut until it is opened, also where this is dropped.
#[derive(Debug)]
pub struct Gate {
    journal: Journal,
    partition: Partition,
    /// The largest message as it was before.
    before: i32,
}

/// Why a partition did not jump.
#[derive(Debug, thiserror::Error)]
pub enum JumpError {
    /// It holds something.
    #[error("the partition holds {0} messages")]
    NotEmpty(u64),
    /// JetStream did not answer, or refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Journal {
    /// Shuts a partition for events.
    ///
    /// # Errors
    /// Where JetStream does not answer, or refuses: it may be shut then.
    pub async fn shut(&self, partition: Partition) -> Result<Gate, JournalError> {
        let config = self.config(partition).await?;
        // Where somebody died before opening it again, nobody knows any more what there was.
        let before = if config.max_message_size == SHUT { UNLIMITED } else { config.max_message_size };
        let gate = Gate { journal: self.clone(), partition, before };
        gate.set(SHUT).await?;
        Ok(gate)
    }

    /// Whether a partition is shut for events: a repair is at work, or died.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn is_shut(&self, partition: Partition) -> Result<bool, JournalError> {
        Ok(self.config(partition).await?.max_message_size == SHUT)
    }

    /// What a shard that follows a jump over `to` goes on from: a position, and its stamp.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn landing(&self, to: Position) -> Result<(Position, i64), JournalError> {
        const OPERATION: &str = "look where a partition goes on";
        let stream = self.context().get_stream_no_info(stream_name(to.partition())).await;
        let stream = stream.map_err(|e| JournalError::new(OPERATION, e))?;
        let message = found(stream.get_raw_message(to.next().get()).await, OPERATION)?;
        let filler =
            message.filter(|message| message.payload.is_empty() && *message.subject == *filler(to.partition()));
        let stamp = filler.and_then(|message| i64::try_from(message.time.unix_timestamp_nanos()).ok());
        Ok(stamp.map_or((to, 0), |stamp| (to.next(), stamp)))
    }

    async fn config(&self, partition: Partition) -> Result<Config, JournalError> {
        let stream = self.context().get_stream(stream_name(partition)).await;
        let stream = stream.map_err(|e| JournalError::new("ask for a partition's settings", e))?;
        Ok(stream.cached_info().config.clone())
    }
}

impl Gate {
    /// Goes on after `to`, if that is not done already.
    ///
    /// # Errors
    /// See [`JumpError`].
    pub async fn jump(&self, to: Position) -> Result<(), JumpError> {
        let bounds = self.journal.bounds(self.partition).await?;
        // Not by its end: what was published since somebody looked may have brought it there.
        if bounds.first <= to {
            if bounds.messages > 0 {
                return Err(JumpError::NotEmpty(bounds.messages));
            }
            self.purge(to).await?;
        }
        if bounds.last <= to {
            // The first message after a jump, unless that was done already.
            self.journal.fill_one(self.partition).await?;
        }
        Ok(())
    }

    async fn purge(&self, to: Position) -> Result<(), JournalError> {
        const OPERATION: &str = "let a partition go on from a later position";
        let stream = self.journal.context().get_stream_no_info(stream_name(self.partition)).await;
        let stream = stream.map_err(|e| JournalError::new(OPERATION, e))?;
        let purged = stream.purge().sequence(to.next().get()).await.map_err(|e| JournalError::new(OPERATION, e))?;
        if purged.purged > 0 {
            tracing::error!(partition = %self.partition, messages = purged.purged, "messages without content were removed");
        }
        let last = self.journal.bounds(self.partition).await?.last;
        if last < to {
            return Err(JournalError::new(OPERATION, format!("it ends at {last:?} all the same")));
        }
        Ok(())
    }

    /// Opens it for events again.
    ///
    /// # Errors
    /// Where JetStream does not answer, or refuses: it may be shut still.
    pub async fn open(self) -> Result<(), JournalError> {
        self.set(self.before).await
    }

    async fn set(&self, max_message_size: i32) -> Result<(), JournalError> {
        const OPERATION: &str = "shut or open a partition for events";
        self.journal.rights().check_for(OPERATION, stream_update(&stream_name(self.partition)))?;
        let config = Config { max_message_size, ..self.journal.config(self.partition).await? };
        let updated = self.journal.context().update_stream(config).await;
        updated.map_err(|e| JournalError::new(OPERATION, e)).map(drop)
    }
}
