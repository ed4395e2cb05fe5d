//! Whether the journal still is the one that a shard has read.

use sluice_model::Position;

use crate::{Journal, JournalError};

/// How a stored position and its stamp stand to the journal as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The message is there with that stamp, or is trimmed, or there never was one (stamp 0).
    Sound,
    /// It is not, and a finished repair accepts that.
    Repaired,
    /// The journal ends before it.
    Beyond {
        /// The journal's last position.
        last: Position,
    },
    /// Another message stands there.
    Replaced {
        /// That one's stamp.
        found: i64,
    },
}

impl Standing {
    /// Whether a lane may go on from there.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Sound | Self::Repaired)
    }
}

impl Journal {
    /// As [`Journal::verify`], for who wants to know more than whether to stop; asked of the streams' leaders, as a copy may lag.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn standing(&self, stored: Position, stamp: i64) -> Result<Standing, JournalError> {
        let found = if stamp == 0 { None } else { self.stamp(stored).await? };
        let standing = match found {
            Some(found) if found == stamp => return Ok(Standing::Sound),
            Some(found) => Standing::Replaced { found },
            None => {
                let bounds = self.bounds(stored.partition()).await?;
                if stored <= bounds.last {
                    return Ok(Standing::Sound);
                }
                Standing::Beyond { last: bounds.last }
            }
        };
        Ok(if self.is_repaired(stored, stamp).await? { Standing::Repaired } else { standing })
    }

    /// Whether a finished repair accepts a shard that has stored this, and the journal still holds what that repair did.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn is_repaired(&self, stored: Position, stamp: i64) -> Result<bool, JournalError> {
        let partition = stored.partition();
        let (record, _) = self.repairs(partition).await?;
        for finished in record.accepting(stored, stamp) {
            // Trimmed means: every shard has gone beyond it.
            let held = match self.stamp(finished.end).await? {
                Some(found) => found == finished.stamp,
                None => finished.end < self.bounds(partition).await?.first,
            };
            if held {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
