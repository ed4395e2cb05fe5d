//! What is remembered of a partition's repairs.

use serde::{Deserialize, Serialize};
use sluice_model::Position;

use super::AcceptedLoss;

/// One partition's entry: every repair that still matters, the oldest first. Only the last one may be at work; one before it that was not
/// finished was given up, and is remembered as it may have left copies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepairRecord {
    /// The repairs.
    pub repairs: Vec<Repair>,
    /// Losses that somebody has accepted, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<AcceptedLoss>,
}

/// One repair of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// What was lost, shard by shard.
    pub lost: Vec<Lost>,
    /// How the positions were gone beyond.
    pub way: Way,
    /// `None` while it is not done.
    pub finished: Option<Finished>,
}

/// A shard that has stored what the journal no longer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The shard.
    pub shard: String,
    /// Up to here the journal is still what the shard has read.
    pub cut: Position,
    /// What the shard has stored.
    pub stored: Position,
    /// The stamp that the message there had, in nanoseconds since 1970; 0 where the shard began there and never read any.
    pub stamp: i64,
}

impl Lost {
    /// Whether this says of the same shard all that `other` says.
    pub fn includes(&self, other: &Self) -> bool {
        self.shard == other.shard && self.cut <= other.cut && self.stored >= other.stored
    }

    /// Whether the message that stood here is lost, and the shard has stored it.
    pub fn covers(&self, position: Position) -> bool {
        self.cut < position && position <= self.stored
    }
}

/// How a partition goes on beyond what shards have stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// By fillers; the shards go on from where they are.
    Fill,
    /// In one step, as it holds nothing; shards whose next position is left out so have to follow.
    Jump {
        /// The first position that is left out.
        from: Position,
        /// The last one.
        to: Position,
    },
}

impl Way {
    /// Whether a shard that has stored so much has to follow. One that has stored less lacks what was trimmed before: it has to
    /// say so.
    pub fn is_followed_from(self, stored: Position) -> bool {
        matches!(self, Self::Jump { from, to } if stored.next() >= from && stored <= to)
    }
}

/// The end of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// When, by the clock of whoever did it, in nanoseconds since 1970.
    pub at: i64,
    /// The last position that the repair has to do with: whoever finds the journal without it finds the repair undone.
    pub end: Position,
    /// The stamp of the message there; 0 after a jump, where there is none.
    pub stamp: i64,
}

impl Repair {
    /// Whether it is about these shards at these positions, in this way.
    pub fn is_about(&self, lost: &[Lost], way: Way) -> bool {
        self.lost == lost && self.way == way
    }

    /// What it says of a shard whose stored position and stamp are these.
    pub fn lost_on(&self, shard: &str, stored: Position, stamp: i64) -> Option<&Lost> {
        self.lost.iter().find(|lost| lost.shard == shard && (lost.stored, lost.stamp) == (stored, stamp))
    }
}

impl RepairRecord {
    /// The repair that was begun and not finished.
    pub fn unfinished(&self) -> Option<&Repair> {
        self.repairs.last().filter(|repair| repair.finished.is_none())
    }

    /// The repairs that are done.
    pub fn finished(&self) -> impl Iterator<Item = (&Repair, Finished)> {
        self.repairs.iter().filter_map(|repair| Some((repair, repair.finished?)))
    }

    /// Notes an intent, in place of one that was not finished: what that has done so far is found in the journal itself. What it lists
    /// beyond the new one is kept.
    pub fn begin(&mut self, lost: Vec<Lost>, way: Way) {
        let covered = |old: &Lost| lost.iter().any(|lost| lost.includes(old));
        let given_up = |repair: &Repair| repair.way == Way::Fill && !repair.lost.iter().all(covered);
        self.repairs.retain(|repair| repair.finished.is_some() || given_up(repair));
        self.repairs.push(Repair { lost, way, finished: None });
    }

