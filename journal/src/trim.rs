//! Trimming: the record that every trimmer and every registration of a shard goes by, and the purge itself.
//!
//! The record is one key-value entry per journal. It is only ever written by revision ("store this if nobody has written since I
//! read it"), and that one compare decides everything: who may trim, and what a new shard may rely on.
//!
//! A trimmer works in this order:
//!
//! 1. *claim*: write its own name and a higher beat. So it has a revision that nobody else has.
//! 2. ask the directory for the shards, read the stored position of each, and decide the floors.
//! 3. *settle*: write floors and readings with the revision of the claim.
//! 4. purge below the floors. Not where 3 was refused.
//!
//! A registration works in this order:
//!
//! 1. *announce*: write a ticket with the shard's name. The answer holds the floors that were ever settled.
//! 2. prepare the database: it begins at the first kept position minus one, or at the floor where that is higher.
//! 3. put the shard into the directory.
//! 4. *withdraw* the ticket.
//!
//! **No purge goes beyond where a new shard begins.** Take any settled floor F and any announcement:
//!
//! - Announced after F was settled: the shard begins at F or higher, whenever the purge takes place, even that of a trimmer
//!   that was frozen in between and woke up late.
//! - Announced between claim and settling: the settling is refused, since the ticket is a newer revision.
//! - Announced before the claim: the trimmer sees the ticket, or the ticket was withdrawn after the shard was in the directory.
//!   The directory is asked after the claim: so the shard is in its answer, and its position counts; or there is a ticket for a shard
//!   that is not in the answer, and this trimmer settles no floor.
//!
//! To begin at F is right for a new shard: F is at most the least position stored by any shard, so every message up to F was routed
//! to one of those, and none can belong to a shard that no route has ever named.
//!
//! **Two trimmers** that believe they are it do no harm: of two that claimed, only the later one can settle. A purge that comes late
//! removes what its settled floor allows, which every shard had passed when it was read.
//!
//! **Who dies leaves this to the next one.** After *claim*: another beat, nothing else. After *settle* and before a purge: a floor higher
//! than the first kept position; the next trimmer reads the shards again and purges what they allow then. After some purges: the
//! same for the other partitions. After *announce*: a ticket; trimming waits until the same trimmer has seen it for
//! [`TICKET_LIMIT`]. A registration may not take as long as that.
//!
//! `search` finds the position of a moment.

mod ledger;
mod record;
pub mod search;

use std::time::Duration;

use sluice_model::{Partition, Position};

pub use ledger::{TrimLedger, WriteError};
pub use record::{Announced, Stored, TrimRecord};

use crate::{
    Journal, JournalError,
    server::bucket,
    subject::{TRIM_BUCKET, stream_name},
};

/// A ticket that one trimmer has seen for so long is of a registration that died. Too short: a slow registration loses its
/// protection. Too long: nothing is trimmed for that time after a directory died at the wrong moment.
pub const TICKET_LIMIT: Duration = Duration::from_secs(600);

impl Journal {
    /// The record of what was trimmed; its bucket is made where it is missing.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn trim_ledger(&self) -> Result<TrimLedger, JournalError> {
        let what = "what trimming has to remember, one entry for each journal";
        let store = bucket::open(self, TRIM_BUCKET, what, Duration::ZERO).await?;
        Ok(TrimLedger::new(self.clone(), store))
    }

    /// The least position that a shard may have stored, given what the partition holds. Whatever stands before it was trimmed, with
    /// the message by whose stamp one could see which history a shard has read.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn least_stored(&self, partition: Partition, first: Position) -> Result<Position, JournalError> {
        let (record, _) = self.trim_ledger().await?.load().await?;
        Ok(record.base(partition, first))
    }

    /// Removes every message of the floor's partition that stands before it; gives their number. The message at the floor
    /// stays. A floor that the journal has not reached (it lost its end) removes nothing: the server would empty the stream.
    ///
    /// # Errors
    /// Where JetStream does not answer; then it may have been done or not. To do it again is harmless.
    pub async fn purge_below(&self, floor: Position) -> Result<u64, JournalError> {
        const OPERATION: &str = "trim a partition";
        let bounds = self.bounds(floor.partition()).await?;
        if floor <= bounds.first || floor > bounds.last {
            return Ok(0);
        }
        let purged = self.purge(stream_name(floor.partition()), floor).await;
        purged.map_err(|e| JournalError::new(OPERATION, e))
    }
}
