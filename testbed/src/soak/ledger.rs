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
    /// It was accepted at this position: there has to be a row, unless the journal has lost the
    /// position since.
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
    /// It was sent before a loss that took its position, and acknowledged after that: it was lost,
    /// or stored after the loss.
    Perhaps,
    /// It was acknowledged before a loss that took its position.
    No,
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) fate: Fate,
    pub(super) customer: u32,
    /// How often the journal had gone away to lose its end when it was sent, and how often it had
    /// lost it when its fate was noted.
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
    /// How often the journal has gone away to lose its end.
    went: u16,
    losses: Vec<Cut>,
}

impl Ledger {
    /// Begins so many events of a customer, and gives the number of the first.
    pub fn send(&self, is_good: bool, count: usize, customer: u32) -> usize {
        let mut inner = self.lock();
        let (sent_after, noted_after) = (inner.went, inner.lost());
        let events = inner.events(is_good);
        let first = events.len();
        events.resize(first + count, Event { fate: Fate::Sent, customer, sent_after, noted_after });
        first
    }

    /// Notes what became of them.
    pub fn note(&self, is_good: bool, first: usize, count: usize, fate: Fate) {
        let mut inner = self.lock();
        let now = inner.lost();
        for event in &mut inner.events(is_good)[first..first + count] {
            (event.fate, event.noted_after) = (fate, now);
        }
    }

    /// Notes that the journal is gone: what is sent from now on is stored after its loss, if at
    /// all.
    pub fn journal_is_gone(&self) {
        self.lock().went += 1;
    }

    /// Notes that the journal loses its end: everything that it acknowledged before has been noted.
    /// To be called while it is gone.
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
    fn lost(&self) -> u16 {
        u16::try_from(self.losses.len()).expect("a soak has fewer losses")
    }

    fn events(&mut self, is_good: bool) -> &mut Vec<Event> {
        if is_good { &mut self.good } else { &mut self.bad }
    }

    /// Whether the journal still has an event that was accepted at this position.
    pub(super) fn kept(&self, event: &Event, position: Position) -> Kept {
        let took = |cut: &Cut| cut.get(&position.partition()).is_some_and(|kept| position > *kept);
        let before_it = &self.losses[usize::from(event.noted_after)..];
        let meanwhile = self.losses.get(usize::from(event.sent_after)..usize::from(event.noted_after));
        match (before_it.iter().any(took), meanwhile.is_some_and(|losses| losses.iter().any(took))) {
            (true, _) => Kept::No,
            (false, true) => Kept::Perhaps,
            (false, false) => Kept::Yes,
        }
    }
}
