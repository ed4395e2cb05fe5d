//! What a lane is fed, and from where on. Decisions only; the lock around it and the waiting are the lane's.

use std::{collections::BTreeMap, mem};

use sluice_failpoint::limit;
use sluice_model::{Partition, Position};

use super::{
    range::PositionRange,
    work::{Stored, Work},
};
use crate::router::Share;

/// So many bytes are enough for a transaction: some 5,000 to 10,000 small rows. Less: each row pays more of what a transaction costs by
/// itself (about a millisecond of a database's time). More: no row gets cheaper, and the first ones wait longer.
const ENOUGH_BYTES: usize = 1 << 20;
/// So many bytes of stamps, 8 for each message that the readers gave, whosever it was, and the lane goes behind: it commits nothing.
/// Less: a lane that is only slow reads half a million messages for itself. More: that much memory for each lane that stands still.
const RANGES_BYTES: usize = 4 << 20;

/// One lane's share of what the readers have read and the lane has not taken yet.
#[derive(Debug)]
pub struct Queue {
    work: Work,
    limit_bytes: usize,
    partitions: BTreeMap<Partition, Feed>,
    closed: bool,
}

/// A partition as the lane's queue sees it.
#[derive(Debug, Clone, Copy)]
struct Feed {
    /// The position that the partition's reader will give next.
    next: Position,
    /// Whether what it gives comes into this queue. If not, the lane is behind and reads for itself.
    fed: bool,
    /// Whether it has more at hand, and will give that at once.
    more: bool,
}

impl Queue {
    /// An empty queue that is full at `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        Self { work: Work::default(), limit_bytes, partitions: BTreeMap::new(), closed: false }
    }

    /// A reader starts at `next`. Its lane is fed from there (the shard's stored position has to be `next - 1` or further), or
    /// else begins behind. A reader that goes on where it was changes nothing.
    pub fn start(&mut self, partition: Partition, next: Position, fed: bool) {
        self.partitions.insert(partition, Feed { next, fed: fed && !self.closed, more: false });
    }

    /// A reader that has not fed this queue before says where it is; the lane is behind for that partition.
    pub fn introduce(&mut self, partition: Partition, next: Position) {
        self.partitions.entry(partition).or_insert(Feed { next, fed: false, more: false });
    }

    /// The partition is no longer this lane's: what is queued of it is dropped, so that it may come again, from elsewhere.
    pub fn release(&mut self, partition: Partition) {
        self.partitions.remove(&partition);
        self.work.forget(partition);
    }

    /// Takes in the next range of a partition, with what of it is this shard's, if anything. A lane that is behind reads it later by
    /// itself: then it is only noted how far the reader is. `more`: the reader has more at hand.
    pub fn feed(&mut self, range: &PositionRange, share: Option<&mut Share>, more: bool) {
        let unfed = Feed { next: range.first(), fed: false, more: false };
        let feed = self.partitions.entry(range.partition()).or_insert(unfed);
        debug_assert_eq!(feed.next, range.first(), "a reader gives every position once, in order");
        (feed.next, feed.more) = (range.last().position.next(), more);
        if feed.fed {
            self.work.add(range, share);
            if self.work.range_bytes() > limit("ranges", RANGES_BYTES) {
                self.go_behind();
            }
        }
    }

    /// The memory of what is queued.
    pub fn bytes(&self) -> usize {
        self.work.bytes()
    }

    /// Whether a reader should wait before it feeds more.
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.limit_bytes
    }

    /// Whether a transaction has something to store beyond positions.
    pub fn has_events(&self) -> bool {
        self.work.has_events()
    }

    /// A partition's reader has more at hand, and cannot give it now.
    pub fn hurry(&mut self, partition: Partition) {
        if let Some(feed) = self.partitions.get_mut(&partition) {
            feed.more = false;
        }
    }

    /// Whether a transaction should be begun: there is enough, or there are events and somebody waits for them, or no reader has more
    /// at hand. So transactions are large where a journal is full of events, and nobody waits where it is not.
    pub fn is_due(&self) -> bool {
        let enough = !self.work.is_empty() && self.bytes() >= limit("enough", ENOUGH_BYTES).min(self.limit_bytes / 2);
        let more = self.partitions.values().any(|feed| feed.fed && feed.more);
        enough || self.has_events() && (self.is_waited_for() || !more)
    }

    /// Whether somebody waits to hear of what is queued.
    pub fn is_waited_for(&self) -> bool {
        self.work.is_awaited()
    }

    /// Whether every partition is fed: the lane is live. False as long as no reader has started.
    pub fn is_live(&self) -> bool {
        !self.partitions.is_empty() && self.partitions.values().all(|feed| feed.fed)
    }

    /// Whether what is queued, and what comes after it, follows on what a shard has: nothing lies between the two. A queue
    /// without anything in it shows no gap by itself, so a lane asks this whenever its shard has told it a position.
    pub fn follows(&self, stored: &Stored) -> bool {
        self.partitions.iter().all(|(partition, feed)| {
            let begins = self.work.range(*partition).map_or(feed.next, PositionRange::first);
            // One that the lane has not asked the shard about yet says nothing; the commit goes by what it has asked.
            stored.get(partition).is_none_or(|shard| begins <= shard.stored.position.next())
        })
    }

    /// Takes all there is, and leaves `spare`'s memory in its place.
    pub fn take(&mut self, mut spare: Work) -> Work {
        spare.clear();
        mem::replace(&mut self.work, spare)
    }

    /// Goes behind: what is queued is dropped, and nothing more comes in until the lane joins again.
    pub fn go_behind(&mut self) {
        self.work = Work::default();
        self.partitions.values_mut().for_each(|feed| feed.fed = false);
    }

    /// The lane has stopped; its readers go on without it.
    pub fn close(&mut self) {
        self.closed = true;
        self.go_behind();
    }

    /// The lane tries again: it is behind, and may join.
    pub fn reopen(&mut self) {
        self.closed = false;
    }

    /// Where each partition's reader is.
    pub fn reader_positions(&self) -> BTreeMap<Partition, Position> {
        self.partitions.iter().map(|(partition, feed)| (*partition, feed.next)).collect()
    }

    /// Joins: from now on everything the readers give comes into the queue. What stands before the positions that this
    /// gives, the lane has to have read by itself before it takes from the queue. `None` where there is nobody to join: the
    /// worker has lost its partitions, or the lane has stopped.
    pub fn join(&mut self) -> Option<BTreeMap<Partition, Position>> {
        self.work = Work::default();
        self.partitions.values_mut().for_each(|feed| feed.fed = !self.closed);
        self.is_live().then(|| self.reader_positions())
    }
}

#[cfg(test)]
mod tests;
