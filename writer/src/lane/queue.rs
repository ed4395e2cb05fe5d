//! What a lane is fed, and from where on. Decisions only; the lock around it and the waiting are the lane's.

use std::{collections::BTreeMap, mem};

use sluice_model::{Partition, Position};

use super::work::{Stored, Stretch, Work};
use crate::router::Share;

/// So many bytes are enough for a transaction: some 5,000 to 10,000 small rows. Less: each row pays more of what a transaction costs by
/// itself (about a millisecond of a database's time). More: no row gets cheaper, and the first ones wait longer.
const ENOUGH_BYTES: usize = 1 << 20;

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

    /// Takes in the next stretch of a partition, with what of it is this shard's, if anything. A lane that is behind reads it later by
    /// itself: then it is only noted how far the reader is. `more`: the reader has more at hand.
    pub fn feed(&mut self, stretch: Stretch, share: Option<&mut Share>, more: bool) {
        let unfed = Feed { next: stretch.first, fed: false, more: false };
        let feed = self.partitions.entry(stretch.last.partition()).or_insert(unfed);
        debug_assert_eq!(feed.next, stretch.first, "a reader gives every position once, in order");
        (feed.next, feed.more) = (stretch.last.next(), more);
        if feed.fed {
            self.work.add(stretch, share);
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

    /// Whether a transaction should be begun: there are events, and enough of them, or somebody waits for them, or no reader has more
    /// at hand. So transactions are large where a journal is full of events, and nobody waits where it is not.
    pub fn is_due(&self) -> bool {
        let enough = self.bytes() >= ENOUGH_BYTES.min(self.limit_bytes / 2);
        let more = self.partitions.values().any(|feed| feed.fed && feed.more);
        self.has_events() && (enough || self.is_waited_for() || !more)
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
            let begins = self.work.first(*partition).unwrap_or(feed.next);
            // One that the lane has not asked the shard about yet says nothing; the commit goes by what it has asked.
            stored.get(partition).is_none_or(|stored| begins <= stored.position.next())
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

    /// The lane has stopped for good; its readers go on without it.
    pub fn close(&mut self) {
        self.closed = true;
        self.go_behind();
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
mod tests {
    use proptest::prelude::*;
    use sluice_journal::{Message, Watched};
    use sluice_model::{Person, Rows};
    use sluice_shard::StoredPosition;

    use super::*;

    const PARTITION: u16 = 0;

    fn at(sequence: u64) -> Position {
        Position::new(sequence).unwrap()
    }

    fn share(first: u64, last: u64) -> Share {
        let mut rows = Rows::new();
        for sequence in first..=last {
            let person = Person { name: "a".into(), address: "b".into() };
            rows.push(&"42".parse().unwrap(), at(sequence).event(0), &person);
        }
        Share { rows, ..Share::default() }
    }

    /// A message that somebody wants to hear of, as its header says.
    fn watched(sequence: u64, header: &str, value: &str) -> Watched {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(header, value);
        let (subject, payload) = (async_nats::Subject::from("person.create.42"), bytes::Bytes::new());
        let message = Message { position: at(sequence), stamp: 0, subject, headers: Some(headers), payload };
        Watched::of(&message).expect("somebody wants to hear of it")
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// The reader reads so many messages on.
        Feed(u64),
        /// The lane takes and commits.
        Commit,
        /// The lane takes, and its commit fails.
        Fail,
        /// The reader loses patience.
        GoBehind,
        /// The lane reads so many messages by itself, then joins.
        CatchUp(u64),
        /// The shard is set back by so many positions.
        SetBack(u64),
        /// The partition goes to another writer, which stores so many positions, and comes back.
        Lend(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1u64..4).prop_map(Step::Feed),
            4 => Just(Step::Commit),
            1 => Just(Step::Fail),
            1 => Just(Step::GoBehind),
            2 => (0u64..6).prop_map(Step::CatchUp),
            1 => (1u64..5).prop_map(Step::SetBack),
            1 => (0u64..5).prop_map(Step::Lend),
        ]
    }

    /// A shard as a list: the positions whose rows it has.
    fn commit(work: &mut Work, shard: &mut Vec<u64>) -> bool {
        let partition = Partition::new(PARTITION);
        let last = at(shard.last().copied().unwrap_or(0));
        let mut stored = Stored::from([(partition, StoredPosition { position: last, stamp: 0 })]);
        if work.prepare(&stored).is_err() {
            return false;
        }
        shard.extend(work.batch.rows.iter().map(|row| row.id.position().get()));
        work.committed(&mut stored);
        // Every message is this shard's, so the position is that of the last row.
        assert_eq!(stored[&partition].position, at(shard.last().copied().unwrap_or(0)));
        true
    }

    proptest! {
        /// Whatever order feeding, failing, going behind, catching up, joining, lending and setting back come in: the shard holds
        /// every position from the first to its last, once, in order.
        #[test]
        fn no_order_of_events_loses_or_doubles_a_row(steps in prop::collection::vec(step(), 1..60)) {
            let mut queue = Queue::new(usize::MAX);
            queue.start(Partition::new(PARTITION), at(1), true);
            let (mut reader_next, mut shard, mut pending) = (1u64, Vec::<u64>::new(), Work::default());
            for step in steps {
                match step {
                    Step::Feed(n) => {
                        let last = reader_next + n - 1;
                        let stretch = Stretch { first: at(reader_next), last: at(last), stamp: 0 };
                        queue.feed(stretch, Some(&mut share(reader_next, last)), false);
                        reader_next = last + 1;
                    }
                    Step::Commit | Step::Fail => {
                        if pending.is_empty() {
                            pending = queue.take(Work::default());
                        }
                        if matches!(step, Step::Fail) {
                            continue;
                        }
                        if !commit(&mut pending, &mut shard) {
                            queue.go_behind();
                        }
                        pending.clear();
                    }
                    Step::GoBehind => queue.go_behind(),
                    Step::CatchUp(n) if !queue.is_live() => {
                        pending.clear();
                        let stored = shard.last().copied().unwrap_or(0);
                        let near = (stored + n).min(reader_next - 1);
                        for last in [near, reader_next - 1] {
                            let first = shard.last().copied().unwrap_or(0) + 1;
                            if first <= last {
                                let mut own = Work::default();
                                let stretch = Stretch { first: at(first), last: at(last), stamp: 0 };
                                own.add(stretch, Some(&mut share(first, last)));
                                prop_assert!(commit(&mut own, &mut shard));
                            }
                            if last == near {
                                let joined = queue.join();
                                prop_assert_eq!(joined.unwrap()[&Partition::new(PARTITION)], at(reader_next));
                            }
                        }
                    }
                    Step::CatchUp(_) => {}
                    Step::Lend(n) => {
                        queue.release(Partition::new(PARTITION));
                        let stored = shard.last().copied().unwrap_or(0);
                        shard.extend(stored + 1..=stored + n);
                        reader_next = stored + n + 1;
                        queue.start(Partition::new(PARTITION), at(reader_next), true);
                    }
                    Step::SetBack(n) => shard.truncate(shard.len().saturating_sub(usize::try_from(n).unwrap())),
                }
                let expected: Vec<u64> = (1..=shard.len() as u64).collect();
                prop_assert_eq!(&shard, &expected);
            }
        }
    }

    #[test]
    fn an_empty_queue_does_not_follow_on_a_shard_that_was_set_back() {
        let stored =
            |sequence| Stored::from([(Partition::new(PARTITION), StoredPosition { position: at(sequence), stamp: 0 })]);
        let mut queue = Queue::new(usize::MAX);
        queue.start(Partition::new(PARTITION), at(1), true);
        queue.feed(Stretch { first: at(1), last: at(4), stamp: 0 }, Some(&mut share(1, 4)), false);
        assert!(queue.follows(&stored(0)) && queue.follows(&stored(3)));
        queue.take(Work::default());
        assert!(queue.follows(&stored(4)) && queue.follows(&stored(9)) && !queue.follows(&stored(3)));
    }

    #[test]
    fn a_partition_that_comes_back_begins_anew() {
        let (partition, mut queue) = (Partition::new(PARTITION), Queue::new(usize::MAX));
        queue.start(partition, at(1), true);
        queue.feed(Stretch { first: at(1), last: at(4), stamp: 0 }, Some(&mut share(1, 4)), false);
        queue.release(partition);
        assert!(!queue.has_events() && queue.reader_positions().is_empty() && !queue.is_live());
        assert_eq!(
            queue.join(),
            None,
            "a lane that believes it has joined, and is not fed, would try again at once, for ever"
        );
        // Another writer has stored up to 9 meanwhile.
        queue.start(partition, at(10), true);
        queue.feed(Stretch { first: at(10), last: at(11), stamp: 0 }, Some(&mut share(10, 11)), false);
        assert_eq!(queue.take(Work::default()).first(partition), Some(at(10)));
    }

    #[test]
    fn a_transaction_waits_for_more_only_while_a_reader_has_more_at_hand_and_there_is_not_enough() {
        let (partition, mut queue) = (Partition::new(PARTITION), Queue::new(usize::MAX));
        queue.start(partition, at(1), true);
        assert!(!queue.is_due(), "there is nothing to store");
        let feed = |queue: &mut Queue, first, last, more| {
            queue.feed(Stretch { first: at(first), last: at(last), stamp: 0 }, Some(&mut share(first, last)), more);
        };
        feed(&mut queue, 1, 4, false);
        assert!(queue.is_due());
        feed(&mut queue, 5, 6, true);
        assert!(!queue.is_due());
        queue.hurry(partition);
        assert!(queue.is_due(), "the reader cannot give what it has");
        feed(&mut queue, 7, 8, true);
        assert!(!queue.is_due());
        feed(&mut queue, 9, 40_000, true);
        assert!(queue.is_due(), "{} bytes are enough", queue.bytes());
        queue.take(Work::default());
        feed(&mut queue, 40_001, 40_001, true);
        let mut awaited = share(40_002, 40_002);
        awaited.watched.push(watched(40_002, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        queue.feed(Stretch { first: at(40_002), last: at(40_002), stamp: 0 }, Some(&mut awaited), true);
        assert!(!queue.is_due(), "nobody waits for what is only noted");
        let mut awaited = share(40_003, 40_003);
        awaited.watched.push(watched(40_003, "Sluice-Reply", "_INBOX.a"));
        queue.feed(Stretch { first: at(40_003), last: at(40_003), stamp: 0 }, Some(&mut awaited), true);
        assert!(queue.is_due() && queue.is_waited_for());
        queue.take(Work::default());
        assert!(!queue.is_waited_for());
        feed(&mut queue, 40_004, 40_005, true);
        queue.go_behind();
        assert!(!queue.is_due());
        let mut small = Queue::new(2_000);
        small.start(partition, at(1), true);
        feed(&mut small, 1, 30, true);
        assert!(small.is_due() && !small.is_full(), "a queue never fills up while its lane waits for more");
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_never_fills() {
        let mut queue = Queue::new(1);
        queue.start(Partition::new(PARTITION), at(1), true);
        queue.feed(Stretch { first: at(1), last: at(2), stamp: 0 }, Some(&mut share(1, 2)), false);
        assert!(queue.is_full() && queue.is_live());
        queue.close();
        assert_eq!(queue.join(), None);
        queue.feed(Stretch { first: at(3), last: at(4), stamp: 0 }, Some(&mut share(3, 4)), false);
        assert!(!queue.is_full() && !queue.is_live() && queue.take(Work::default()).is_empty());
    }
}
