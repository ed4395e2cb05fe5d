//! How closely a ledger looks: at every event; at sums of all of them; or at the events whose sums differ.

use std::collections::HashSet;

use sluice_model::{EventId, Position};

use super::{
    events::NOBODY,
    sums::{Entry, Sums},
};

/// Events and rows of differing buckets that are kept at most, at 13 to 26 bytes each: about 420 MB.
const CAP: u64 = 16_000_000;

/// How closely a ledger looks.
#[derive(Debug)]
pub(super) enum Sight {
    /// At everything, one by one. It takes memory for each event.
    All,
    /// At sums. It takes the same memory for any number of events.
    Survey(Box<Survey>),
    /// At what the sums left open, one by one.
    Closer(Closer),
}

/// The first reading: sums, and what cannot be summed up.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) sums: Sums,
    /// Events that were noted.
    pub(super) events: u64,
    /// The last position of each partition that was read; empty until all is read.
    pub(super) through: Vec<Position>,
    /// Rows of what came after that.
    pub(super) later_rows: u64,
    /// Events that are nobody's, and have no dead letter.
    pub(super) open: u64,
    dead: HashSet<i64>,
}

/// The second reading: what to look at.
#[derive(Debug)]
pub(super) struct Closer {
    sums: Sums,
    differing: Vec<bool>,
    through: Vec<Position>,
    /// Whether anything that was read the first time has to be read again.
    pub(super) reads_again: bool,
    /// Events and rows of differing buckets that are too many to be looked at.
    pub(super) left_out: u64,
    /// Events that are proven to be as they should be.
    pub(super) proven: u64,
    events: u64,
}

impl Survey {
    pub(super) fn new(buckets: usize) -> Self {
        Self { sums: Sums::new(buckets), events: 0, through: Vec::new(), later_rows: 0, open: 0, dead: HashSet::new() }
    }

    /// Notes an event; gives whether it is still open, which is to say has no dead letter. `doubtful`: its position was given twice.
    pub(super) fn expect(&mut self, id: EventId, customer: u32, can_become_a_row: bool, doubtful: bool) -> bool {
        self.events += 1;
        let id = id.get();
        if doubtful {
            self.sums.doubt(id);
            return false;
        }
        if self.dead.contains(&id) {
            return false;
        }
        if can_become_a_row {
            self.sums.expect(Entry { customer, id, at_home: true });
        } else {
            // It has to get a dead letter: whether it has is seen the second time.
            self.sums.doubt(id);
        }
        self.open += u64::from(customer == NOBODY);
        true
    }

    /// Notes a row of the time that was read.
    pub(super) fn row(&mut self, entry: Entry) {
        if is_later(&self.through, entry.id) {
            self.later_rows += 1;
        } else {
            self.sums.find(entry);
        }
    }

    /// Notes a dead letter; gives whether it is of an event that was noted as open.
    pub(super) fn bury(&mut self, id: EventId) -> bool {
        let is_new = self.dead.insert(id.get());
        let was_read = self.through.get(id.position().partition().index()).is_some_and(|last| id.position() <= *last);
        if is_new && was_read {
            self.sums.doubt(id.get());
        }
        is_new && was_read
    }

    /// Whether the sums prove that everything is as it should be.
    pub(super) fn is_proof(&self) -> bool {
        self.later_rows == 0 && !self.sums.differ()
    }

    /// How many ids are kept one by one.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.dead.len()
    }
}

impl Closer {
    /// Looks at what a survey left open.
    pub(super) fn new(survey: Survey) -> Self {
        let Survey { sums, events, through, .. } = survey;
        let (differing, left_out) = sums.differing(CAP);
        let reads_again = differing.contains(&true);
        let mut closer = Self { sums, differing, through, reads_again, left_out, proven: 0, events };
        closer.begin_again();
        closer
    }

    /// Before anything is read again.
    pub(super) fn begin_again(&mut self) {
        self.proven = if self.reads_again { 0 } else { self.events };
    }

    /// Whether something has to be kept of this id.
    pub(super) fn sees(&self, id: i64) -> bool {
        is_later(&self.through, id) || self.differing[self.sums.bucket(id)]
    }
}

/// Whether an id is of an event that came after all was read.
fn is_later(through: &[Position], id: i64) -> bool {
    let Ok(id) = EventId::try_from(id) else { return false };
    through.get(id.position().partition().index()).is_some_and(|last| id.position() > *last)
}
