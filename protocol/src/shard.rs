//! A shard: rows and stored positions on one disk, an older copy of it, and transactions that nobody waits for any more.

use crate::{
    bounds::PARTITIONS,
    journal::{Position, Positions, span},
    work::Batch,
};

/// What a shard has stored. Rows are known by their position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Disk {
    pub(crate) stored: [Position; PARTITIONS],
    /// Rows that are there.
    pub(crate) rows: [Positions; PARTITIONS],
    /// Rows that were put in a second time. A real shard's primary key would refuse them, and the lane would stop.
    pub(crate) doubles: [Positions; PARTITIONS],
}

impl Disk {
    /// Whether the transaction goes on from where the shard is.
    pub(crate) fn agrees(&self, batch: &Batch) -> bool {
        batch.iter().zip(self.stored).all(|(advance, stored)| advance.is_none_or(|advance| advance.from == stored))
    }

    /// Puts a transaction's rows in.
    pub(crate) fn insert(&mut self, batch: &Batch) {
        for (partition, advance) in batch.iter().enumerate() {
            let rows = advance.map_or(0, |advance| advance.rows);
            self.doubles[partition] |= self.rows[partition] & rows;
            self.rows[partition] |= rows;
        }
    }

    /// Moves the positions as a transaction says.
    pub(crate) fn advance(&mut self, batch: &Batch) {
        for (stored, advance) in self.stored.iter_mut().zip(batch) {
            *stored = advance.map_or(*stored, |advance| advance.to);
        }
    }

    /// Whether one transaction that led from `before` to here added only rows that its positions passed.
    pub(crate) fn is_together(&self, before: &Self) -> bool {
        (0..PARTITIONS).all(|partition| {
            let added = self.rows[partition] & !before.rows[partition];
            added & !span(before.stored[partition], self.stored[partition]) == 0
        })
    }

    /// Whether one transaction that led from `before` to here put in every one of this shard's rows that its positions
    /// passed, and moved none of them back.
    pub(crate) fn is_whole(&self, before: &Self, routed: [Positions; PARTITIONS]) -> bool {
        (0..PARTITIONS).all(|partition| {
            let added = self.rows[partition] & !before.rows[partition];
            let due = routed[partition] & span(before.stored[partition], self.stored[partition]);
            due & !added == 0 && before.stored[partition] <= self.stored[partition]
        })
    }
}

/// One shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shard {
    pub(crate) disk: Disk,
    /// The copy that it may be set back to. The first is that of its registration.
    pub(crate) copy: Disk,
    /// How often it has been set back.
    pub(crate) set_backs: u8,
    /// A transaction whose connection is gone.
    pub(crate) orphan: Option<Batch>,
}
