//! The record, read and written by revision.

use std::time::Duration;

use async_nats::jetstream::{
    context::PublishError,
    kv::{self, UpdateErrorKind},
};

use super::{Announced, TrimRecord};
use crate::{
    JournalError,
    dead::change::{found, is_overtaken},
};

/// How often a change is tried again where somebody else was quicker. Trimmers write a few times a minute.
const TRIES: u32 = 20;
/// How long to wait before it is tried again: in a cluster the other's write may be on its way still.
const AGAIN: Duration = Duration::from_millis(50);
/// The header of an entry that says that there is none any more.
const REMOVED: &str = "KV-Operation";

/// One journal's entry in the bucket. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct TrimLedger {
    store: kv::Store,
    key: String,
    room: usize,
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
    pub(super) fn new(store: kv::Store, key: String, room: usize) -> Self {
        Self { store, key, room }
    }

    /// The record and its revision, as the bucket's leader has them. Where one only believes that it leads, they may be older
    /// ones: then writing is refused.
    ///
    /// # Errors
    /// Where JetStream does not answer, or the entry is none of ours.
    pub async fn load(&self) -> Result<(TrimRecord, u64), JournalError> {
        const OPERATION: &str = "read the record of what was trimmed";
        // Not `entry`: that asks any copy, and one that lags would make a registration try in vain.
        let subject = format!("{}{}", self.store.prefix, self.key);
        let entry = found(self.store.stream.get_last_raw_message_by_subject(&subject).await, OPERATION)?;
        let Some(entry) = entry else { return Ok((TrimRecord::default(), 0)) };
        if entry.headers.get(REMOVED).is_some() {
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
        if json.len() >= self.room {
            let what = format!("{} bytes, and the server takes {}: raise its max_payload", json.len(), self.room);
            return Err(JournalError::new(OPERATION, what).into());
        }
        self.store.update(&self.key, json.into(), revision).await.map_err(|error| {
            let source = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<PublishError>());
            if error.kind() == UpdateErrorKind::WrongLastRevision || source.is_some_and(is_overtaken) {
                WriteError::Stale
            } else {
                JournalError::new(OPERATION, error).into()
            }
        })
    }

    /// Says that a shard is about to be registered. From now on no trimmer settles a floor until the directory names the shard,
    /// or the ticket is withdrawn.
    ///
    /// # Errors
    /// Where JetStream does not answer. A ticket may be left then; it ends by itself.
    pub async fn announce(&self, shard: &str) -> Result<Announced, JournalError> {
        let ticket = uuid::Uuid::new_v4().simple().to_string();
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
