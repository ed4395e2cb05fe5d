//! What a shard leaves out of a repaired partition, and when it may not read on. Pure: decided from the record, and from which of
//! its finished repairs the journal still holds.
//!
//! A finished repair has copied, for each shard that it lists, every message of that shard between the cut and what the shard had
//! stored. So that shard reads the copies and leaves the originals out, also when it is restored to an older copy of its database and
//! comes by the originals again. What counts is which repair lists the shard, and not how far the shard is.
//!
//! Two kinds of repairs cannot be relied on, as some messages have a copy and some have none: one that was begun and is not
//! finished, and a finished one whose end the journal has lost since. A shard that would read by such a repair waits until
//! `writer journal repair` has completed it. So that it can be completed, its entries are [`Repairs::open`] to the next repair.

use sluice_model::Position;

use super::{Finished, Lost, Repair, RepairRecord, Way};

/// A partition's record, and which of its finished repairs the journal still holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repairs {
    /// What is remembered.
    pub record: RepairRecord,
    /// The ends of the finished repairs that the journal holds no more: it lost its end once more.
    pub void: Vec<Finished>,
}

/// A range of positions that a shard leaves out. Copies of what is the shard's stand further on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The range begins behind this position.
    pub after: Position,
    /// The last position of the range.
    pub through: Position,
}

impl LeftOut {
    /// Whether the position is in the range.
    pub fn covers(self, position: Position) -> bool {
        self.after < position && position <= self.through
    }
}

/// Why a shard may not read a partition on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unrepaired {
    /// A repair has to be completed first.
    #[error(
        "a repair of partition {} that concerns shard {} was not finished, or the journal lost its end after it; \
         `writer journal repair` completes it",
        .0.stored.partition(),
        .0.shard
    )]
    Open(Lost),
    /// The shard has stored what the journal lost, and the repairs were made for other shards that had stored the same.
    #[error(
        "shard {shard} has stored {stored:?} ({stored}), which the journal lost, and no repair was made for this shard: \
         `writer journal repair` makes one"
    )]
    Unlisted {
        /// The shard.
        shard: String,
        /// What it has stored.
        stored: Position,
    },
}

impl Repairs {
    /// Whether a finished repair that the journal holds accepts this position with this stamp: for one shard, or for any.
    pub fn accepts(&self, shard: Option<&str>, stored: Position, stamp: i64) -> bool {
        let is_it = |lost: &Lost| (lost.stored, lost.stamp) == (stored, stamp);
        self.held().any(|lost| is_it(lost) && shard.is_none_or(|shard| lost.shard == shard))
    }

    /// What repairs list for this shard and have not completed, or no longer; for a shard that has stored so much.
    ///
    /// One that has gone beyond the end of such a repair has read all of its copies, and needs nothing.
    pub fn open(&self, shard: &str, stored: Position) -> Vec<Lost> {
        let is_open = |repair: &Repair, lost: &Lost| {
            let may_come_by = match repair.finished {
                None => stored <= lost.stored,
                Some(finished) => self.void.contains(&finished) && stored < finished.end,
            };
            may_come_by && !self.held().any(|held| held.includes(lost))
        };
        let fills = self.record.repairs.iter().filter(|repair| repair.way == Way::Fill);
        let entries = fills.flat_map(|repair| repair.lost.iter().map(move |lost| (repair, lost)));
        let open = entries.filter(|(repair, lost)| lost.shard == shard && is_open(repair, lost));
        open.map(|(_, lost)| lost.clone()).collect()
    }

    /// The ranges that a shard leaves out wherever it reads, in order; none overlaps or touches another.
    ///
    /// # Errors
    /// See [`Unrepaired`].
    pub fn left_out(&self, shard: &str, stored: Position, stamp: i64) -> Result<Vec<LeftOut>, Unrepaired> {
        if let Some(open) = self.open(shard, stored).into_iter().next() {
            return Err(Unrepaired::Open(open));
        }
        if stamp != 0 && self.accepts(None, stored, stamp) && !self.accepts(Some(shard), stored, stamp) {
            return Err(Unrepaired::Unlisted { shard: shard.to_owned(), stored });
        }
        let own = self.held().filter(|lost| lost.shard == shard && lost.cut < lost.stored);
        let mut ranges: Vec<_> = own.map(|lost| LeftOut { after: lost.cut, through: lost.stored }).collect();
        ranges.sort_unstable();
        let mut merged: Vec<LeftOut> = Vec::new();
        for range in ranges {
            match merged.last_mut().filter(|last| range.after <= last.through) {
                Some(last) => last.through = last.through.max(range.through),
                None => merged.push(range),
            }
        }
        Ok(merged)
    }

