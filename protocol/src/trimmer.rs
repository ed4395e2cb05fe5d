//! The trimmer: it reads one shard's stored positions after the other's, then purges.

use crate::{
    bounds::{PARTITIONS, SHARDS},
    journal::{Log, Place, Position},
};

/// The stored positions of all shards.
pub(crate) type Readings = [[Place; PARTITIONS]; SHARDS];

/// What the trimmer has read and not used yet. The other shard is read at the purge: whatever can
/// happen between the two readings and the purge can happen to the shard read first, and either may
/// be that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Trimmer {
    /// A shard, and its stored positions.
    pub(crate) reading: Option<(usize, [Place; PARTITIONS])>,
}

impl Trimmer {
    /// Both shards' positions, now that the second is read. Forgets them.
    pub(crate) fn readings(&mut self, now: impl Fn(usize) -> [Place; PARTITIONS]) -> Option<Readings> {
        let (shard, earlier) = self.reading.take()?;
        let mut readings = std::array::from_fn(now);
        readings[shard] = earlier;
        Some(readings)
    }
}

/// The least position that some shards have stored; `None` where one of them has read another
/// history of the journal.
pub(crate) fn floor(log: &Log, readings: &[[Place; PARTITIONS]], partition: usize, verifies: bool) -> Option<Position> {
    let mut stored = readings.iter().map(|stored| stored[partition]);
    if verifies && stored.clone().any(|place| log.has_parted(place)) {
        return None;
    }
    stored.by_ref().map(|place| place.position).min()
}
