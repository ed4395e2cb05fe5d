//! The whole state: journal, shards, writers, trimmer; and what has been seen to break.

use std::hash::{Hash, Hasher};

use crate::{
    bounds::{Bounds, PARTITIONS, SHARDS, WRITERS},
    journal::{Log, Place},
    shard::{Disk, Shard},
    trimmer::Trimmer,
    writer::Writer,
};

/// What no single state shows: noted when it happens. All false as long as nothing broke.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Broken {
    /// A transaction left out a row that its position passed.
    pub(crate) whole: bool,
    /// A transaction moved a position back, or from one history of the journal into another.
    pub(crate) linked: bool,
    /// A transaction put in a row that its position did not pass.
    pub(crate) together: bool,
    /// The trimmer passed a position that it had read.
    pub(crate) kept: bool,
    /// A lane stopped although the journal held what its shard needed.
    pub(crate) told: bool,
}

/// A state of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct World {
    pub(crate) logs: [Log; PARTITIONS],
    pub(crate) shards: [Shard; SHARDS],
    pub(crate) writers: [Writer; WRITERS],
    pub(crate) trimmer: Trimmer,
    /// Whoever accepts a loss: it reads the shards as the trimmer does.
    pub(crate) accepting: Trimmer,
    pub(crate) broken: Broken,
    /// The same in every state of an instance; it says which worlds differ only in names.
    lanes: [usize; WRITERS],
}

impl World {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self {
            lanes: bounds.lanes,
            logs: [Log::new(); PARTITIONS],
            shards: [Shard::default(); SHARDS],
            writers: [Writer::new(bounds.partitions); WRITERS],
            trimmer: Trimmer::default(),
            accepting: Trimmer::default(),
            broken: Broken::default(),
        }
    }

    /// One transaction of a shard is committed.
    pub(crate) fn store(&mut self, shard: usize, disk: Disk) {
        let before = &self.shards[shard].disk;
        self.broken.linked |= !disk.is_linked(before, &self.logs);
        self.broken.whole |= !disk.is_whole(before, &self.logs, shard);
        self.broken.together |= !disk.is_together(before, &self.logs);
        self.shards[shard].disk = disk;
    }

    /// Whether a shard needs a message that the journal no longer holds, or stands where nobody can
    /// see which history it has read.
    pub(crate) fn needs_gone(&self, shard: usize) -> bool {
        let stored = self.shards[shard].disk.stored;
        let needs = |(log, stored): (&Log, Place)| log.has_trimmed(stored) || log.lost_behind(stored.position) != 0;
        self.logs.iter().zip(stored).any(needs)
    }

    /// Whether a shard needs a message that the journal no longer holds, and that was not named as
    /// lost for it.
    pub(crate) fn is_cut_off(&self, shard: usize) -> bool {
        self.logs
            .iter()
            .zip(self.shards[shard].disk.stored)
            .any(|(log, stored)| log.is_unseen(stored) || log.lost_behind(stored.position) & !log.accepted[shard] != 0)
    }

    /// Whether what a shard has stored of a partition is not of the journal's history any more.
    pub(crate) fn is_parted(&self, shard: usize, partition: usize) -> bool {
        self.logs[partition].has_parted(self.shards[shard].disk.stored[partition])
    }

    /// The same with the shards' names exchanged.
    fn mirrored(mut self) -> Self {
        if self.lanes.iter().any(|lanes| ![0, SHARDS].contains(lanes)) {
            return self;
        }
        self.shards.swap(0, 1);
        for log in &mut self.logs {
            log.routed.swap(0, 1);
            log.accepted.swap(0, 1);
            log.named.swap(0, 1);
        }
        self.writers.iter_mut().for_each(|writer| writer.lanes.swap(0, 1));
        for reader in [&mut self.trimmer, &mut self.accepting] {
            reader.reading = reader.reading.map(|(shard, stored)| (1 - shard, stored));
        }
        self
    }

    fn with_writers_in_order(mut self) -> Self {
        if self.lanes[0] == self.lanes[1] {
            self.writers.sort_unstable();
        }
        self
    }
}

/// Worlds that differ only in the names of shards or writers are searched once: the checker knows a
/// state by its hash.
impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let one = self.with_writers_in_order();
        let other = self.mirrored().with_writers_in_order();
        let World { logs, shards, writers, trimmer, accepting, broken, lanes: _ } = one.min(other);
        (logs, shards, writers, trimmer, accepting, broken).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;
    const BOUNDS: Bounds = Bounds {
        writers: 2,
        lanes: [2, 2],
        partitions: 1,
        messages: [1, 0],
        published: true,
        set_backs: 0,
        orphans: false,
        trim: false,
        assignments: false,
        losses: 0,
        expiries: 0,
        slow_starts: false,
        joins: true,
    };

    fn hash(world: World) -> u64 {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        hasher.finish()
    }

    /// A world in which a writer is at work for a shard that a message was routed to.
    fn busy(lanes: [usize; WRITERS], writer: usize, shard: usize) -> World {
        let mut world = World::new(&Bounds { lanes, ..BOUNDS });
        world.logs[0].publish(shard);
        let logs = world.logs;
        world.writers[writer].lanes[shard].connect([Place::default(); PARTITIONS], &[true, false], &logs);
        world
    }

    #[test]
    fn worlds_that_differ_in_names_only_are_one() {
        let one = hash(busy([2, 2], 0, 0));
        assert!([(0, 1), (1, 0), (1, 1)].iter().all(|&(writer, shard)| hash(busy([2, 2], writer, shard)) == one));
        assert_ne!(hash(busy([2, 1], 0, 0)), hash(busy([2, 1], 0, 1)));
        assert_ne!(hash(busy([2, 1], 0, 0)), hash(busy([2, 1], 1, 0)));
        assert_ne!(one, hash(World::new(&BOUNDS)));
    }
}
