//! A shard: rows and stored positions on one disk, an older copy of it, and transactions that
//! nobody waits for any more.

use crate::{
    bounds::{PARTITIONS, Variant},
    journal::{Log, Messages, Place, real},
    work::Batch,
};

/// What a shard has stored. Rows are known by their message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Disk {
    pub(crate) stored: [Place; PARTITIONS],
    /// Rows that are there.
    pub(crate) rows: [Messages; PARTITIONS],
    /// Rows that were put in a second time. A real shard's primary key would refuse them, and the
    /// lane would stop.
    pub(crate) doubles: [Messages; PARTITIONS],
}

impl Disk {
    /// Whether the transaction goes on from where the shard is.
    pub(crate) fn agrees(&self, batch: &Batch, variant: Variant) -> bool {
        let same = |from: Place, stored: Place| match variant {
            Variant::NoCompare => true,
            Variant::ComparesNoStamp => from.position == stored.position,
            _ => from == stored,
        };
        batch.iter().zip(self.stored).all(|(advance, stored)| advance.is_none_or(|advance| same(advance.from, stored)))
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

    /// Whether one transaction that led from `before` to here moved each position on in one history
    /// of the journal.
    pub(crate) fn is_linked(&self, before: &Self, logs: &[Log; PARTITIONS]) -> bool {
        (0..PARTITIONS).all(|partition| {
            let (from, to) = (before.stored[partition], self.stored[partition]);
            from.position <= to.position && real(from.message()) & !logs[partition].history(to) == 0
        })
    }

    /// Whether one transaction that led from `before` to here added only rows that its positions
    /// passed.
    pub(crate) fn is_together(&self, before: &Self, logs: &[Log; PARTITIONS]) -> bool {
        (0..PARTITIONS).all(|partition| self.added(before, partition) & !self.passed(before, partition, logs) == 0)
    }

    /// Whether one transaction that led from `before` to here put in every one of this shard's rows
    /// that its positions passed, but for those that were named as lost for it.
    pub(crate) fn is_whole(&self, before: &Self, logs: &[Log; PARTITIONS], shard: usize) -> bool {
        (0..PARTITIONS).all(|partition| {
            let passed = self.passed(before, partition, logs) & !logs[partition].named[shard];
            let due = logs[partition].routed[shard] & passed;
            due & !self.added(before, partition) == 0
        })
    }

    fn added(&self, before: &Self, partition: usize) -> Messages {
        self.rows[partition] & !before.rows[partition]
    }

    fn passed(&self, before: &Self, partition: usize, logs: &[Log; PARTITIONS]) -> Messages {
        let log = &logs[partition];
        log.history(self.stored[partition]) & !log.history(before.stored[partition])
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