    /// Notes the end of the repair that was begun last.
    pub fn finish(&mut self, finished: Finished) {
        if let Some(repair) = self.repairs.last_mut().filter(|repair| repair.finished.is_none()) {
            repair.finished = Some(finished);
        }
    }

    /// Forgets repairs of what the journal no longer holds anyway. Whatever a repair left out stands before its end, so
    /// it is remembered for as long as the journal holds any of that.
    pub fn forget_before(&mut self, first: Position) {
        self.repairs.retain(|repair| match repair.finished {
            Some(finished) => finished.end >= first,
            None => repair.way != Way::Fill || repair.lost.iter().any(|lost| lost.stored >= first),
        });
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::Partition;

    use super::*;

    fn at(n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(3)).get() + n).unwrap()
    }

    fn lost(shard: &str, cut: u64, stored: u64, stamp: i64) -> Lost {
        Lost { shard: shard.to_owned(), cut: at(cut), stored: at(stored), stamp }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let mut record = RepairRecord::default();
        record.begin(vec![lost("s1", 4, 9, 17), lost("s2", 4, 7, 15)], Way::Fill);
        record.finish(Finished { at: 1, end: at(12), stamp: 99 });
        record.begin(vec![lost("s3", 0, 9, 0)], Way::Jump { from: at(1), to: at(20) });
        let json = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<RepairRecord>(&json).unwrap(), record);
        assert_eq!(serde_json::from_str::<RepairRecord>("{}").unwrap(), RepairRecord::default());
    }

    #[test]
    fn whoever_lacks_only_what_is_left_out_follows_a_jump() {
        let jump = Way::Jump { from: at(5), to: at(9) };
        let followers: Vec<u64> = (0..12).filter(|stored| jump.is_followed_from(at(*stored))).collect();
        assert_eq!(followers, [4, 5, 6, 7, 8, 9]);
        assert!(!Way::Fill.is_followed_from(at(6)));
    }

    #[test]
    fn a_repair_begun_anew_takes_the_place_of_one_that_was_not_finished() {
        let mut record = RepairRecord::default();
        record.begin(vec![lost("s1", 4, 9, 17)], Way::Fill);
        record.finish(Finished { at: 1, end: at(12), stamp: 99 });
        record.begin(vec![lost("s1", 12, 15, 20)], Way::Fill);
        record.begin(vec![lost("s1", 12, 16, 21)], Way::Fill);
        assert_eq!((record.repairs.len(), record.finished().count()), (2, 1));
        assert!(record.unfinished().unwrap().is_about(&[lost("s1", 12, 16, 21)], Way::Fill));
        record.begin(vec![lost("s1", 13, 18, 22)], Way::Fill);
        assert_eq!(record.repairs.len(), 3, "what is not listed any more may have copies");
        record.begin(vec![lost("s1", 12, 18, 22)], Way::Fill);
        assert_eq!(record.repairs.len(), 2, "both that were given up are included");
        record.forget_before(at(12));
        assert_eq!(record.finished().count(), 1);
        record.forget_before(at(13));
        assert!(record.finished().count() == 0 && record.unfinished().is_some());
        record.forget_before(at(17));
        assert_eq!(record.repairs.len(), 1);
    }

    #[test]
    fn what_is_lost_begins_after_the_cut_and_ends_with_what_is_stored() {
        let lost = lost("s1", 4, 9, 17);
        let covered: Vec<u64> = (0..12).filter(|n| lost.covers(at(*n))).collect();
        assert_eq!(covered, [5, 6, 7, 8, 9]);
    }

    #[test]
    fn one_entry_includes_another_of_the_same_shard_within_its_bounds() {
        let whole = lost("s1", 4, 9, 17);
        assert!(whole.includes(&lost("s1", 4, 9, 0)) && whole.includes(&lost("s1", 5, 8, 3)));
        assert!(!whole.includes(&lost("s2", 5, 8, 3)));
        assert!(!whole.includes(&lost("s1", 3, 8, 3)) && !whole.includes(&lost("s1", 5, 10, 3)));
    }
}
