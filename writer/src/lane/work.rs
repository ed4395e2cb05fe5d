//! What one transaction of a lane is to store, and whether a shard may take it.

use std::collections::BTreeMap;

use sluice_journal::{Watched, dead::Grave, fate::DeadEvent};
use sluice_model::{EventId, Partition, Position, Refusal};
use sluice_shard::{Advance, Batch, StoredPosition};

use crate::router::Share;

/// A shard's stored position of each partition that a lane is about.
pub type Stored = BTreeMap<Partition, StoredPosition>;

/// A contiguous stretch of one partition, from `first` to `last`, both of them in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first position.
    pub first: Position,
    /// The last position.
    pub last: Position,
    /// The JetStream time of the message at `last`.
    pub stamp: i64,
}

/// Everything of one shard from a stretch of each of some partitions.
#[derive(Debug, Default)]
pub struct Work {
    /// The rows, and, once prepared, the positions they lead to.
    pub batch: Batch,
    /// Events of this shard's customers that can never become a row.
    pub graves: Vec<Grave>,
    /// Messages that somebody wants to hear of.
    pub watched: Vec<Watched>,
    /// Whether somebody waits to be answered about one of them.
    awaited: bool,
    stretches: BTreeMap<Partition, Stretch>,
}

/// The work does not begin where the shard ends: committing it would leave something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shard has partition {partition} up to {stored:?}; the work at hand begins at {first:?}")]
pub struct Gap {
    /// The partition.
    pub partition: Partition,
    /// What the shard says.
    pub stored: Position,
    /// Where the work begins.
    pub first: Position,
}

impl Work {
    /// Adds what a shard gets of the next stretch of a partition, if anything.
    pub fn add(&mut self, stretch: Stretch, share: Option<&mut Share>) {
        if let Some(share) = share {
            self.batch.rows.append(&share.rows);
            self.graves.append(&mut share.graves);
            self.awaited |= share.watched.iter().any(Watched::is_awaited);
            self.watched.append(&mut share.watched);
        }
        let partition = stretch.last.partition();
        let whole = self.stretches.entry(partition).or_insert(stretch);
        debug_assert!(
            whole.first == stretch.first || whole.last.next() == stretch.first,
            "stretches follow each other"
        );
        (whole.last, whole.stamp) = (stretch.last, stretch.stamp);
    }

    /// Where its stretch of a partition begins, if it has one.
    pub fn first(&self, partition: Partition) -> Option<Position> {
        self.stretches.get(&partition).map(|stretch| stretch.first)
    }

    /// Whether it would store anything but positions.
    pub fn has_events(&self) -> bool {
        !self.batch.rows.is_empty() || !self.graves.is_empty() || !self.watched.is_empty()
    }

