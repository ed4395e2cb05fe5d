//! The record, read and written by revision.

use std::time::Duration;

use sluice_model::Partition;

use super::{Finished, Lost, Repair, RepairRecord, Way};
use crate::{
    Journal, JournalError,
    server::{StoreError, bucket},
    subject::{REPAIR_BUCKET, bucket_stream, repair_key, stream_name},
};

/// How often the record is written again where somebody else was quicker.
const TRIES: u32 = 10;

/// Why the record was not written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Somebody else has written it since it was read: look again.
    #[error("somebody else has written the record of repairs")]
    Stale,
    /// JetStream did not answer, or refused. It may have been written or not.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Journal {
    /// A partition's record and its revision, as the bucket's leader has it; an empty one where nothing was ever repaired.
    ///
    /// # Errors
    /// Where JetStream does not answer, or the entry is none of ours.
    pub async fn repairs(&self, partition: Partition) -> Result<(RepairRecord, u64), JournalError> {
        const OPERATION: &str = "read the record of repairs";
        let error = |e: crate::error::BoxError| JournalError::new(OPERATION, e);
        // Not through the bucket: a copy of it that lags would be asked, and one that is missing would look like a failure.
        let subject = format!("$KV.{REPAIR_BUCKET}.{}", repair_key(self.id(), partition));
        let entry = self.last_message(bucket_stream(REPAIR_BUCKET), &subject).await.map_err(error)?;
        let Some(entry) = entry else { return Ok((RepairRecord::default(), 0)) };
        // A deleted entry is an empty message.
        let record = if entry.payload.is_empty() {
            RepairRecord::default()
        } else {
            serde_json::from_slice(&entry.payload).map_err(|e| error(e.into()))?
        };
        Ok((record, entry.sequence))
    }

    /// Writes a partition's record if it still has this revision; gives the new one. The bucket is made where it is missing, with
    /// as many copies as the journal has.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub async fn write_repairs(
        &self,
        partition: Partition,
        record: &RepairRecord,
        revision: u64,
    ) -> Result<u64, RecordError> {
        const OPERATION: &str = "write the record of repairs";
        let what = "what was repaired, one entry for each partition of each journal";
        let store = bucket::open(self, REPAIR_BUCKET, what, Duration::ZERO).await?;
        let json = serde_json::to_vec(record).expect("a record has only texts and numbers");
        let written = store.update(&repair_key(self.id(), partition), json.into(), revision).await;
        written.map_err(|error| match error {
            StoreError::Overtaken => RecordError::Stale,
            StoreError::Other(source) => JournalError::new(OPERATION, source).into(),
        })
    }

    /// Notes the intent, unless just this one is noted, in place of an unfinished one that whoever asks has seen (and whose entries
    /// that still matter are in `lost`).
    ///
    /// # Errors
    /// [`RecordError::Stale`] where somebody else has begun another one; else where JetStream does not answer, or refuses. It may be
    /// noted then; to do it again is harmless.
    pub async fn begin_repair(
        &self,
        partition: Partition,
        lost: &[Lost],
        way: Way,
        seen: Option<&Repair>,
    ) -> Result<(), RecordError> {
        let first = self.bounds(partition).await?.first;
        for _ in 0..TRIES {
            let (mut record, revision) = self.repairs(partition).await?;
            if record.unfinished().is_some_and(|begun| begun.is_about(lost, way)) {
                return Ok(());
            }
            if record.unfinished().is_some_and(|begun| Some(begun) != seen) {
                return Err(RecordError::Stale);
            }
            record.forget_before(first);
            record.begin(lost.to_vec(), way);
            match self.write_repairs(partition, &record, revision).await {
                Err(RecordError::Stale) => {}
                written => return written.map(drop),
            }
        }
        Err(RecordError::Stale)
    }

    /// Notes the end of a repair that was begun. From now on what it lists is accepted.
    ///
    /// # Errors
    /// [`RecordError::Stale`] where somebody has begun another one since; else where JetStream does not answer, or refuses. It may
    /// be noted then; to do it again is harmless.
    pub async fn finish_repair(
        &self,
        partition: Partition,
        lost: &[Lost],
        way: Way,
        finished: Finished,
    ) -> Result<(), RecordError> {
        for _ in 0..TRIES {
            let (mut record, revision) = self.repairs(partition).await?;
            match record.repairs.last() {
                Some(last) if last.is_about(lost, way) && last.finished.is_none() => record.finish(finished),
                // Somebody else was at it as well, and quicker.
                Some(last) if last.is_about(lost, way) => return Ok(()),
                _ => return Err(RecordError::Stale),
            }
            match self.write_repairs(partition, &record, revision).await {
                Err(RecordError::Stale) => {}
                written => return written.map(drop),
            }
        }
        Err(RecordError::Stale)
    }

    /// How many copies a partition's stream has: an administrator's command is not told by its settings.
    pub(super) async fn replicas_of(&self, partition: Partition) -> Result<usize, JournalError> {
        let stream = self.context().get_stream(stream_name(partition)).await;
        let stream = stream.map_err(|e| JournalError::new("ask how many copies a partition has", e))?;
        Ok(stream.cached_info().config.num_replicas)
    }
}
