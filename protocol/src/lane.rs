//! A lane of a writer: its queue, what it has in hand, and where its one transaction is. The model
//! of the writer's `lane::queue` and `lane::task`.

use crate::{
    bounds::{PARTITIONS, Variant},
    journal::{Log, Place, Position, bit},
    reader::Ends,
    work::{Batch, Known, Unfit, Work, is_idle},
};

/// Where a lane's connection and transaction are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// Not connected. `gone` are the journal's first positions where a message that the lane needed
    /// was not there any more.
    Down { gone: [Position; PARTITIONS] },
    /// Connected, and without a transaction.
    Ready,
    /// Behind: reading for itself.
    Reading(Work),
    /// The transaction is with the shard.
    Sent(Batch),
    /// Only where the position is advanced apart: the rows are committed.
    RowsStored(Batch),
    /// Stopped for good: what the shard needs is gone.
    Stopped,
}

/// One shard's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane {
    pub(crate) phase: Phase,
    /// What the shard said last, and what has been committed since. `None`: not asked, or refused.
    pub(crate) known: Known,
    /// Known in an ownership epoch that has ended, which the lane has not noticed. Its health no
    /// longer says it.
    pub(crate) stale: [bool; PARTITIONS],
    /// Which partitions' readers feed the queue.
    pub(crate) fed: [bool; PARTITIONS],
    pub(crate) queue: Work,
    /// Joining: the reader's position J of each partition, up to which the lane reads for itself.
    /// 0: none.
    pub(crate) joining: [Position; PARTITIONS],
    /// Work that was being committed when the connection was given up. Only wrong variants have
    /// any.
    pub(crate) pending: Work,
}

/// The partitions that turned out to be of another history than the shard's.
pub(crate) type Refused = [bool; PARTITIONS];

