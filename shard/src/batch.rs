//! What one transaction stores.

use sluice_model::{EventId, Partition, Position, Rows};

/// How far a shard has read a partition, as its own `journal_position` row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredPosition {
    /// All of the partition up to here that is this shard's is in its tables.
    pub position: Position,
    /// The JetStream time of the message at `position`, in nanoseconds since 1970; 0 where there never was one.
    pub stamp: i64,
}

impl From<Position> for StoredPosition {
    /// One at which there was no message that anybody knows of.
    fn from(position: Position) -> Self {
        Self { position, stamp: 0 }
    }
}

/// One partition's step: the stored position must be `from`, and becomes `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// What the shard must say now.
    pub from: Position,
    /// What it says after the commit.
    pub to: Position,
    /// The JetStream time of the message at `to`, in nanoseconds since 1970.
    pub stamp: i64,
}

impl Advance {
    /// The partition that is advanced.
    pub fn partition(&self) -> Partition {
        self.to.partition()
    }
}

/// Rows and the positions that they lead to.
///
/// Whoever builds it keeps the lane rule: for each advance, the rows are all of this shard's events of *every* message
/// in `(from, to]`.
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
