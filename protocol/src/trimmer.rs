//! The trimmer: it reads one shard's stored positions after the other's, then purges.

use crate::{
    bounds::{PARTITIONS, SHARDS},
    journal::Position,
};

/// What the trimmer has read and not used yet. The other shard is read at the purge: whatever can happen between the two
/// readings and the purge can happen to the shard read first, and either may be that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Trimmer {
    /// A shard, and its stored positions.
    pub(crate) reading: Option<(usize, [Position; PARTITIONS])>,
}

impl Trimmer {
    /// Both shards' positions, now that the second is read. Forgets them.
    pub(crate) fn readings(
        &mut self,
        now: impl Fn(usize) -> [Position; PARTITIONS],
    ) -> Option<[[Position; PARTITIONS]; SHARDS]> {
        let (shard, earlier) = self.reading.take()?;
        let mut readings = std::array::from_fn(now);
        readings[shard] = earlier;
        Some(readings)
    }
}

/// The least of the positions that some shards have stored.
pub(crate) fn least(readings: &[[Position; PARTITIONS]], partition: usize) -> Position {
    readings.iter().map(|stored| stored[partition]).min().unwrap_or(0)
}
