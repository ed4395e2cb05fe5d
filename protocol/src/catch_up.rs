//! A lane that is behind reads for itself, then joins the readers. The model of the writer's
//! `lane::catch_up`.

use crate::{
    bounds::{PARTITIONS, Variant},
    journal::{Log, Place, span},
    lane::{Lane, Phase},
    reader::Ends,
    work::{Range, Work},
};

/// What came of reading one message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OwnRead {
    /// The lane has it in hand, or waits for it.
    Good,
    /// It is gone from the journal.
    Gone,
    /// The journal is no longer the one that the lane has read.
    Parted,
}

impl Lane {
    /// The place after which a lane that is behind reads a partition, if it is to read on there.
    pub(crate) fn reads_after(&self, ends: &Ends, partition: usize) -> Option<Place> {
        let in_hand = match &self.phase {
            Phase::Ready => Range::default(),
            Phase::Reading(work) => work.0[partition],
            _ => return None,
        };
        if self.is_live(ends) && !self.is_joining() {
            return None;
        }
        let next = ends[partition].map_or(0, |end| end.position + 1);
        let target = if self.is_joining() { self.joining[partition] } else { next };
        let known = self.known[partition]?;
        let after = if in_hand.is_empty() { known } else { in_hand.last };
        (after.position + 1 < target).then_some(after)
    }

    /// Whether it reads for itself, and there is something to read, or lacking, or the journal
    /// lacks what it has read last.
    pub(crate) fn can_read(&self, log: &Log, ends: &Ends, partition: usize) -> bool {
        let after = self.reads_after(ends, partition);
        after.is_some_and(|after| after.position < log.last || log.has_parted(after))
    }

    /// Reads one message for itself: it opens after the last place that it has, and the journal has
    /// to hold that.
    pub(crate) fn read(
        &mut self,
        log: &Log,
        ends: &Ends,
        (shard, partition): (usize, usize),
        variant: Variant,
    ) -> OwnRead {
        let Some(after) = self.reads_after(ends, partition) else { return OwnRead::Good };
        let mut work = if let Phase::Reading(work) = self.phase { work } else { Work::default() };
        let opens_unverified = variant == Variant::LaneOpensUnverified && work.0[partition].is_empty();
        if !opens_unverified && log.has_parted(after) {
            return OwnRead::Parted;
        }
        if log.is_unseen(after) && ![Variant::TrustsTrimmed, Variant::NoContiguityCheck].contains(&variant) {
            return OwnRead::Gone;
        }
        let Some(found) = log.next(after.position, variant) else { return OwnRead::Gone };
        if found.position != after.position + 1 && variant != Variant::NoContiguityCheck {
            return OwnRead::Gone;
        }
        let kept = if variant == Variant::KeepsForeign { !0 } else { log.routed[shard] };
        work.add(partition, after, found, kept);
        self.phase = Phase::Reading(work);
        OwnRead::Good
    }

    /// From now on the readers feed the queue.
    pub(crate) fn join(&mut self, ends: &Ends, variant: Variant) {
        self.queue = Work::default();
        self.fed = ends.map(|end| end.is_some());
        self.joining = ends.map(|end| end.map_or(0, |end| end.position + 1));
        if variant == Variant::JoinsUnread {
            self.pretend(ends);
        }
    }

    /// A wrong variant: takes everything before the readers for read.
    pub(crate) fn pretend(&mut self, ends: &Ends) {
        for (range, (known, end)) in self.queue.0.iter_mut().zip(self.known.iter().zip(ends)) {
            let (Some(after), Some(last)) = (*known, *end) else { continue };
            let messages = span(after.position, last.position);
            *range = Range { after, last, messages, rows: 0 };
        }
        self.joining = [0; PARTITIONS];
    }
}
