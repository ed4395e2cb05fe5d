//! A writer: the partitions that it owns, a reader for each, and a lane for each shard. The model
//! of the writer's `worker`.

use crate::{
    bounds::{PARTITIONS, SHARDS, Variant},
    journal::Log,
    lane::{Lane, Phase, Refused},
    reader::{Ends, Reader},
};

/// One process. Other writers may own the same partitions: ownership is for speed and order only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Writer {
    pub(crate) readers: [Reader; PARTITIONS],
    pub(crate) lanes: [Lane; SHARDS],
}

impl Writer {
    /// Makes a writer that has just started, or that does not run: it owns these first partitions.
    pub(crate) fn new(partitions: usize) -> Self {
        let reader = |partition| if partition < partitions { Reader::Waiting } else { Reader::Released };
        Self { readers: std::array::from_fn(reader), lanes: [Lane::new(); SHARDS] }
    }

    pub(crate) fn owned(&self) -> [bool; PARTITIONS] {
        self.readers.map(|reader| reader != Reader::Released)
    }

    pub(crate) fn ends(&self) -> Ends {
        self.readers.map(Reader::end)
    }

    /// The group takes the partition away, or the journal does not hold what it should of it. With
    /// the reader, its ownership epoch ends.
    pub(crate) fn release(&mut self, partition: usize, variant: Variant) {
        self.readers[partition] = Reader::Released;
        let ends = self.ends();
        for lane in &mut self.lanes {
            lane.release(partition, variant);
            lane.settle(&ends, variant);
        }
    }

    /// Releases what was refused.
    pub(crate) fn refuse(&mut self, refused: Refused, variant: Variant) {
        (0..PARTITIONS).filter(|partition| refused[*partition]).for_each(|partition| self.release(partition, variant));
    }

    /// The lanes that a partition's reader may carry from its start: those whose shard has answered
    /// and has not been set back further than the journal reaches. `None` while no shard has
    /// answered.
    pub(crate) fn may_carry(&self, partition: usize, log: &Log) -> Option<[bool; SHARDS]> {
        let told = |lane: &Lane| lane.health(partition).filter(|_| lane.phase != Phase::Stopped);
        self.lanes
            .iter()
            .any(|lane| told(lane).is_some())
            .then(|| self.lanes.map(|lane| told(&lane).is_some_and(|stored| !log.has_trimmed(stored))))
    }

    /// Decides to start a partition's reader from the least stored position of the lanes it will
    /// carry. What the lanes' health says may be old, but the journal has to hold it.
    pub(crate) fn plan(&mut self, partition: usize, log: &Log, carried: [bool; SHARDS], variant: Variant) {
        let told = self.lanes.iter().filter_map(|lane| lane.health(partition));
        if told.clone().any(|stored| log.has_parted(stored)) {
            self.release(partition, variant);
            return;
        }
        let lanes = self.lanes.iter().zip(carried).filter(|(_, carried)| *carried);
        let stored = lanes.filter_map(|(lane, _)| lane.health(partition));
        let from = if variant == Variant::StartsAtLive { stored.max() } else { stored.min() };
        let after = from.unwrap_or_else(|| log.before_first());
        self.readers[partition] = Reader::Planned { after, carried };
    }

    /// Starts a planned reader: it feeds the lanes that it carries; the others begin behind.
    pub(crate) fn start(&mut self, partition: usize, log: &Log, variant: Variant) {
        let Reader::Planned { after, carried } = self.readers[partition] else { return };
        let quiet = variant == Variant::OpensUnverified;
        if !quiet && log.has_parted(after) {
            self.release(partition, variant);
            return;
        }
        if log.is_unseen(after) {
            self.readers[partition] = Reader::Waiting;
            return;
        }
        self.readers[partition] = Reader::At { place: after, quiet };
        let ends = self.ends();
        for (lane, carried) in self.lanes.iter_mut().zip(carried) {
            lane.fed[partition] = carried && lane.phase != Phase::Stopped;
            if carried && variant == Variant::StartsAtLive {
                lane.pretend(&ends);
            }
            lane.settle(&ends, variant);
        }
    }

    /// Whether a partition's reader has something to do: to read a message, or to find that its own
    /// last one is gone.
    pub(crate) fn is_due(&self, partition: usize, log: &Log) -> bool {
        let end = self.ends()[partition];
        end.is_some_and(|place| place.position < log.last || log.has_parted(place))
    }

    /// A partition's reader gives every lane its share of the next message. Where the journal does
    /// not hold its last one, the partition is refused; where the next one is trimmed, the reader
    /// asks the shards again where to start. The partition is refused also where the next one
    /// expired, and nobody has accepted that.
    pub(crate) fn read(&mut self, partition: usize, log: &Log, variant: Variant) {
        let Reader::At { place, quiet } = self.readers[partition] else { return };
        if !quiet && log.has_parted(place) {
            self.release(partition, variant);
            return;
        }
        if place.position >= log.last {
            return;
        }
        let next = log.next(place.position, variant);
        let follows = next.is_some_and(|found| found.position == place.position + 1) && !log.is_unseen(place);
        let found = next.filter(|_| follows || variant == Variant::NoContiguityCheck);
        let Some(found) = found else {
            if place.position + 1 >= log.first {
                self.release(partition, variant);
            } else {
                self.readers[partition] = Reader::Waiting;
                self.lanes.iter_mut().for_each(Lane::go_behind);
            }
            return;
        };
        self.readers[partition] = Reader::At { place: found, quiet: false };
        for (lane, routed) in self.lanes.iter_mut().zip(log.routed) {
            if lane.fed[partition] {
                lane.queue.add(partition, place, found, routed);
            }
        }
    }

    /// Forgets what nobody will use: health of a lane that is not connected, of a partition whose
    /// reader will not ask again in this ownership epoch. One state instead of many.
    pub(crate) fn forget(&mut self, trim: bool) {
        for partition in 0..PARTITIONS {
            let asks = self.readers[partition] == Reader::Waiting || trim;
            for lane in self.lanes.iter_mut().filter(|lane| matches!(lane.phase, Phase::Down { .. })) {
                lane.known[partition] = lane.known[partition].filter(|_| asks);
            }
        }
    }
}
