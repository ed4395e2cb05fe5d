//! A lane of a writer: its queue, what it has in hand, and where its one transaction is. The model of the writer's
//! `lane::queue`, `lane::task` and `lane::catch_up`.

use crate::{
    bounds::{PARTITIONS, Variant},
    journal::{Log, Position},
    work::{Batch, Stretch, Work, is_idle},
};

/// Where a lane's connection and transaction are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// Not connected. `gone` are the journal's first positions where a message that the lane needed was not there any more.
    Down { gone: [Position; PARTITIONS] },
    /// Connected, and without a transaction.
    Ready,
    /// Behind: reading for itself.
    Reading(Work),
    /// The transaction is with the shard.
    Sent(Work),
    /// Only where the position is advanced apart: the rows are committed.
    RowsStored(Work),
    /// Stopped for good: what the shard needs is gone.
    Stopped,
}

/// One shard's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane {
    pub(crate) phase: Phase,
    /// What the shard said last, and what has been committed since. `None` until it has answered once.
    pub(crate) stored: Option<[Position; PARTITIONS]>,
    /// Which partitions' readers feed the queue.
    pub(crate) fed: [bool; PARTITIONS],
    pub(crate) queue: Work,
    /// Work that was being committed when the connection was given up.
    pub(crate) pending: Work,
    /// Joining: the reader's position J of each partition, up to which the lane reads for itself. 0: none.
    pub(crate) joining: [Position; PARTITIONS],
}

/// A lane of a writer that has just started.
pub(crate) const NEW: Lane = Lane {
    phase: Phase::Down { gone: [0; PARTITIONS] },
    stored: None,
    fed: [false; PARTITIONS],
    queue: Work([Stretch { first: 0, last: 0, rows: 0 }; PARTITIONS]),
    pending: Work([Stretch { first: 0, last: 0, rows: 0 }; PARTITIONS]),
    joining: [0; PARTITIONS],
};

/// Where the partitions' readers are; 0: not started.
pub(crate) type Readers = [Position; PARTITIONS];

impl Lane {
    /// The shard's answer, or nothing stored at all.
    pub(crate) fn known(&self) -> [Position; PARTITIONS] {
        self.stored.unwrap_or_default()
    }

    /// Fed by every reader that has started.
    pub(crate) fn is_live(&self, readers: &Readers) -> bool {
        let mut started = readers.iter().zip(self.fed).filter(|(next, _)| **next > 0).peekable();
        started.peek().is_some() && started.all(|(_, fed)| fed)
    }

    pub(crate) fn is_joining(&self) -> bool {
        self.joining != [0; PARTITIONS]
    }

    /// The transaction that is with the shard.
    pub(crate) fn batch(&self, work: &Work) -> Batch {
        work.prepare(self.known(), false).expect("without a check there is no gap")
    }

    /// The queue is dropped; the lane reads for itself.
    pub(crate) fn go_behind(&mut self) {
        self.queue = Work::default();
        self.fed = [false; PARTITIONS];
        self.joining = [0; PARTITIONS];
    }

    /// The connection is given up; `work` was being committed.
    pub(crate) fn disconnect(&mut self, work: Work, readers: &Readers) {
        self.pending = work;
        self.forget(readers);
        self.joining = [0; PARTITIONS];
        self.phase = Phase::Down { gone: [0; PARTITIONS] };
    }

    /// Connects, and asks the shard how far it is; then what was in hand is stored again, or dropped.
    pub(crate) fn connect(&mut self, stored: [Position; PARTITIONS], readers: &Readers, variant: Variant) {
        let Phase::Down { gone } = self.phase else { return };
        self.stored = Some(stored);
        if gone.iter().zip(stored).any(|(first, stored)| stored + 1 < *first) {
            self.stop(readers);
            return;
        }
        self.phase = Phase::Ready;
        let pending = std::mem::take(&mut self.pending);
        self.send(pending, variant != Variant::KeepsPending);
        self.settle(readers, variant);
    }

    pub(crate) fn stop(&mut self, readers: &Readers) {
        self.forget(readers);
        self.go_behind();
        self.pending = Work::default();
        self.phase = Phase::Stopped;
    }

