//! Any order of what happens to a lane, on a shard that is only a list.

use proptest::prelude::*;
use sluice_journal::{Message, Watched};
use sluice_model::{Person, Place, Position, Rows};
use sluice_shard::StoredPosition;

use super::*;
use crate::{
    lane::work::{Prepared, ShardPosition, committed},
    share::Epoch,
};

const PARTITION: Partition = Partition::new(0);
const PARTITIONS: u16 = 2;

fn at(partition: u16, sequence: u64) -> Place {
    let position = Position::new(Position::before_first(Partition::new(partition)).get() + sequence).unwrap();
    Place { position, stamp: i64::try_from(sequence).unwrap() }
}

fn range_of(partition: u16, first: u64, last: u64) -> PositionRange {
    let stamps: Vec<_> = (first..=last).map(|n| at(partition, n).stamp).collect();
    PositionRange::with_stamps(at(partition, first - 1), &stamps).unwrap()
}

fn range(first: u64, last: u64) -> PositionRange {
    range_of(0, first, last)
}

fn share_of(partition: u16, first: u64, last: u64) -> Share {
    let mut rows = Rows::new();
    for sequence in first..=last {
        let person = Person { name: "a".into(), address: "b".into() };
        rows.push(&"42".parse().unwrap(), at(partition, sequence).position.event(0), &person);
    }
    Share { rows, ..Share::default() }
}

fn share(first: u64, last: u64) -> Share {
    share_of(0, first, last)
}

fn known(stored: StoredPosition) -> ShardPosition {
    ShardPosition { stored, epoch: Epoch::new(1), repaired: false, left_out: Vec::new() }
}

/// A message that somebody wants to hear of, as its header says.
fn watched(sequence: u64, header: &str, value: &str) -> Watched {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(header, value);
    let (subject, payload) = (async_nats::Subject::from("person.create.42"), bytes::Bytes::new());
    let position = at(0, sequence).position;
    let message = Message { position, stamp: 0, subject, headers: Some(headers), payload, lost: false };
    Watched::of(&message).expect("somebody wants to hear of it")
}

#[derive(Debug, Clone)]
enum Step {
    /// The partition's reader reads so many messages on.
    Feed(u16, u64),
    /// The lane takes and commits.
    Commit,
    /// The lane takes, and its commit fails.
    Fail,
    /// The lane takes and commits, and does not hear of it.
    CommitUnheard,
    /// The reader loses patience.
    GoBehind,
    /// The lane asks its shard, reads so many messages of each partition by itself, then joins and reads the rest.
    CatchUp(u64),
    /// The shard is set back by so many positions of each partition.
    SetBack(u64, u64),
    /// The partition goes to another writer, which stores so many positions, and comes back.
    Lend(u16, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..PARTITIONS, 1u64..4).prop_map(|(partition, n)| Step::Feed(partition, n)),
        4 => Just(Step::Commit),
        1 => Just(Step::Fail),
        1 => Just(Step::CommitUnheard),
        1 => Just(Step::GoBehind),
        2 => (0u64..6).prop_map(Step::CatchUp),
        1 => (0u64..5, 0u64..5).prop_map(|(a, b)| Step::SetBack(a, b)),
        1 => (0..PARTITIONS, 0u64..5).prop_map(|(partition, n)| Step::Lend(partition, n)),
    ]
}

/// A lane with its readers, and its shard as a list for each partition: the sequences whose rows it has.
struct World {
    queue: Queue,
    reader_next: [u64; 2],
    shard: [Vec<u64>; 2],
    /// What the lane knows of the shard.
    stored: Stored,
}

impl World {
    fn new() -> Self {
        let mut queue = Queue::new(usize::MAX);
        (0..PARTITIONS).for_each(|partition| queue.start(Partition::new(partition), at(partition, 1).position, true));
        let mut world = Self { queue, reader_next: [1, 1], shard: Default::default(), stored: Stored::new() };
        world.ask();
        world
    }

    fn last(&self, partition: u16) -> u64 {
        self.shard[usize::from(partition)].last().copied().unwrap_or(0)
    }

    /// The lane connects, and reads the stored positions.
    fn ask(&mut self) {
        let place = |partition| (Partition::new(partition), known(at(partition, self.last(partition))));
        self.stored = (0..PARTITIONS).map(place).collect();
    }

    /// The shard compares, and takes all or nothing.
    fn store(&mut self, prepared: &Prepared) -> bool {
        let advances = &prepared.batch.advances;
        if !advances.iter().all(|advance| self.is_at(advance.from)) {
            return false;
        }
        for row in prepared.batch.rows.iter() {
            let position = row.id.position();
            let sequence = position.get() - Position::before_first(position.partition()).get();
            self.shard[usize::from(position.partition().number())].push(sequence);
        }
        // Every message is this shard's, so the position is that of the last row.
        assert!(advances.iter().all(|advance| self.is_at(advance.to)));
        true
    }