    /// Whether there is nothing in it at all.
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Whether somebody waits to be answered about any of it.
    pub fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let graves: usize = self.graves.iter().map(Grave::bytes).sum();
        let watched: usize = self.watched.iter().map(Watched::bytes).sum();
        self.batch.rows.bytes() + graves + watched
    }

    /// Drops what it has of a partition.
    pub fn forget(&mut self, partition: Partition) {
        if self.stretches.remove(&partition).is_some() {
            self.batch.rows.retain(|id| id.position().partition() != partition);
            self.graves.retain(|grave| grave.id.position().partition() != partition);
            self.watched.retain(|watched| watched.position.partition() != partition);
        }
    }

    /// Makes the batch fit a shard with these stored positions: what the shard has already is left out, and the advances
    /// begin at what it says, and the rows stand in the order of the primary key. A partition that is not named there is left out too: it is no longer this lane's. May be called again,
    /// with other positions, after a failure.
    ///
    /// # Errors
    /// The lane rule: a stretch that begins beyond the stored position plus one must not be committed.
    pub fn prepare(&mut self, stored: &Stored) -> Result<(), Gap> {
        self.batch.advances.clear();
        let mut covered = false;
        for (partition, stretch) in &self.stretches {
            let Some(at) = stored.get(partition).map(|stored| stored.position).filter(|at| *at < stretch.last) else {
                covered = true;
                continue;
            };
            if stretch.first > at.next() {
                return Err(Gap { partition: *partition, stored: at, first: stretch.first });
            }
            covered |= stretch.first <= at;
            self.batch.advances.push(Advance { from: at, to: stretch.last, stamp: stretch.stamp });
        }
        if covered {
            let beyond =
                |position: Position| stored.get(&position.partition()).is_some_and(|stored| position > stored.position);
            self.batch.rows.retain(|id| beyond(id.position()));
            self.graves.retain(|grave| beyond(grave.id.position()));
        }
        self.batch.rows.sort();
        Ok(())
    }

    /// Notes that the shard's database refused some of the rows.
    pub fn refused(&mut self, events: &[(EventId, Refusal)]) {
        for (id, refusal) in events {
            let watched = self.watched.iter_mut().find(|watched| watched.position == id.position());
            // A batch that is stored anew is refused the same rows again.
            let watched = watched.filter(|watched| watched.dead.iter().all(|dead| dead.index != id.index()));
            if let Some(watched) = watched {
                watched.dead.push(DeadEvent::new(id.index(), refusal));
            }
        }
    }

    /// Takes out the messages that somebody wants to hear of and that a shard with these positions has. Those of a partition that
    /// is no longer this lane's, its new owner tells of.
    pub fn told(&mut self, stored: &Stored) -> impl Iterator<Item = Watched> {
        let watched = std::mem::take(&mut self.watched).into_iter();
        watched.filter(|watched| {
            stored.get(&watched.position.partition()).is_some_and(|stored| watched.position <= stored.position)
        })
    }

    /// The stored positions once the prepared batch is committed.
    pub fn committed(&self, stored: &mut Stored) {
        for advance in &self.batch.advances {
            stored.insert(advance.partition(), StoredPosition { position: advance.to, stamp: advance.stamp });
        }
    }

    /// Empties it and keeps its memory for the next one.
    pub fn clear(&mut self) {
        self.batch.rows.clear();
        self.batch.advances.clear();
        self.graves.clear();
        self.watched.clear();
        self.awaited = false;
        self.stretches.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sluice_model::{Person, Rows};

    use super::*;

    fn at(sequence: u64) -> Position {
        Position::new(sequence).unwrap()
    }

    fn stored(sequence: u64) -> Stored {
        Stored::from([(Partition::new(0), StoredPosition { position: at(sequence), stamp: 0 })])
    }

    /// Work of partition 0 with one row at each position from `first` to `last`.
    fn work(first: u64, last: u64) -> Work {
        let mut rows = Rows::new();
        for sequence in first..=last {
            let person = Person { name: "a".into(), address: "b".into() };
            rows.push(&"42".parse().unwrap(), at(sequence).event(0), &person);
        }
        let mut work = Work::default();
        let mut share = Share { rows, ..Share::default() };
        work.add(Stretch { first: at(first), last: at(last), stamp: 7 }, Some(&mut share));
        work
    }

    proptest! {
        #[test]
        fn a_shard_takes_exactly_what_it_lacks_or_nothing(first in 1u64..20, length in 0u64..20, s in 0u64..40) {
            let last = first + length;
            let mut work = work(first, last);
            let prepared = work.prepare(&stored(s));
            if s + 1 < first {
                prop_assert_eq!(prepared, Err(Gap { partition: Partition::new(0), stored: at(s), first: at(first) }));
                return Ok(());
            }
            prepared.unwrap();
            let rows: Vec<u64> = work.batch.rows.iter().map(|row| row.id.position().get()).collect();
            prop_assert_eq!(rows, (s.max(first - 1) + 1..=last).collect::<Vec<_>>());
            let advance = Advance { from: at(s), to: at(last), stamp: 7 };
            let advances = if s < last { vec![advance] } else { vec![] };
            prop_assert_eq!(&work.batch.advances, &advances);
        }
    }

    #[test]
    fn a_partition_that_is_no_longer_the_lanes_is_left_out() {
        let other = Position::first(Partition::new(1));
        let mut both = work(5, 9);
        let mut share = Share::default();
        share.rows.push(&"7".parse().unwrap(), other.event(0), &Person { name: "c".into(), address: "d".into() });
        both.add(Stretch { first: other, last: other, stamp: 8 }, Some(&mut share.clone()));
        both.prepare(&stored(4)).unwrap();
        assert_eq!((both.batch.rows.len(), both.batch.advances.len()), (5, 1));
        assert!(both.batch.rows.iter().all(|row| row.id.position() != other));

        let mut both = work(5, 9);
        both.add(Stretch { first: other, last: other, stamp: 8 }, Some(&mut share.clone()));
        both.forget(Partition::new(0));
        assert!(both.first(Partition::new(0)).is_none() && both.first(other.partition()) == Some(other));
        assert_eq!(both.batch.rows.iter().map(|row| row.id.position()).collect::<Vec<_>>(), [other]);
    }

    #[test]
    fn a_lost_commit_answer_leaves_nothing_to_do_and_a_failure_leaves_all() {
        let mut work = work(5, 9);
        let mut shard = stored(4);
        work.prepare(&shard).unwrap();
        assert_eq!(work.batch.rows.len(), 5);
        work.prepare(&shard).unwrap();
        assert_eq!((work.batch.rows.len(), work.batch.advances.len()), (5, 1));
        work.committed(&mut shard);
        work.prepare(&shard).unwrap();
        assert!(work.batch.rows.is_empty() && work.batch.advances.is_empty());
    }
}
