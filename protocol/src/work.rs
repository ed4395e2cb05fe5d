//! What a lane has in hand, and the lane rule: may this shard take it? The model of the writer's `lane::work`.

use crate::{
    bounds::PARTITIONS,
    journal::{Position, Positions, span},
};

/// A contiguous stretch of one partition, and what of it is one shard's. Empty where `last` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stretch {
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) rows: Positions,
}

/// A stretch of each of some partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Work(pub(crate) [Stretch; PARTITIONS]);

/// One partition's part of a transaction: compare with `from`, set to `to`, and put the rows in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Advance {
    pub(crate) from: Position,
    pub(crate) to: Position,
    pub(crate) rows: Positions,
}

/// One transaction.
pub(crate) type Batch = [Option<Advance>; PARTITIONS];

/// The work does not begin where the shard ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap;

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|stretch| stretch.last == 0)
    }

    /// Adds the next stretch of a partition.
    pub(crate) fn add(&mut self, partition: usize, stretch: Stretch) {
        let whole = &mut self.0[partition];
        if whole.last == 0 {
            *whole = stretch;
        } else {
            whole.last = stretch.last;
            whole.rows |= stretch.rows;
        }
    }

    /// The transaction that stores this in a shard with these stored positions. Without `check_gap` a stretch that begins
    /// too late is taken all the same: only wrong variants do so.
    pub(crate) fn prepare(&self, stored: [Position; PARTITIONS], check_gap: bool) -> Result<Batch, Gap> {
        let mut batch = [None; PARTITIONS];
        for ((stretch, from), advance) in self.0.iter().zip(stored).zip(&mut batch) {
            if stretch.last <= from {
                continue;
            }
            if check_gap && stretch.first > from + 1 {
                return Err(Gap);
            }
            *advance = Some(Advance { from, to: stretch.last, rows: stretch.rows & span(from, stretch.last) });
        }
        Ok(batch)
    }
}

/// Whether a transaction has nothing to do.
pub(crate) fn is_idle(batch: &Batch) -> bool {
    batch.iter().all(Option::is_none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(first: Position, last: Position) -> Work {
        Work([Stretch { first, last, rows: span(first - 1, last) }, Stretch::default()])
    }

    #[test]
    fn what_is_covered_is_left_out_and_a_gap_is_refused() {
        let work = work(3, 5);
        assert_eq!(work.prepare([1, 0], true), Err(Gap));
        let advance = Advance { from: 4, to: 5, rows: 1 << 5 };
        assert_eq!(work.prepare([4, 0], true), Ok([Some(advance), None]));
        assert!(work.prepare([5, 0], true).is_ok_and(|batch| is_idle(&batch)));
    }
}