impl Lane {
    /// Makes a lane of a writer that has just started.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Down { gone: [0; PARTITIONS] },
            known: [None; PARTITIONS],
            stale: [false; PARTITIONS],
            fed: [false; PARTITIONS],
            queue: Work::default(),
            joining: [0; PARTITIONS],
            pending: Work::default(),
        }
    }

    /// What its health says of a partition, in the current ownership epoch.
    pub(crate) fn health(&self, partition: usize) -> Option<Place> {
        self.known[partition].filter(|_| !self.stale[partition])
    }

    /// Whether its worker has other partitions than it knows of.
    pub(crate) fn is_outdated(&self, owned: &[bool; PARTITIONS]) -> bool {
        (0..PARTITIONS).any(|p| self.stale[p] || owned[p] != self.known[p].is_some())
    }

    /// Fed by every reader that has started.
    pub(crate) fn is_live(&self, ends: &Ends) -> bool {
        let mut started = ends.iter().zip(self.fed).filter(|(end, _)| end.is_some()).peekable();
        started.peek().is_some() && started.all(|(_, fed)| fed)
    }

    pub(crate) fn is_joining(&self) -> bool {
        self.joining != [0; PARTITIONS]
    }

    /// The queue is dropped; the lane reads for itself.
    pub(crate) fn go_behind(&mut self) {
        self.queue = Work::default();
        self.fed = [false; PARTITIONS];
        self.joining = [0; PARTITIONS];
    }

    /// Drops the connection after an error, and with it all work in hand.
    pub(crate) fn disconnect(&mut self, variant: Variant) {
        self.joining = [0; PARTITIONS];
        if !variant.keeps_work() {
            self.go_behind();
        }
        for partition in 0..PARTITIONS {
            self.known[partition] = self.health(partition);
        }
        self.stale = [false; PARTITIONS];
        self.phase = Phase::Down { gone: [0; PARTITIONS] };
    }

    /// Stops for good.
    pub(crate) fn stop(&mut self) {
        *self = Self { phase: Phase::Stopped, ..Self::new() };
    }

    /// Connects, and asks the shard how far it is.
    pub(crate) fn connect(
        &mut self,
        stored: [Place; PARTITIONS],
        owned: &[bool; PARTITIONS],
        logs: &[Log; PARTITIONS],
    ) -> Refused {
        let Phase::Down { gone } = self.phase else { return Refused::default() };
        if gone.iter().zip(stored).any(|(first, stored)| stored.position < *first) {
            self.stop();
            return Refused::default();
        }
        self.phase = Phase::Ready;
        self.known = [None; PARTITIONS];
        self.adopt(stored, owned, logs)
    }

    /// Forgets what is no longer its own, and asks the shard about what is new: the journal has to
    /// hold that place.
    pub(crate) fn adopt(
        &mut self,
        stored: [Place; PARTITIONS],
        owned: &[bool; PARTITIONS],
        logs: &[Log; PARTITIONS],
    ) -> Refused {
        let mut refused = Refused::default();
        for partition in 0..PARTITIONS {
            if !owned[partition] {
                self.known[partition] = None;
            } else if self.health(partition).is_none() {
                refused[partition] = logs[partition].has_parted(stored[partition]);
                self.known[partition] = Some(stored[partition]).filter(|_| !refused[partition]);
            }
        }
        self.stale = [false; PARTITIONS];
        refused
    }

    /// The partition's ownership epoch ends. The lane notices later: what it knows, reads or has
    /// sent stays until then.
    pub(crate) fn release(&mut self, partition: usize, variant: Variant) {
        self.queue.0[partition] = Default::default();
        self.fed[partition] = false;
        self.joining[partition] = 0;
        if matches!(variant, Variant::TrustsStaleHealth { .. }) {
            return;
        }
        if matches!(self.phase, Phase::Down { .. }) {
            self.known[partition] = None;
        }
        self.stale[partition] = self.known[partition].is_some();
    }

    /// Gives the shard a transaction, if the lane rule allows it and there is something to store.
    /// Work that passes what is lost has to be named as lost for this shard. Where it is not, the
    /// shard is asked once more before the lane stops.
    pub(crate) fn send(
        &mut self,
        mut work: Work,
        is_pending: bool,
        (logs, shard): (&[Log; PARTITIONS], usize),
        variant: Variant,
    ) -> Refused {
        let mut refused = Refused::default();
        self.phase = Phase::Ready;
        let passes = |partition: usize| {
            let stored = self.known[partition]?.position;
            let lost = work.0[partition].lost_behind(stored) & !logs[partition].accepted[shard];
            (1..8).find(|position| lost & bit(*position) != 0)
        };
        let unnamed: [Option<Position>; PARTITIONS] = std::array::from_fn(passes);
        if unnamed.iter().any(Option::is_some) && variant != Variant::PassesForAll {
            self.disconnect(variant);
            self.phase = Phase::Down { gone: unnamed.map(Option::unwrap_or_default) };
            return refused;
        }
        match work.prepare(&self.known, variant.checks(is_pending)) {
            Err(Unfit::Gap) => self.go_behind(),
            Err(Unfit::Parted(partition)) => {
                refused[partition] = true;
                self.disconnect(variant);
            }
            Ok(batch) if is_idle(&batch) => {}
            Ok(batch) => {
                self.phase = Phase::Sent(batch);
                if variant.keeps_work() {
                    work.destroy(&self.known, variant);
                    self.pending = work;
                }
            }
        }
        refused
    }

    /// The answer has come.
    pub(crate) fn answer(&mut self, batch: &Batch) {
        for (known, advance) in self.known.iter_mut().zip(batch) {
            *known = known.and_then(|known| Some(advance.map_or(known, |advance| advance.to)));
        }
        self.pending = Work::default();
        self.phase = Phase::Ready;
    }

    /// Joining ends when the lane has stored everything before each J. A lane that is fed, and not
    /// joining, but whose queue begins later than its shard ends, goes behind at once: the next
    /// message, which would show the gap, may be long in coming.
    pub(crate) fn settle(&mut self, ends: &Ends, variant: Variant) {
        let lacks = |partition: usize, next: Position| self.known[partition].is_some_and(|at| at.position + 1 < next);
        if !(0..PARTITIONS).any(|partition| lacks(partition, self.joining[partition])) {
            self.joining = [0; PARTITIONS];
        }
        let begins = |partition: usize| {
            let queued = self.queue.0[partition];
            if queued.is_empty() { ends[partition] } else { Some(queued.after) }
        };
        let gap = |partition: usize| begins(partition).is_some_and(|after| lacks(partition, after.position + 1));
        let free = self.phase == Phase::Ready && !self.is_joining() && self.is_live(ends);
        if free && variant != Variant::WaitsForMore && (0..PARTITIONS).any(gap) {
            self.go_behind();
        }
    }
}
