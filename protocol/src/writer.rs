//! A writer: the live readers of its partitions, and a lane for each shard. The model of the writer's `partition`.

use crate::{
    bounds::{PARTITIONS, SHARDS, Variant},
    journal::{Log, Position},
    lane::{self, Lane, Phase, Readers},
    work::Stretch,
};

/// One process. It believes that it owns every partition: ownership is for speed and order only, so nothing here asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Writer {
    /// The position that each partition's reader gives next; 0: not started.
    pub(crate) readers: Readers,
    /// Readers that found a gap. They stay so until the process starts again.
    pub(crate) stopped: [bool; PARTITIONS],
    pub(crate) lanes: [Lane; SHARDS],
}

/// A writer that has just started, or that does not run.
pub(crate) const NEW: Writer =
    Writer { readers: [0; PARTITIONS], stopped: [false; PARTITIONS], lanes: [lane::NEW; SHARDS] };

impl Writer {
    /// The lanes that a partition's reader may carry from its start: those whose shard has answered and has not been set
    /// back further than the journal reaches. `None` while no shard has answered.
    pub(crate) fn may_carry(&self, partition: usize, log: &Log) -> Option<[bool; SHARDS]> {
        self.lanes.iter().any(|lane| lane.stored.is_some()).then(|| {
            std::array::from_fn(|shard| {
                let lane = &self.lanes[shard];
                lane.phase != Phase::Stopped && lane.stored.is_some_and(|stored| stored[partition] + 1 >= log.first)
            })
        })
    }

    /// A partition's reader starts from the least stored position of the lanes it carries; the others begin behind.
    pub(crate) fn start(&mut self, partition: usize, log: &Log, carried: [bool; SHARDS], variant: Variant) {
        let stored =
            self.lanes.iter().zip(carried).filter(|(_, carried)| *carried).map(|(lane, _)| lane.known()[partition]);
        let from = if variant == Variant::StartsAtLive { stored.max() } else { stored.min() };
        let next = from.map_or(log.first, |position| position + 1);
        self.readers[partition] = next;
        let mut start = [0; PARTITIONS];
        start[partition] = next;
        for (lane, carried) in self.lanes.iter_mut().zip(carried) {
            lane.fed[partition] = carried;
            if carried && variant == Variant::StartsAtLive {
                lane.pretend(&start);
            }
        }
    }

    /// The position that a partition's reader waits for.
    pub(crate) fn due(&self, partition: usize) -> Option<Position> {
        let next = self.readers[partition];
        (next > 0 && !self.stopped[partition]).then_some(next)
    }

    /// A partition's reader gives every lane its share of the next message, unless something else came.
    pub(crate) fn read(&mut self, partition: usize, log: &Log, due: Position, variant: Variant) {
        let Some(found) = log.deliver(due) else { return };
        if found != due && variant != Variant::NoContiguityCheck {
            self.stopped[partition] = true;
            return;
        }
        self.readers[partition] = found + 1;
        for (lane, routed) in self.lanes.iter_mut().zip(log.routed) {
            if lane.fed[partition] {
                lane.queue.add(partition, Stretch { first: due, last: found, rows: routed & (1 << found) });
            }
        }
    }
}
