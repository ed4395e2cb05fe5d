//! What comes of one request: the fate of each of its events, and when it was told.

use std::sync::Arc;

use tokio::time::Instant;

/// Whether events that were not accepted may have become rows all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// None was stored.
    None,
    /// Nobody knows.
    Perhaps,
    /// One was stored, and no second one may be.
    One,
    /// One was stored, and perhaps another.
    OneOrTwo,
}

/// Why an event does not count as accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failures are counted by: an HTTP status, or a word.
    pub cause: String,
    /// What was said, for people.
    pub detail: String,
    /// What may stand on a shard nevertheless.
    pub rows: Rows,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is stored.
    Accepted,
    /// It was bad, and refused as it should be.
    Rejected,
    /// It is bad, and stored in the journal, which looks into nothing: it has to become a dead letter.
    BadPublished,
    /// None of these.
    Failed(Arc<Failure>),
}

/// How a request ended that asked to be told of the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Its rows were committed, and that was heard at this moment.
    At(Instant),
    /// Accepted, and not committed while we waited.
    NotInTime,
}

/// What came of one request.
#[derive(Debug, Clone)]
pub struct Answer {
    /// One for each event, in order.
    pub fates: Vec<Fate>,
    /// When storage was acknowledged, if it was, and if that is what the request waited for.
    pub accepted_at: Option<Instant>,
    /// `None` where nobody asked, or nothing was accepted.
    pub commit: Option<Commit>,
    /// It was sent a second time with the same key, and the answer was the first one's.
    pub replayed: bool,
}

impl Failure {
    /// A failure.
    pub fn new(cause: impl Into<String>, detail: impl Into<String>, rows: Rows) -> Self {
        Self { cause: cause.into(), detail: detail.into(), rows }
    }
}

impl Answer {
    /// These fates, told now.
    pub fn now(fates: Vec<Fate>) -> Self {
        let accepted = fates.iter().any(|fate| matches!(fate, Fate::Accepted | Fate::BadPublished));
        Self { fates, accepted_at: accepted.then(Instant::now), commit: None, replayed: false }
    }

    /// The whole request failed.
    pub fn failed(events: usize, failure: Failure) -> Self {
        Self::now(vec![Fate::Failed(Arc::new(failure)); events])
    }

    /// Whether an event that can become a row was accepted.
    pub fn is_accepted(&self) -> bool {
        self.fates.contains(&Fate::Accepted)
    }
}
