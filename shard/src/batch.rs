//! What one transaction stores.

use sluice_model::{EventId, Partition, Rows};

/// How far a shard has read a partition, as its own `journal_position` row says: all of the partition up
/// to there that is this shard's is in its tables.
pub use sluice_model::Place as StoredPosition;

/// One partition's step: the shard must say `from`, and says `to` after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// What the shard must say now: position and stamp.
    pub from: StoredPosition,
    /// What it says after the commit.
    pub to: StoredPosition,
}

impl Advance {
    /// The partition that is advanced.
    pub fn partition(&self) -> Partition {
        self.to.position.partition()
    }
}

/// Rows and the positions that they lead to.
///
/// Whoever builds it keeps the lane rule: for each advance, the rows are all of this shard's events of *every* message
/// behind `from` and up to `to`.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// The rows; may be none (an idle lane that keeps up).
    pub rows: Rows,
    /// At most one per partition, in order of partition.
    pub advances: Vec<Advance>,
}

/// A row that the database refused for its very value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Index in [`Batch::rows`].
    pub index: usize,
    /// The row's event.
    pub id: EventId,
    /// What the database said.
    pub detail: String,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a batch that was refused is not stored"]
pub enum Appended {
    /// All of it is stored.
    Stored,
    /// The database refuses exactly these rows for their values: it takes other rows. Nothing is
    /// stored: append the batch again without them.
    Refused(Vec<RefusedRow>),
    /// The database refuses these rows, at least one, and probably more: the search for them was ended. Nothing is stored: append the
    /// batch again without them, and less of it at once.
    TooMany(Vec<RefusedRow>),
}
