//! What the journal no longer has, and whether somebody has accepted that.

use sluice_model::{Partition, Position};

use super::{AcceptedLoss, Gone, RecordError};
use crate::{
    Journal, JournalError,
    dead::change::found,
    lookup,
    subject::{stream_name, stream_subjects},
};

/// How often the record is written again where somebody else was quicker.
const TRIES: u32 = 10;

impl Journal {
    /// The ranges of a partition that its stream counts and has no message of, between its first
    /// and its last position: each as what it begins behind, and its last position.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn holes(&self, partition: Partition) -> Result<Vec<(Position, Position)>, JournalError> {
        const OPERATION: &str = "ask which messages of a partition are gone";
        let bounds = self.bounds(partition).await?;
        // A partition that holds nothing has no middle.
        if bounds.messages == 0 || bounds.messages == bounds.last.next().get() - bounds.first.get() {
            return Ok(Vec::new());
        }
        let error = |e: crate::error::BoxError| JournalError::new(OPERATION, e);
        let stream = self.context().get_stream_no_info(stream_name(partition)).await.map_err(|e| error(e.into()))?;
        let info = stream.info_builder().with_deleted(true).fetch().await.map_err(|e| error(e.into()))?;
        let mut gone = info.info.state.deleted.clone().unwrap_or_default();
        gone.sort_unstable();
        let mut holes: Vec<(Position, Position)> = Vec::new();
        for position in gone.into_iter().filter_map(Position::new).filter(|at| *at >= bounds.first) {
            match holes.last_mut().filter(|(_, through)| through.next() == position) {
                Some((_, through)) => *through = position,
                None => holes.push((position.previous(), position)),
            }
        }
        Ok(holes)
    }

    /// The message that takes the place of what stood behind a lost range: where nothing does, a
    /// filler is stored there. Gives its stamp; `None` where the journal changed meanwhile.
    ///
    /// # Errors
    /// Where JetStream does not answer, or refuses.
    pub async fn stamp_behind(&self, through: Position) -> Result<Option<i64>, JournalError> {
        let behind = through.next();
        if self.bounds(through.partition()).await?.last == through {
            self.fill_one(through.partition()).await?;
        }
        self.stamp(behind).await
    }

    /// Notes a loss that somebody accepts. From now on readers pass it, and lanes where it was
    /// accepted for their shard.
    ///
    /// # Errors
    /// [`RecordError::Stale`] where a repair of the partition was begun meanwhile; else where
    /// JetStream does not answer, or refuses. It may be noted then; to do it again is harmless.
    pub async fn accept_loss(&self, partition: Partition, loss: &AcceptedLoss) -> Result<(), RecordError> {
        for _ in 0..TRIES {
            let (mut record, revision) = self.repairs(partition).await?;
            if record.unfinished().is_some() {
                return Err(RecordError::Stale);
            }
            record.accepted.push(loss.clone());
            match self.write_repairs(partition, &record, revision).await {
                Err(RecordError::Stale) => {}
                written => return written.map(drop),
            }
        }
        Err(RecordError::Stale)
    }

    /// The stamp of a position as readers give it: that of the message there, or that of an
    /// accepted loss; `None` where there is neither.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn stamp_as_read(&self, position: Position) -> Result<Option<i64>, JournalError> {
        match self.stamp(position).await? {
            None => Ok(self.gone_at(position).await?.map(|gone| gone.stamp)),
            found => Ok(found),
        }
    }

    /// The stamp of the message at a position; where that is gone from the middle, accepted or not,
    /// the stamp of the next one that is there: it was stored before that. `None` where the
    /// position is trimmed, or was never given.
    pub(super) async fn stamp_at_least(&self, position: Position) -> Result<Option<i64>, JournalError> {
        const OPERATION: &str = "date a message that is gone";
        let stamp = self.stamp(position).await?;
        if stamp.is_some() || lookup::hole(self, position).await?.is_none_or(|bounds| position < bounds.first) {
            return Ok(stamp);
        }
        let partition = position.partition();
        let stream = self.context().get_stream_no_info(stream_name(partition)).await;
        let stream = stream.map_err(|e| JournalError::new(OPERATION, e))?;
        let next = stream.get_first_raw_message_by_subject(stream_subjects(partition), position.get()).await;
        let next = found(next, OPERATION)?;
        // Nothing is there behind it: it was stored last.
        Ok(Some(next.map_or(i64::MAX, |next| i64::try_from(next.time.unix_timestamp_nanos()).unwrap_or(i64::MAX))))
    }

    /// The accepted loss that a position belongs to which the journal has no message of.
    pub(crate) async fn gone_at(&self, position: Position) -> Result<Option<Gone>, JournalError> {
        let (record, _) = self.repairs(position.partition()).await?;
        self.first_that_holds(record.gone_at(position)).await
    }

    /// Whether a shard may go on from a position whose message is gone.
    pub(crate) async fn is_vouched_for(&self, position: Position) -> Result<bool, JournalError> {
        let (record, _) = self.repairs(position.partition()).await?;
        Ok(self.first_that_holds(record.vouching_for(position)).await?.is_some())
    }

    /// The accepted ranges from a position on, up to before `first`; `None` where something is lost
    /// there that nobody has accepted.
    pub(crate) async fn gone_until(&self, from: Position, first: Position) -> Result<Option<Vec<Gone>>, JournalError> {
        let (mut next, mut all) = (from, Vec::new());
        while next < first {
            // What is kept is never passed.
            let gone = self.gone_at(next).await?.filter(|gone| gone.through < first);
            let Some(gone) = gone else { return Ok(None) };
            next = gone.through.next();
            all.push(gone);
        }
        Ok(Some(all))
    }

    /// Whether the journal still is the one of which a loss was accepted. Where it has lost its end
    /// since, and given the positions again, another message stands behind the range, or none.
    pub async fn holds_loss(&self, gone: Gone) -> Result<bool, JournalError> {
        let behind = gone.through.next();
        match lookup::stamp(self, behind).await? {
            Some(found) => Ok(found == gone.stamp),
            // Trimmed, or gone itself by now.
            None => Ok(lookup::end_before(self, behind).await?.is_none()),
        }
    }

    async fn first_that_holds(&self, ranges: impl Iterator<Item = Gone>) -> Result<Option<Gone>, JournalError> {
        for gone in ranges {
            if self.holds_loss(gone).await? {
                return Ok(Some(gone));
            }
        }
        Ok(None)
    }
}