    /// Once all readers have started, nobody uses the shard's last answer before the next. One state instead of many.
    fn forget(&mut self, readers: &Readers) {
        if readers.iter().zip(self.known()).all(|(next, stored)| *next > 0 || stored == 0) {
            self.stored = Some([0; PARTITIONS]);
        }
    }

    /// Gives the shard a transaction, if the lane rule allows it and there is something to store.
    pub(crate) fn send(&mut self, work: Work, check_gap: bool) {
        self.phase = Phase::Ready;
        match work.prepare(self.known(), check_gap) {
            Err(_) => self.go_behind(),
            Ok(batch) if is_idle(&batch) => {}
            Ok(_) => self.phase = Phase::Sent(work),
        }
    }

    /// The answer has come.
    pub(crate) fn answer(&mut self, work: &Work, readers: &Readers, variant: Variant) {
        let mut stored = self.known();
        for (stored, stretch) in stored.iter_mut().zip(work.0) {
            *stored = stretch.last.max(*stored);
        }
        self.stored = Some(stored);
        self.phase = Phase::Ready;
        self.settle(readers, variant);
    }

    /// From now on the readers feed the queue.
    pub(crate) fn join(&mut self, readers: &Readers, variant: Variant) {
        self.queue = Work::default();
        self.fed = readers.map(|next| next > 0);
        self.joining = *readers;
        if variant == Variant::JoinsUnread {
            self.pretend(readers);
        }
        self.settle(readers, variant);
    }

    /// A wrong variant: takes everything before the readers for read.
    pub(crate) fn pretend(&mut self, readers: &Readers) {
        for (partition, next) in readers.iter().enumerate() {
            let first = self.known()[partition] + 1;
            if first < *next {
                self.queue.0[partition] = Stretch { first, last: next - 1, rows: 0 };
            }
        }
        self.joining = [0; PARTITIONS];
    }

    /// Joining ends when the lane has stored everything before each J. A lane that is fed, and not joining, but whose queue
    /// begins later than its shard ends, goes behind at once: the next message, which would show the gap, may be long in coming.
    fn settle(&mut self, readers: &Readers, variant: Variant) {
        let stored = self.known();
        if !self.joining.iter().zip(stored).any(|(next, stored)| stored + 1 < *next) {
            self.joining = [0; PARTITIONS];
        }
        let follows = |partition: usize| {
            let queued = self.queue.0[partition];
            let begins = if queued.last == 0 { readers[partition] } else { queued.first };
            begins <= stored[partition] + 1
        };
        let free = self.phase == Phase::Ready && !self.is_joining() && self.is_live(readers);
        if free && variant != Variant::WaitsForMore && !(0..PARTITIONS).all(follows) {
            self.go_behind();
        }
    }

    /// The position that a lane that is behind reads next in a partition, if it is to read on there.
    pub(crate) fn due(&self, readers: &Readers, partition: usize) -> Option<Position> {
        let in_hand = match &self.phase {
            Phase::Ready => 0,
            Phase::Reading(work) => work.0[partition].last,
            _ => return None,
        };
        if self.is_live(readers) && !self.is_joining() {
            return None;
        }
        let target = if self.is_joining() { self.joining[partition] } else { readers[partition] };
        let due = self.known()[partition].max(in_hand) + 1;
        (due < target).then_some(due)
    }

    /// Reads one message for itself. False where it is gone from the journal.
    pub(crate) fn read(&mut self, log: &Log, shard: usize, partition: usize, due: Position, variant: Variant) -> bool {
        let Some(found) = log.deliver(due) else { return true };
        if found != due && variant != Variant::NoContiguityCheck {
            return false;
        }
        let mut work = if let Phase::Reading(work) = self.phase { work } else { Work::default() };
        let kept = if variant == Variant::KeepsForeign { !0 } else { log.routed[shard] };
        work.add(partition, Stretch { first: due, last: found, rows: kept & (1 << found) });
        self.phase = Phase::Reading(work);
        true
    }
}
