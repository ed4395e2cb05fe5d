//! The record, read and written by revision.

use std::time::Duration;

use super::{Announced, TrimRecord};
use crate::{
    Journal, JournalError,
    server::{
        StoreError,
        bucket::{Bucket, is_removed},
    },
    subject::trim_key,
};

/// How often a change is tried again where somebody else was quicker. Trimmers write a few times a minute.
const TRIES: u32 = 20;
/// How long to wait before it is tried again: in a cluster the other's write may be on its way still.
const AGAIN: Duration = Duration::from_millis(50);

/// One journal's entry in the bucket. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct TrimLedger {
    journal: Journal,
    store: Bucket,
    key: String,
}

/// Why the record was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was written by somebody else since it was read: whoever goes by what it read has to stop here.
    #[error("somebody else has written the record of what was trimmed")]
    Stale,
    /// JetStream did not answer, or refused. It may have been written or not.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl TrimLedger {
    pub(super) fn new(journal: Journal, store: Bucket) -> Self {
        let key = trim_key(journal.id());
        Self { journal, store, key }
    }

    /// The record and its revision, as the bucket's leader has them. Where one only believes that it leads, they may be older
    /// ones: then writing is refused.
    ///
    /// # Errors
    /// Where JetStream does not answer, or the entry is none of ours.
    pub async fn load(&self) -> Result<(TrimRecord, u64), JournalError> {
        const OPERATION: &str = "read the record of what was trimmed";
        // As the leader has it: a copy that lags would make a registration try in vain.
        let entry = self.store.last(&self.key).await.map_err(|e| JournalError::new(OPERATION, e))?;
        let Some(entry) = entry else { return Ok((TrimRecord::default(), 0)) };
        if is_removed(&entry) {
            return Ok((TrimRecord::default(), entry.sequence));
        }
        let record = serde_json::from_slice(&entry.payload).map_err(|e| JournalError::new(OPERATION, e))?;
        Ok((record, entry.sequence))
    }

    /// Writes the record if it still has this revision; gives the new one.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(&self, record: &TrimRecord, revision: u64) -> Result<u64, WriteError> {
        const OPERATION: &str = "write the record of what was trimmed";
        let json = serde_json::to_vec(record).expect("a record has only texts and numbers");
        let room = self.journal.max_payload();
        if json.len() >= room {
            let what = format!("{} bytes, and the server takes {room}: raise its max_payload", json.len());
            return Err(JournalError::new(OPERATION, what).into());
        }
        self.store.update(&self.key, json.into(), revision).await.map_err(|error| match error {
            StoreError::Overtaken => WriteError::Stale,
            StoreError::Other(source) => JournalError::new(OPERATION, source).into(),
        })
    }

    /// Says that a shard is about to be registered. From now on no trimmer settles a floor until the directory names the shard,
    /// or the ticket is withdrawn.
    ///
    /// # Errors
    /// Where JetStream does not answer. A ticket may be left then; it ends by itself.
    pub async fn announce(&self, shard: &str) -> Result<Announced, JournalError> {
        let ticket = self.journal.unique_text();
        let insert = |record: &mut TrimRecord| drop(record.registering.insert(ticket.clone(), shard.to_owned()));
        let floors = self.change(insert).await?.floors;
        Ok(Announced { ticket, floors })
    }

    /// Takes an announcement back: the directory names the shard now, or never will.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn withdraw(&self, announced: &Announced) -> Result<(), JournalError> {
        self.change(|record| drop(record.registering.remove(&announced.ticket))).await.map(drop)
    }

    /// Forgets a shard that the directory names no more: it holds the journal no longer. False where it was not in the record.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn forget(&self, shard: &str) -> Result<bool, JournalError> {
        if !self.load().await?.0.read.contains_key(shard) {
            return Ok(false);
        }
        self.change(|record| drop(record.read.remove(shard))).await.map(|_| true)
    }

    async fn change(&self, change: impl Fn(&mut TrimRecord)) -> Result<TrimRecord, JournalError> {
        for _ in 0..TRIES {
            let (mut record, revision) = self.load().await?;
            change(&mut record);
            match self.write(&record, revision).await {
                Ok(_) => return Ok(record),
                Err(WriteError::Stale) => tokio::time::sleep(AGAIN).await,
                Err(WriteError::Journal(error)) => return Err(error),
            }
        }
        Err(JournalError::new("change the record of what was trimmed", format!("others wrote it {TRIES} times")))
    }
}
