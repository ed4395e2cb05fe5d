//! Whether the journal still is the one that a shard has read.

use sluice_model::{Partition, Place, Position};

use super::{Finished, LeftOut, Repairs};
use crate::{Bounds, Journal, JournalError, ReadError, lookup};

/// How a shard's stored position and its stamp stand to the journal as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The message is there with that stamp, or is trimmed, or there never was one (stamp 0).
    Sound,
    /// It is not, and a finished repair accepts that for this shard.
    Repaired,
    /// One of the two, but a repair that concerns this shard has to be completed before it may read on.
    Unfinished,
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
    /// The message there is gone from the middle of the partition, and nobody has accepted that.
    Gone,
}

impl Standing {
    /// Whether a lane may go on from there.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Sound | Self::Repaired)
    }

    /// Whether the shard has stored what the journal lost, and no repair accepts it.
    pub fn is_lost(self) -> bool {
        matches!(self, Self::Beyond { .. } | Self::Replaced { .. })
    }
}

impl Repairs {
    /// How a shard stands that has stored this, where the journal alone (see [`Journal::compare`]) says `compared`.
    pub fn judge(&self, compared: Standing, shard: &str, stored: Position, stamp: i64) -> Standing {
        let accepted = compared == Standing::Sound || self.accepts(Some(shard), stored, stamp);
        match compared {
            _ if accepted && !self.open(shard, stored).is_empty() => Standing::Unfinished,
            Standing::Sound => Standing::Sound,
            _ if accepted => Standing::Repaired,
            lost => lost,
        }
    }
}

impl Journal {
    /// Compares a stored position with the journal, whatever was repaired: `Sound`, `Beyond`,
    /// `Replaced` or `Gone`. The streams' leaders are asked, as a copy may lag.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn compare(&self, stored: Position, stamp: i64) -> Result<Standing, JournalError> {
        let found = if stamp == 0 { None } else { self.stamp(stored).await? };
        match found {
            Some(found) if found == stamp => return Ok(Standing::Sound),
            Some(found) => return Ok(Standing::Replaced { found }),
            None => {}
        }
        let Bounds { first, last, .. } = self.bounds(stored.partition()).await?;
        if stored > last {
            return Ok(Standing::Beyond { last });
        }
        if stamp == 0 || stored < first || lookup::hole(self, stored).await?.is_none() {
            return Ok(Standing::Sound);
        }
        Ok(match self.gone_at(stored).await? {
            // What stood there was stored before what stood behind it.
            Some(gone) if stamp <= gone.stamp => Standing::Sound,
            Some(gone) => Standing::Replaced { found: gone.stamp },
            None => Standing::Gone,
        })
    }

    /// How a shard stands that has stored this.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn standing(&self, shard: &str, stored: Position, stamp: i64) -> Result<Standing, JournalError> {
        let compared = self.compare(stored, stamp).await?;
        Ok(self.held_repairs(stored.partition()).await?.judge(compared, shard, stored, stamp))
    }

    /// The ranges of a partition that a shard leaves out, as copies of what is the shard's stand further on. To be asked whenever a
    /// lane has read the shard's stored position, after that position was [verified](Journal::verify).
    ///
    /// # Errors
    /// [`ReadError::Unrepaired`] where a repair has to be completed first; a transient one where JetStream does not answer.
    pub async fn left_out(&self, shard: &str, stored: Place) -> Result<Vec<LeftOut>, ReadError> {
        let Place { position, stamp } = stored;
        let repairs = self.held_repairs(position.partition()).await.map_err(ReadError::interrupted)?;
        repairs.left_out(shard, position, stamp).map_err(|why| ReadError::Unrepaired { stored: position, why })
    }

    /// A partition's record, and which of its finished repairs the journal still holds.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn held_repairs(&self, partition: Partition) -> Result<Repairs, JournalError> {
        let (record, _) = self.repairs(partition).await?;
        let mut void = Vec::new();
        for (_, finished) in record.finished() {
            if !self.holds(finished).await? {
                void.push(finished);
            }
        }
        Ok(Repairs { record, void })
    }

    /// Whether a finished repair accepts what some shard has stored, and the journal still holds what that repair did.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn is_repaired(&self, stored: Position, stamp: i64) -> Result<bool, JournalError> {
        Ok(self.held_repairs(stored.partition()).await?.accepts(None, stored, stamp))
    }

    async fn holds(&self, finished: Finished) -> Result<bool, JournalError> {
        // Trimmed means: every shard has gone beyond it.
        Ok(match self.stamp(finished.end).await? {
            Some(found) => found == finished.stamp,
            None if finished.end < self.bounds(finished.end.partition()).await?.first => true,
            None => self.gone_at(finished.end).await?.is_some(),
        })
    }
}
