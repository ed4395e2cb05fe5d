//! What a lane has in hand, and the lane rule: may this shard take it? The model of the writer's
//! `lane::work`.

use crate::{
    bounds::{PARTITIONS, Variant},
    journal::{LOST, Messages, Place, Position, UNKNOWN, span},
};

/// A contiguous range of one partition, and what of it is one shard's. Empty where it has no
/// message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Range {
    /// The place behind which it was read.
    pub(crate) after: Place,
    pub(crate) last: Place,
    /// All messages in it: the stamps by which a stored position is known.
    pub(crate) messages: Messages,
    pub(crate) rows: Messages,
}

/// A range of each of some partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Work(pub(crate) [Range; PARTITIONS]);

/// One partition's part of a transaction: compare with `from`, set to `to`, and put the rows in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Advance {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) rows: Messages,
}

/// One transaction.
pub(crate) type Batch = [Option<Advance>; PARTITIONS];

/// The stored positions that a lane knows of.
pub(crate) type Known = [Option<Place>; PARTITIONS];

/// Why a shard must not take the work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It does not begin where the shard ends.
    Gap,
    /// It is of another history than what the shard has of this partition.
    Parted(usize),
}

/// What `prepare` looks at. The protocol looks at everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checks {
    /// That a range begins where the shard ends.
    pub(crate) gap: bool,
    /// That the range's own message at the stored position bears the stored stamp.
    pub(crate) stamps: bool,
    /// That a range of which nobody knows what stands before it fits no shard that has something
    /// stored there.
    pub(crate) unknown: bool,
}

impl Range {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether the history that was read has this place, as far as the range tells. Where it passed
    /// the position as lost, nothing can be compared, and somebody has accepted that.
    fn has(&self, stored: Place) -> bool {
        let passed = Place { stamp: LOST, ..stored };
        let is_after = stored == self.after || passed == self.after;
        is_after || stored.position > self.last.position || self.messages & (stored.message() | passed.message()) != 0
    }

    /// The positions behind `after` that were passed as lost.
    pub(crate) fn lost_behind(&self, after: Position) -> Messages {
        let behind = span(after, self.last.position) & 0xff;
        self.messages >> (8 * LOST) & behind
    }

    fn prepare(&self, stored: Place) -> Option<Advance> {
        let rows = self.rows & span(stored.position, self.last.position);
        (self.last.position > stored.position).then_some(Advance { from: stored, to: self.last, rows })
    }
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Range::is_empty)
    }

    /// Adds the message that was read after a place.
    pub(crate) fn add(&mut self, partition: usize, after: Place, found: Place, routed: Messages) {
        let range = &mut self.0[partition];
        if range.is_empty() {
            range.after = after;
        }
        range.last = found;
        range.messages |= found.message();
        range.rows |= found.message() & routed;
    }

    /// The transaction that stores this in a shard with these stored positions. A partition whose
    /// position is not known is left out.
    pub(crate) fn prepare(&self, known: &Known, checks: Checks) -> Result<Batch, Unfit> {
        let mut batch = [None; PARTITIONS];
        for (partition, range) in self.0.iter().enumerate() {
            let Some(stored) = known[partition].filter(|_| !range.is_empty()) else { continue };
            let begins_unknown = range.after.position == stored.position && range.after.stamp == UNKNOWN;
            if checks.gap && range.after.position > stored.position || checks.unknown && begins_unknown {
                return Err(Unfit::Gap);
            }
            if checks.stamps && range.after.position <= stored.position && !begins_unknown && !range.has(stored) {
                return Err(Unfit::Parted(partition));
            }
            batch[partition] = range.prepare(stored);
        }
        Ok(batch)
    }

    /// Wrong variants: what this transaction leaves out is removed for good, and the range kept.
    pub(crate) fn destroy(&mut self, known: &Known, variant: Variant) {
        for (range, known) in self.0.iter_mut().zip(known) {
            match (variant, known) {
                (Variant::PreparesDestructively, Some(stored)) => {
                    range.rows &= span(stored.position, range.last.position);
                }
                (Variant::KeepsWorkOverRelease, None) => range.rows = 0,
                _ => {}
            }
        }
    }
}

/// Whether a transaction has nothing to do.
pub(crate) fn is_idle(batch: &Batch) -> bool {
    batch.iter().all(Option::is_none)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Checks = Checks { gap: true, stamps: true, unknown: true };

    fn at(position: u8) -> Place {
        Place { position, stamp: 0 }
    }

    fn known(position: u8) -> Known {
        [Some(at(position)), None]
    }

    /// Work with a row at each position in `(after, last]`.
    fn work(after: u8, last: u8) -> Work {
        let mut work = Work::default();
        (after..last).for_each(|after| work.add(0, at(after), at(after + 1), !0));
        work
    }

    #[test]
    fn what_is_covered_is_left_out_and_a_gap_is_refused() {
        let work = work(2, 5);
        assert_eq!(work.prepare(&known(1), ALL), Err(Unfit::Gap));
        let advance = Advance { from: at(4), to: at(5), rows: 1 << 5 };
        assert_eq!(work.prepare(&known(4), ALL), Ok([Some(advance), None]));
        assert!(work.prepare(&known(5), ALL).is_ok_and(|batch| is_idle(&batch)));
        assert!(work.prepare(&[None, None], ALL).is_ok_and(|batch| is_idle(&batch)));
    }

    #[test]
    fn a_shard_of_another_history_takes_nothing() {
        let work = work(2, 5);
        for position in 2..=5 {
            let stored = [Some(Place { position, stamp: 1 }), None];
            assert_eq!(work.prepare(&stored, ALL), Err(Unfit::Parted(0)), "{position}");
            assert!(work.prepare(&stored, Checks { stamps: false, ..ALL }).is_ok());
        }
        let mut unknown = work;
        unknown.0[0].after.stamp = UNKNOWN;
        assert_eq!(unknown.prepare(&known(2), ALL), Err(Unfit::Gap), "nobody knows whether it follows");
        assert!(unknown.prepare(&known(3), ALL).is_ok());
    }
}
