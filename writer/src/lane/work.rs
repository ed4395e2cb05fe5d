//! What a lane has in hand, and the one transaction that is made of it.
//!
//! [`Work`] is what was read: a range of positions of each of some partitions, and all that these hold for one shard.
//! [`Work::prepare`] consumes it, and makes of it what a shard with certain stored positions lacks: [`Prepared`], which is
//! stored once or dropped. Neither is kept over an error: what was not stored is read again from the journal. So no filtered
//! remainder can ever meet a shard that it was not filtered for.

use std::collections::BTreeMap;

use sluice_journal::{Watched, dead::Grave, repair::LeftOut};
use sluice_model::{Partition, Place, Position, Rows};
use sluice_shard::{Advance, Batch, StoredPosition};

use super::range::{LostRun, PositionRange};
use crate::{router::Share, share::Epoch};

/// What a lane knows of its shard, for each partition of its worker.
pub type Stored = BTreeMap<Partition, ShardPosition>;

/// How far a shard has stored a partition, as its lane was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardPosition {
    /// The shard's own row.
    pub stored: StoredPosition,
    /// The time of ownership in which the shard was asked, and the stamp verified. It says nothing for another one.
    pub epoch: Epoch,
    /// Whether the stamp is not the journal's, and a finished repair accepts that.
    pub repaired: bool,
    /// Ranges of which a repair has copied what they hold for this shard to further on: so they hold nothing for it.
    pub left_out: Vec<LeftOut>,
}

impl ShardPosition {
    /// Whether the shard lacks the event at a position that its journal holds for it.
    fn lacks(&self, position: Position) -> bool {
        position > self.stored.position && !self.is_left_out(position)
    }

    fn is_left_out(&self, position: Position) -> bool {
        self.left_out.iter().any(|range| range.covers(position))
    }
}

/// All that a range of each of some partitions holds for one shard. Nothing is ever taken out of it but a whole partition.
#[derive(Debug, Default)]
pub struct Work {
    rows: Rows,
    graves: Vec<Grave>,
    watched: Vec<Watched>,
    /// Whether somebody waits to be answered about one of the messages.
    awaited: bool,
    ranges: BTreeMap<Partition, PositionRange>,
}

/// One transaction: what a shard lacks of a [`Work`].
#[derive(Debug)]
pub struct Prepared {
    /// The rows, in the order of the primary key, and the positions that they lead to.
    pub batch: Batch,
    /// Events of this shard's customers that can never become a row.
    pub graves: Vec<Grave>,
    /// Messages of which somebody wants to hear. What the shard had already is not among them: whoever stored that knows
    /// what became of it, and this lane does not.
    pub watched: Vec<Watched>,
    ranges: BTreeMap<Partition, PositionRange>,
}

/// Why no transaction can be made of a work for a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The work does not begin where the shard ends: committing it would leave something out.
    #[error("the shard has stored {stored:?}; the work at hand begins at {first:?}")]
    Gap {
        /// What the shard says.
        stored: Position,
        /// Where the work begins.
        first: Position,
    },
    /// The work was read from another history than the one that the shard has stored.
    #[error("the shard has stored {stored:?} with stamp {}; where the work was read, its stamp is {found}", stored.stamp)]
    OtherHistory {
        /// What the shard says.
        stored: Place,
        /// The stamp that the message there had where the work was read.
        found: i64,
    },
}

impl Work {
    /// Adds what a shard gets of the next range of a partition, if anything.
    pub fn add(&mut self, range: &PositionRange, share: Option<&mut Share>) {
        if let Some(share) = share {
            self.rows.append(&share.rows);
            self.graves.append(&mut share.graves);
            self.awaited |= share.watched.iter().any(Watched::is_awaited);
            self.watched.append(&mut share.watched);
        }
        match self.ranges.get_mut(&range.partition()) {
            Some(whole) => whole.append(range),
            None => drop(self.ranges.insert(range.partition(), range.clone())),
        }
    }

