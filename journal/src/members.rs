//! The writers that are there: each says so again and again, in a key-value bucket, and hears the others.

use std::time::Duration;

use crate::{
    Journal, JournalError,
    server::bucket::{self, Bucket, Watch},
    subject::WRITERS_BUCKET,
};

/// A member that was not heard for so long is forgotten by the server too. Much longer than any time limit of a group, which goes
/// by what its members hear; this only keeps names of processes that will never come back from piling up.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The bucket of the writers. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Members(Bucket);

/// What one member hears. Everybody, the one that spoke included, hears everything in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A member is there.
    Beat {
        /// Its name.
        member: String,
        /// Which of the processes that have borne that name.
        incarnation: String,
        /// Which of all beats: who begins to hear anew hears the last one of each member again.
        revision: u64,
    },
    /// A member has left, in order.
    Left {
        /// Its name.
        member: String,
    },
}

impl Journal {
    /// The writers' bucket, made where it is missing.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn members(&self) -> Result<Members, JournalError> {
        let what = "the writers that are there: each writes its name again and again";
        Ok(Members(bucket::open(self, WRITERS_BUCKET, what, FORGOTTEN).await?))
    }
}

impl Members {
    /// Says that a member is there.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn beat(&self, member: &str, incarnation: &str) -> Result<(), JournalError> {
        let put = self.0.put(member, incarnation.to_owned().into()).await;
        put.map(drop).map_err(|e| JournalError::new("say that this writer is there", e))
    }

    /// Says that a member has left.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn leave(&self, member: &str) -> Result<(), JournalError> {
        self.0.delete(member).await.map_err(|e| JournalError::new("say that this writer has left", e))
    }

    /// Hears what each member said last, and from then on all that is said. `None` where it ended: hear again.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn hear(&self) -> Result<Hearing, JournalError> {
        let watch = self.0.watch().await;
        watch.map(Hearing).map_err(|e| JournalError::new("hear the other writers", e))
    }
}

/// A member's ear.
pub struct Hearing(Watch);

impl Hearing {
    /// The next thing that is said; `None` once hearing has ended. May be cancelled.
    pub async fn next(&mut self) -> Option<Result<Heard, JournalError>> {
        let entry = self.0.next().await?;
        Some(entry.map_err(|e| JournalError::new("hear the other writers", e)).map(|entry| match entry.value {
            Some(value) => {
                let incarnation = String::from_utf8_lossy(&value).into_owned();
                Heard::Beat { member: entry.key, incarnation, revision: entry.revision }
            }
            None => Heard::Left { member: entry.key },
        }))
    }
}