    /// What the finished repairs list that the journal holds. After a jump there is nothing to read between cut and stored position.
    fn held(&self) -> impl Iterator<Item = &Lost> {
        let held = self.record.finished().filter(|(_, finished)| !self.void.contains(finished));
        held.filter(|(repair, _)| repair.way == Way::Fill).flat_map(|(repair, _)| &repair.lost)
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::Partition;

    use super::*;

    fn at(n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(3)).get() + n).unwrap()
    }

    fn lost(shard: &str, cut: u64, stored: u64) -> Lost {
        Lost { shard: shard.to_owned(), cut: at(cut), stored: at(stored), stamp: 100 + stored as i64 }
    }

    fn finished(end: u64) -> Finished {
        Finished { at: 1, end: at(end), stamp: end as i64 }
    }

    /// One repair: what it lists, and its end.
    fn repairs(list: &[(&[Lost], Option<u64>)]) -> Repairs {
        let repair = |(lost, end): &(&[Lost], Option<u64>)| Repair {
            lost: lost.to_vec(),
            way: Way::Fill,
            finished: end.map(finished),
        };
        Repairs {
            record: RepairRecord { repairs: list.iter().map(repair).collect(), ..RepairRecord::default() },
            void: Vec::new(),
        }
    }

    fn ranges(repairs: &Repairs, shard: &str, stored: u64, stamp: i64) -> Result<Vec<(u64, u64)>, Unrepaired> {
        let number = |position: Position| position.get() - at(0).get();
        let left_out = repairs.left_out(shard, at(stored), stamp)?;
        Ok(left_out.into_iter().map(|range| (number(range.after), number(range.through))).collect())
    }

    #[test]
    fn a_shard_leaves_out_what_any_finished_repair_copied_for_it_however_far_it_is() {
        let (first, second) = ([lost("a", 4, 9), lost("b", 4, 7)], [lost("a", 20, 30)]);
        let both = repairs(&[(&first, Some(15)), (&second, Some(40))]);
        for (stored, stamp) in [(0, 0), (3, 3), (9, 109), (15, 15), (30, 130), (50, 50)] {
            assert_eq!(ranges(&both, "a", stored, stamp).unwrap(), [(4, 9), (20, 30)], "{stored}");
        }
        assert_eq!(ranges(&both, "b", 3, 3).unwrap(), [(4, 7)]);
        assert_eq!(ranges(&both, "c", 3, 3).unwrap(), []);
        assert!(LeftOut { after: at(4), through: at(7) }.covers(at(7)));
        assert!(!LeftOut { after: at(4), through: at(7) }.covers(at(4)));
    }

    #[test]
    fn ranges_of_several_repairs_are_given_in_order_and_merged_and_empty_ones_are_left_away() {
        let (first, second) =
            ([lost("a", 20, 30), lost("a", 4, 9)], [lost("a", 4, 7), lost("a", 30, 33), lost("a", 6, 6)]);
        let both = repairs(&[(&first, Some(40)), (&second, Some(50))]);
        assert_eq!(ranges(&both, "a", 60, 60).unwrap(), [(4, 9), (20, 33)]);
    }

    #[test]
    fn a_shard_waits_where_a_repair_that_lists_it_is_not_finished() {
        let listed = [lost("a", 4, 9)];
        let begun = repairs(&[(&listed, None)]);
        assert_eq!(ranges(&begun, "a", 3, 3), Err(Unrepaired::Open(lost("a", 4, 9))));
        assert_eq!(ranges(&begun, "a", 9, 109), Err(Unrepaired::Open(lost("a", 4, 9))));
        assert_eq!(ranges(&begun, "b", 3, 3), Ok(vec![]), "it is not listed");
        assert_eq!(ranges(&begun, "a", 10, 10), Ok(vec![]), "it has gone beyond");
    }

    #[test]
    fn a_shard_waits_where_the_journal_lost_the_end_of_a_repair_that_it_would_read_by() {
        let (first, again) = ([lost("a", 4, 9)], [lost("a", 4, 12)]);
        let mut void = repairs(&[(&first, Some(15))]);
        void.void = vec![finished(15)];
        for stored in [3, 9, 14] {
            assert_eq!(ranges(&void, "a", stored, 1), Err(Unrepaired::Open(lost("a", 4, 9))), "{stored}");
        }
        assert_eq!(ranges(&void, "a", 15, 1), Ok(vec![]), "it has read every copy");
        let mut repaired = repairs(&[(&first, Some(15)), (&again, Some(30))]);
        repaired.void = vec![finished(15)];
        assert_eq!(ranges(&repaired, "a", 3, 3).unwrap(), [(4, 12)]);
        assert!(repaired.open("a", at(3)).is_empty());
    }

    #[test]
    fn what_is_accepted_is_accepted_for_the_shards_that_are_listed_and_no_others() {
        let listed = [lost("a", 4, 9)];
        let repairs = repairs(&[(&listed, Some(15))]);
        assert!(repairs.accepts(Some("a"), at(9), 109) && repairs.accepts(None, at(9), 109));
        assert!(!repairs.accepts(Some("b"), at(9), 109) && !repairs.accepts(Some("a"), at(9), 108));
        let unlisted = Unrepaired::Unlisted { shard: "b".to_owned(), stored: at(9) };
        assert_eq!(ranges(&repairs, "b", 9, 109), Err(unlisted));
        assert_eq!(ranges(&repairs, "b", 9, 9), Ok(vec![]), "that is what stands there now");
    }

    #[test]
    fn a_jump_leaves_nothing_to_be_left_out() {
        let record = RepairRecord {
            repairs: vec![Repair {
                lost: vec![lost("a", 4, 9)],
                way: Way::Jump { from: at(5), to: at(9) },
                finished: Some(finished(10)),
            }],
            ..RepairRecord::default()
        };
        let jumped = Repairs { record, void: Vec::new() };
        assert_eq!(ranges(&jumped, "a", 10, 10), Ok(vec![]));
        assert!(!jumped.accepts(None, at(9), 109));
    }
}