    /// Its range of a partition, if it has one.
    pub fn range(&self, partition: Partition) -> Option<&PositionRange> {
        self.ranges.get(&partition)
    }

    /// Whether it would store anything but positions.
    pub fn has_events(&self) -> bool {
        !self.rows.is_empty() || !self.graves.is_empty() || !self.watched.is_empty()
    }

    /// Whether there is nothing in it at all.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many dead letters there are in it.
    pub fn letters(&self) -> usize {
        self.graves.len()
    }

    /// Whether somebody waits to be answered about any of it.
    pub fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// The memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        let graves: usize = self.graves.iter().map(Grave::bytes).sum();
        let watched: usize = self.watched.iter().map(Watched::bytes).sum();
        self.rows.bytes() + graves + watched + self.range_bytes()
    }

    /// The memory that its ranges take by themselves.
    pub fn range_bytes(&self) -> usize {
        self.ranges.values().map(PositionRange::bytes).sum()
    }

    /// Drops all that it has of a partition.
    pub fn forget(&mut self, partition: Partition) {
        if self.ranges.remove(&partition).is_some() {
            self.rows.retain(|id| id.position().partition() != partition);
            self.graves.retain(|grave| grave.id.position().partition() != partition);
            self.watched.retain(|watched| watched.position.partition() != partition);
        }
    }

    /// Makes the transaction that a shard with these stored positions lacks: what it has already, and what a repair left out,
    /// is not in it, nor is any partition that is not named, as it is no longer this lane's.
    ///
    /// # Errors
    /// The lane rule: where the range of a partition begins beyond the stored position plus one, or shows another
    /// stamp for the stored position than the shard has, nothing of the work may be committed.
    pub fn prepare(mut self, stored: &Stored) -> Result<Prepared, Unfit> {
        let mut advances = Vec::new();
        let mut is_whole = true;
        for (partition, range) in &self.ranges {
            let step = match stored.get(partition) {
                Some(shard) => advance(range, shard)?,
                None => None,
            };
            is_whole &= step.is_some_and(|step| step.from.position == range.after().position)
                && stored.get(partition).is_some_and(|shard| shard.left_out.is_empty());
            advances.extend(step);
        }
        if !is_whole {
            let lacks =
                |position: Position| stored.get(&position.partition()).is_some_and(|shard| shard.lacks(position));
            self.rows.retain(|id| lacks(id.position()));
            self.graves.retain(|grave| lacks(grave.id.position()));
            self.watched.retain(|watched| lacks(watched.position));
        }
        self.rows.sort();
        let Self { rows, graves, watched, ranges, .. } = self;
        Ok(Prepared { batch: Batch { rows, advances }, graves, watched, ranges })
    }

    /// Empties it and keeps its memory for the next one.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.graves.clear();
        self.watched.clear();
        self.awaited = false;
        self.ranges.clear();
    }
}

/// The step that a shard takes by a range; `None` where it has all of it.
fn advance(range: &PositionRange, shard: &ShardPosition) -> Result<Option<Advance>, Unfit> {
    let stored = shard.stored;
    if range.first() > stored.position.next() {
        return Err(Unfit::Gap { stored: stored.position, first: range.first() });
    }
    if let Some(stamp) = range.stamp(stored.position)
        && !shard.repaired
        && !stored.agrees_with(Place { position: stored.position, stamp })
    {
        return Err(Unfit::OtherHistory { stored, found: stamp });
    }
    Ok((stored.position < range.last().position).then(|| Advance { from: stored, to: range.last() }))
}

impl Prepared {
    /// Whether the shard has all of it: there is nothing to commit.
    pub fn is_stored(&self) -> bool {
        self.batch.advances.is_empty()
    }

    /// What is lost of the positions that it passes.
    pub fn lost(&self) -> impl Iterator<Item = LostRun> {
        let range = |advance: &Advance| Some((self.ranges.get(&advance.partition())?, advance.from.position));
        self.batch.advances.iter().filter_map(range).flat_map(|(range, stored)| range.lost_behind(stored))
    }

