//! What became of each event, known by a number in its name.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use sluice_model::{Partition, Position};

/// What is known of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is under way.
    Sent,
    /// It was accepted at this position: there has to be a row, unless the journal has lost the position since.
    Accepted(Position),
    /// Refused, and surely not stored: there must be no row.
    Refused,
    /// Its outcome is unknown: one row, or none.
    Unknown,
}

/// The last position of each partition that a journal kept when it lost its end.
pub type Cut = BTreeMap<Partition, Position>;

/// Whether the journal still has an event that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It has.
    Yes,
    /// It was sent before a loss that took its position, and acknowledged after that: it was lost, or stored after the loss.
    Perhaps,
    /// It was acknowledged before a loss that took its position.
    No,
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) fate: Fate,
    pub(super) customer: u32,
    /// How often the journal had lost its end when it was sent, and when its fate was noted.
    sent_after: u16,
    noted_after: u16,
}

/// Every event that was sent.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Inner>);

/// The same, locked.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) good: Vec<Event>,
    pub(super) bad: Vec<Event>,
    losses: Vec<Cut>,
}

impl Ledger {
    /// Begins so many events of a customer, and gives the number of the first.
    pub fn send(&self, is_good: bool, count: usize, customer: u32) -> usize {
        let mut inner = self.lock();
        let now = inner.now();
        let events = inner.events(is_good);
        let first = events.len();
        events.resize(first + count, Event { fate: Fate::Sent, customer, sent_after: now, noted_after: now });
        first
    }

    /// Notes what became of them.
    pub fn note(&self, is_good: bool, first: usize, count: usize, fate: Fate) {
        let mut inner = self.lock();
        let now = inner.now();
        for event in &mut inner.events(is_good)[first..first + count] {
            (event.fate, event.noted_after) = (fate, now);
        }
    }

    /// Notes that the journal loses its end: what is noted from now on was acknowledged afterwards, as far as it was sent
    /// afterwards. To be called while the journal is down.
    pub fn journal_loses_its_end(&self) {
        self.lock().losses.push(Cut::new());
    }

    /// Says which positions the journal kept at the last loss.
    pub fn journal_kept(&self, cut: Cut) {
        *self.lock().losses.last_mut().expect("the loss was noted before") = cut;
    }

    /// How many good events were accepted so far, and of how many the outcome is unknown.
    pub fn so_far(&self) -> (usize, usize) {
        let inner = self.lock();
        let count = |is: fn(Fate) -> bool| inner.good.iter().filter(|event| is(event.fate)).count();
        (count(|fate| matches!(fate, Fate::Accepted(_))), count(|fate| fate == Fate::Unknown))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Inner {
    fn now(&self) -> u16 {
        u16::try_from(self.losses.len()).expect("a soak has fewer losses")
    }

    fn events(&mut self, is_good: bool) -> &mut Vec<Event> {
        if is_good { &mut self.good } else { &mut self.bad }
    }

    /// Whether the journal still has an event that was accepted at this position.
    pub(super) fn kept(&self, event: &Event, position: Position) -> Kept {
        let took = |cut: &Cut| cut.get(&position.partition()).is_some_and(|kept| position > *kept);
        let before_it = &self.losses[usize::from(event.noted_after)..];
        let meanwhile = &self.losses[usize::from(event.sent_after)..usize::from(event.noted_after)];
        match (before_it.iter().any(took), meanwhile.iter().any(took)) {
            (true, _) => Kept::No,
            (false, true) => Kept::Perhaps,
            (false, false) => Kept::Yes,
        }
    }
}