    fn is_at(&self, place: StoredPosition) -> bool {
        let partition = place.position.partition().number();
        place == at(partition, self.last(partition))
    }

    /// As the lane's task does it: what does not fit, is not stored or not heard of is dropped, and the lane goes behind.
    fn commit(&mut self, work: Work, fails: bool, heard: bool) {
        let committed = match work.prepare(&self.stored) {
            Ok(prepared) if !fails && self.store(&prepared) && heard => {
                committed(&prepared.batch, &mut self.stored);
                true
            }
            _ => false,
        };
        if !committed {
            self.queue.go_behind();
        }
    }

    /// Reads a partition up to a position by itself, and commits.
    fn read_through(&mut self, partition: u16, last: u64) {
        let first = self.last(partition) + 1;
        if first <= last {
            let mut own = Work::default();
            own.add(&range_of(partition, first, last), Some(&mut share_of(partition, first, last)));
            let prepared = own.prepare(&self.stored).unwrap();
            assert!(self.store(&prepared));
            committed(&prepared.batch, &mut self.stored);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Feed(partition, n) => {
                let first = self.reader_next[usize::from(partition)];
                let last = first + n - 1;
                let mut share = share_of(partition, first, last);
                self.queue.feed(&range_of(partition, first, last), Some(&mut share), false);
                self.reader_next[usize::from(partition)] = last + 1;
            }
            Step::Commit | Step::Fail | Step::CommitUnheard => {
                let work = self.queue.take(Work::default());
                self.commit(work, matches!(step, Step::Fail), !matches!(step, Step::CommitUnheard));
            }
            Step::GoBehind => self.queue.go_behind(),
            Step::CatchUp(n) if !self.queue.is_live() => {
                self.ask();
                for partition in 0..PARTITIONS {
                    let near = (self.last(partition) + n).min(self.reader_next[usize::from(partition)] - 1);
                    self.read_through(partition, near);
                }
                let joined = self.queue.join().unwrap();
                for partition in 0..PARTITIONS {
                    let next = self.reader_next[usize::from(partition)];
                    assert_eq!(joined[&Partition::new(partition)], at(partition, next).position);
                    self.read_through(partition, next - 1);
                }
            }
            Step::CatchUp(_) => {}
            Step::Lend(partition, n) => {
                self.queue.release(Partition::new(partition));
                let stored = self.last(partition);
                self.shard[usize::from(partition)].extend(stored + 1..=stored + n);
                self.reader_next[usize::from(partition)] = stored + n + 1;
                // The lane asks its shard about what is new before the reader starts.
                let stored = at(partition, stored + n);
                self.stored.insert(Partition::new(partition), known(stored));
                self.queue.start(Partition::new(partition), stored.position.next(), true);
            }
            Step::SetBack(a, b) => {
                for (rows, n) in self.shard.iter_mut().zip([a, b]) {
                    rows.truncate(rows.len().saturating_sub(usize::try_from(n).unwrap()));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    /// Whatever order feeding, failing, going behind, catching up, joining, lending and setting back come in: the shard holds
    /// every position from the first to its last, once, in order.
    #[test]
    fn no_order_of_events_loses_or_doubles_a_row(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            for rows in &world.shard {
                let expected: Vec<u64> = (1..=rows.len() as u64).collect();
                prop_assert_eq!(rows, &expected);
            }
        }
    }
}

#[test]
fn an_empty_queue_does_not_follow_on_a_shard_that_was_set_back() {
    let stored = |sequence| Stored::from([(PARTITION, known(at(0, sequence)))]);
    let mut queue = Queue::new(usize::MAX);
    queue.start(PARTITION, at(0, 1).position, true);
    queue.feed(&range(1, 4), Some(&mut share(1, 4)), false);
    assert!(queue.follows(&stored(0)) && queue.follows(&stored(3)));
    queue.take(Work::default());
    assert!(queue.follows(&stored(4)) && queue.follows(&stored(9)) && !queue.follows(&stored(3)));
}

#[test]
fn a_partition_that_comes_back_begins_anew() {
    let mut queue = Queue::new(usize::MAX);
    queue.start(PARTITION, at(0, 1).position, true);
    queue.feed(&range(1, 4), Some(&mut share(1, 4)), false);
    queue.release(PARTITION);
    assert!(!queue.has_events() && queue.reader_positions().is_empty() && !queue.is_live());
    assert_eq!(
        queue.join(),
        None,
        "a lane that believes it has joined, and is not fed, would try again at once, for ever"
    );
    // Another writer has stored up to 9 meanwhile.
    queue.start(PARTITION, at(0, 10).position, true);
    queue.feed(&range(10, 11), Some(&mut share(10, 11)), false);
    assert_eq!(queue.take(Work::default()).range(PARTITION).map(PositionRange::first), Some(at(0, 10).position));
}

#[test]
fn a_transaction_waits_for_more_only_while_a_reader_has_more_at_hand_and_there_is_not_enough() {
    let mut queue = Queue::new(usize::MAX);
    queue.start(PARTITION, at(0, 1).position, true);
    assert!(!queue.is_due(), "there is nothing to store");
    let feed = |queue: &mut Queue, first, last, more| {
        queue.feed(&range(first, last), Some(&mut share(first, last)), more);
    };
    feed(&mut queue, 1, 4, false);
    assert!(queue.is_due());
    feed(&mut queue, 5, 6, true);
    assert!(!queue.is_due());
    queue.hurry(PARTITION);
    assert!(queue.is_due(), "the reader cannot give what it has");
    feed(&mut queue, 7, 8, true);
    assert!(!queue.is_due());
    feed(&mut queue, 9, 40_000, true);
    assert!(queue.is_due(), "{} bytes are enough", queue.bytes());
    queue.take(Work::default());
    feed(&mut queue, 40_001, 40_001, true);
    let mut awaited = share(40_002, 40_002);
    awaited.watched.push(watched(40_002, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    queue.feed(&range(40_002, 40_002), Some(&mut awaited), true);
    assert!(!queue.is_due(), "nobody waits for what is only noted");
    let mut awaited = share(40_003, 40_003);
    awaited.watched.push(watched(40_003, "Sluice-Reply", "_INBOX.a"));
    queue.feed(&range(40_003, 40_003), Some(&mut awaited), true);
    assert!(queue.is_due() && queue.is_waited_for());
    queue.take(Work::default());
    assert!(!queue.is_waited_for());
    feed(&mut queue, 40_004, 40_005, true);
    queue.go_behind();
    assert!(!queue.is_due());
    let mut small = Queue::new(2_000);
    small.start(PARTITION, at(0, 1).position, true);
    feed(&mut small, 1, 24, true);
    assert!(small.is_due() && !small.is_full(), "a queue never fills up while its lane waits for more");
}

#[test]
fn positions_without_events_are_stored_before_they_take_much_memory_and_are_dropped_where_nothing_is_stored() {
    let mut queue = Queue::new(usize::MAX);
    queue.start(PARTITION, at(0, 1).position, true);
    let (mut first, chunk) = (1, 10_000);
    while !queue.is_due() {
        queue.feed(&range(first, first + chunk - 1), None, true);
        first += chunk;
    }
    assert!(!queue.has_events() && queue.bytes() >= ENOUGH_BYTES && queue.bytes() < 2 * ENOUGH_BYTES);
    // The lane commits nothing.
    while queue.is_live() {
        queue.feed(&range(first, first + chunk - 1), None, true);
        first += chunk;
    }
    assert_eq!(queue.bytes(), 0);
    assert_eq!(queue.reader_positions()[&PARTITION], at(0, first).position);
    assert!(first < 600_000);
}

#[test]
fn a_closed_queue_takes_nothing_and_never_fills() {
    let mut queue = Queue::new(1);
    queue.start(PARTITION, at(0, 1).position, true);
    queue.feed(&range(1, 2), Some(&mut share(1, 2)), false);
    assert!(queue.is_full() && queue.is_live());
    queue.close();
    assert_eq!(queue.join(), None);
    queue.feed(&range(3, 4), Some(&mut share(3, 4)), false);
    assert!(!queue.is_full() && !queue.is_live() && queue.take(Work::default()).is_empty());
}

#[test]
fn a_lane_that_begins_behind_is_not_fed_and_one_that_has_stopped_never_is() {
    for (fed, closed) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut queue = Queue::new(1 << 20);
        if closed {
            queue.close();
        }
        queue.start(PARTITION, at(0, 1).position, fed);
        assert_eq!(queue.is_live(), fed && !closed, "fed {fed}, closed {closed}");
        queue.feed(&range(1, 3), Some(&mut share(1, 3)), false);
        assert_eq!(queue.has_events(), fed && !closed, "fed {fed}, closed {closed}");
    }
}

#[test]
fn a_second_message_that_is_waited_for_does_not_undo_the_first_and_counts_as_memory() {
    let mut work = Work::default();
    for sequence in [1, 2] {
        let mut next = share(sequence, sequence);
        next.watched.push(watched(sequence, "Sluice-Reply", "_INBOX.a"));
        let (before, bytes) = (work.bytes(), next.watched[0].bytes());
        work.add(&range(sequence, sequence), Some(&mut next));
        assert!(work.is_awaited());
        assert!(work.bytes() > before + bytes, "its row and its stamp are more than that");
    }
    let spare = work.prepare(&Stored::from([(PARTITION, known(at(0, 0)))])).unwrap().into_spare();
    assert!(spare.is_empty() && !spare.has_events() && !spare.is_awaited());
}
