//! The record, read and written by revision.

use async_nats::jetstream::kv::{self, Operation, UpdateErrorKind};

use super::{Announced, TrimRecord};
use crate::JournalError;

/// How often a change is tried again where somebody else was quicker. Trimmers write a few times a minute.
const TRIES: u32 = 20;

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

    /// The record and its revision. It may be an older one (a copy of the bucket that lags): then writing it is refused.
    ///
    /// # Errors
    /// Where JetStream does not answer, or the entry is none of ours.
    pub async fn load(&self) -> Result<(TrimRecord, u64), JournalError> {
        const OPERATION: &str = "read the record of what was trimmed";
        let entry = self.store.entry(self.key.as_str()).await.map_err(|e| JournalError::new(OPERATION, e))?;
        let Some(entry) = entry else { return Ok((TrimRecord::default(), 0)) };
        if entry.operation != Operation::Put {
            return Ok((TrimRecord::default(), entry.revision));
        }
        let record = serde_json::from_slice(&entry.value).map_err(|e| JournalError::new(OPERATION, e))?;
        Ok((record, entry.revision))
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
        self.store.update(&self.key, json.into(), revision).await.map_err(|error| match error.kind() {
            UpdateErrorKind::WrongLastRevision => WriteError::Stale,
            _ => JournalError::new(OPERATION, error).into(),
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

    async fn change(&self, change: impl Fn(&mut TrimRecord)) -> Result<TrimRecord, JournalError> {
        for _ in 0..TRIES {
            let (mut record, revision) = self.load().await?;
            change(&mut record);
            match self.write(&record, revision).await {
                Ok(_) => return Ok(record),
                Err(WriteError::Stale) => {}
                Err(WriteError::Journal(error)) => return Err(error),
            }
        }
        Err(JournalError::new("change the record of what was trimmed", format!("others wrote it {TRIES} times")))
    }
}