    /// The stamp of the message at a position of its ranges.
    pub fn stamp(&self, position: Position) -> Option<i64> {
        self.ranges.get(&position.partition())?.stamp(position)
    }

    /// An empty work with the memory of this one.
    pub fn into_spare(self) -> Work {
        let Self { batch: Batch { rows, .. }, graves, watched, ranges } = self;
        let mut spare = Work { rows, graves, watched, awaited: false, ranges };
        spare.clear();
        spare
    }
}

/// Notes the stored positions once a batch is committed.
pub fn committed(batch: &Batch, stored: &mut Stored) {
    for advance in &batch.advances {
        if let Some(shard) = stored.get_mut(&advance.partition()) {
            (shard.stored, shard.repaired) = (advance.to, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sluice_model::{Person, Rows};

    use super::*;

    /// The `sequence`-th message of a partition as a history stamps it; 0 is before the first.
    fn place(partition: u16, sequence: u64, history: i64) -> Place {
        let first = Position::before_first(Partition::new(partition)).get();
        let stamp = if sequence == 0 { 0 } else { i64::try_from(sequence).unwrap() * 10 + history };
        Place { position: Position::new(first + sequence).unwrap(), stamp }
    }

    fn shard(stored: Place) -> ShardPosition {
        ShardPosition { stored, epoch: Epoch::new(1), repaired: false, left_out: Vec::new() }
    }

    fn stored(places: impl IntoIterator<Item = Place>) -> Stored {
        places.into_iter().map(|place| (place.position.partition(), shard(place))).collect()
    }

    /// Adds one row at each position from `first` to `last`.
    fn add(work: &mut Work, partition: u16, first: u64, last: u64, history: i64) {
        let mut share = Share { rows: Rows::new(), ..Share::default() };
        for sequence in first..=last {
            let person = Person { name: "a".into(), address: "b".into() };
            share.rows.push(&"42".parse().unwrap(), place(partition, sequence, history).position.event(0), &person);
        }
        let stamps: Vec<_> = (first..=last).map(|n| place(partition, n, history).stamp).collect();
        let range = PositionRange::with_stamps(place(partition, first - 1, history), &stamps).unwrap();
        work.add(&range, Some(&mut share));
    }

    fn work(first: u64, last: u64) -> Work {
        let mut work = Work::default();
        add(&mut work, 0, first, last, 0);
        work
    }

    fn sequences(prepared: &Prepared, partition: u16) -> Vec<u64> {
        let before = Position::before_first(Partition::new(partition));
        let positions = prepared.batch.rows.iter().map(|row| row.id.position());
        let of_it = positions.filter(|position| position.partition() == before.partition());
        of_it.map(|position| position.get() - before.get()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn a_shard_takes_exactly_what_it_lacks_or_nothing(
            ranges in prop::collection::vec((1u64..20, 0u64..20, 0u64..40, any::<bool>()), 1..4),
        ) {
            let (mut work, mut at) = (Work::default(), Stored::new());
            for (partition, (first, length, s, owned)) in (0u16..).zip(&ranges) {
                add(&mut work, partition, *first, first + length, 0);
                if *owned {
                    at.insert(Partition::new(partition), shard(place(partition, *s, 0)));
                }
            }
            let gap = ranges.iter().any(|(first, _, s, owned)| *owned && s + 1 < *first);
            let prepared = work.prepare(&at);
            prop_assert_eq!(prepared.is_err(), gap);
            let Ok(prepared) = prepared else { return Ok(()) };
            let mut advances = Vec::new();
            for (partition, (first, length, s, owned)) in (0u16..).zip(&ranges) {
                let last = first + length;
                let wanted: Vec<_> = if *owned { (s.max(&(first - 1)) + 1..=last).collect() } else { Vec::new() };
                prop_assert_eq!(sequences(&prepared, partition), wanted);
                if *owned && *s < last {
                    advances.push(Advance { from: place(partition, *s, 0), to: place(partition, last, 0) });
                }
            }
            prop_assert_eq!(&prepared.batch.advances, &advances);
        }

        /// The journal lost its end after `cut`, and gave positions again. The shard has stored up to `s`, of either history.
        #[test]
        fn work_of_another_history_than_the_shards_is_never_taken(
            cut in 0u64..20, first in 1u64..25, length in 0u64..20, s in 0u64..45, of_new in any::<bool>(),
        ) {
            let history = |sequence: u64, new: bool| i64::from(new && sequence > cut);
            let last = first + length;
            let stamps: Vec<_> = (first..=last).map(|n| place(0, n, history(n, true)).stamp).collect();
            let range = PositionRange::with_stamps(place(0, first - 1, history(first - 1, true)), &stamps).unwrap();
            let mut work = Work::default();
            work.add(&range, None);
            let at = place(0, s, history(s, of_new));
            let differs = s > cut && !of_new;
            match work.prepare(&stored([at])) {
                Ok(prepared) => prop_assert!(!differs || s > last && prepared.is_stored()),
                Err(Unfit::Gap { .. }) => prop_assert!(s + 1 < first),
                Err(Unfit::OtherHistory { stored, .. }) => prop_assert!(differs && stored == at),
            }
        }
    }

    #[test]
    fn what_was_made_for_one_state_of_a_shard_cannot_be_stored_in_another() {
        // The shard has 1 to 7. What it lacks is 8 and 9, and the transaction says so to the shard.
        let prepared = work(5, 9).prepare(&stored([place(0, 7, 0)])).unwrap();
        assert_eq!(sequences(&prepared, 0), [8, 9]);
        // It goes back to 4 before the commit: the compare of this step fails there, and nothing of the work is left to try again.
        assert_eq!(prepared.batch.advances, [Advance { from: place(0, 7, 0), to: place(0, 9, 0) }]);
    }

    #[test]
    fn what_a_repair_copied_to_further_on_is_left_out() {
        let mut at = stored([place(0, 3, 0)]);
        at.get_mut(&Partition::new(0)).unwrap().left_out =
            vec![LeftOut { after: place(0, 4, 0).position, through: place(0, 7, 0).position }];
        let prepared = work(4, 9).prepare(&at).unwrap();
        assert_eq!(sequences(&prepared, 0), [4, 8, 9]);
        assert_eq!(prepared.batch.advances, [Advance { from: place(0, 3, 0), to: place(0, 9, 0) }]);
    }

    #[test]
    fn a_stamp_that_a_repair_accepts_is_taken_once_and_then_the_journals_own_counts() {
        let mut at = stored([place(0, 5, 1)]);
        assert!(matches!(work(5, 9).prepare(&at), Err(Unfit::OtherHistory { .. })));
        at.get_mut(&Partition::new(0)).unwrap().repaired = true;
        let prepared = work(5, 9).prepare(&at).unwrap();
        assert_eq!(prepared.batch.advances[0].from, place(0, 5, 1));
        committed(&prepared.batch, &mut at);
        assert_eq!(at[&Partition::new(0)], shard(place(0, 9, 0)));
    }

    #[test]
    fn a_partition_that_is_forgotten_leaves_nothing_behind() {
        let mut both = work(5, 9);
        add(&mut both, 1, 1, 1, 0);
        both.forget(Partition::new(0));
        assert!(both.range(Partition::new(0)).is_none() && both.range(Partition::new(1)).is_some());
        let prepared = both.prepare(&stored([place(0, 4, 0), place(1, 0, 0)])).unwrap();
        assert_eq!((sequences(&prepared, 0), sequences(&prepared, 1)), (vec![], vec![1]));
    }
    #[test]
    fn what_a_shard_has_already_is_stored_and_what_it_lacks_is_not() {
        assert!(!work(5, 9).prepare(&stored([place(0, 8, 0)])).unwrap().is_stored());
        assert!(work(5, 9).prepare(&stored([place(0, 9, 0)])).unwrap().is_stored());
        let mut emptied = work(5, 9);
        emptied.clear();
        assert!(emptied.is_empty() && !emptied.has_events() && emptied.bytes() == emptied.range_bytes());
    }
}
