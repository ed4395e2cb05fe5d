//! The events of one partition, kept small.

use sluice_model::{EventId, Partition, Position};

/// No customer: the subject of the event's message names none.
pub(super) const NOBODY: u32 = u32::MAX;

/// What is known of an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks(u8);

impl Marks {
    /// It can never become a row, whatever the shard: it has to be a dead letter.
    pub(super) const REFUSED: Self = Self(1);
    /// It has a dead letter.
    pub(super) const DEAD: Self = Self(2);
    /// Its row stands where it belongs.
    pub(super) const ROW: Self = Self(4);
    /// A row of it stands elsewhere, and none where it belongs.
    pub(super) const ASTRAY: Self = Self(8);
    /// It came while the check was running: nobody has waited for its row.
    pub(super) const LATE: Self = Self(16);
    /// A repair stored it once more, behind what shards had stored: the copy is what has to have a row.
    pub(super) const COPIED: Self = Self(32);
    /// And once more than that.
    pub(super) const COPIED_TWICE: Self = Self(64);

    /// Whether any of `other`'s marks is set.
    pub(super) fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Sets `other`'s marks too.
    pub(super) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Where an id stands in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The event at this index.
    Event(usize),
    /// Before the first message that the journal still holds: nothing is known of it.
    BeforeJournal,
    /// The journal never gave it.
    Never,
}

/// One partition's events, in the order of their ids.
///
/// An event takes 13 bytes (id 8, customer 4, marks 1), and up to twice that while the lists grow.
#[derive(Debug, Clone)]
pub(super) struct Events {
    first: Position,
    ids: Vec<i64>,
    customers: Vec<u32>,
    marks: Vec<Marks>,
}

impl Events {
    /// A partition that never held anything.
    pub(super) fn new(partition: Partition) -> Self {
        Self { first: Position::first(partition), ids: Vec::new(), customers: Vec::new(), marks: Vec::new() }
    }

    /// Forgets every event; what the journal still holds begins where it began.
    pub(super) fn clear(&mut self) {
        (self.ids, self.customers, self.marks) = (Vec::new(), Vec::new(), Vec::new());
    }

    /// Says where what the journal still holds begins.
    pub(super) fn begin(&mut self, first: Position) {
        self.first = first;
    }

    /// Adds an event; ids come in growing order.
    pub(super) fn push(&mut self, id: EventId, customer: u32, marks: Marks) {
        assert!(self.ids.last().is_none_or(|last| *last < id.get()), "a partition is read in order, and once");
        self.ids.push(id.get());
        self.customers.push(customer);
        self.marks.push(marks);
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn find(&self, id: EventId) -> Place {
        let position = id.position();
        if position < Position::first(position.partition()) {
            return Place::Never;
        }
        if position < self.first {
            return Place::BeforeJournal;
        }
        self.ids.binary_search(&id.get()).map_or(Place::Never, Place::Event)
    }

    pub(super) fn customer(&self, index: usize) -> u32 {
        self.customers[index]
    }

    pub(super) fn marks(&self, index: usize) -> Marks {
        self.marks[index]
    }

    pub(super) fn mark(&mut self, index: usize, marks: Marks) {
        self.marks[index].set(marks);
    }

    /// The events of one message.
    pub(super) fn of_message(&self, position: Position) -> std::ops::Range<usize> {
        let from = |id: i64| self.ids.partition_point(|other| *other < id);
        from(position.event(0).get())..from(position.next().event(0).get())
    }

    /// Every event: its id, its customer, its marks.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, u32, Marks)> {
        self.ids.iter().zip(&self.customers).zip(&self.marks).map(|((id, customer), marks)| (*id, *customer, *marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_event_or_older_than_the_journal_or_was_never_given() {
        let partition = Partition::new(2);
        let base = Position::before_first(partition).get();
        let at = |n: u64| Position::new(base + n).unwrap();
        let mut events = Events::new(partition);
        events.begin(at(5));
        events.push(at(5).event(0), 0, Marks::default());
        events.push(at(5).event(1), 0, Marks::REFUSED);
        events.push(at(7).event(0), 1, Marks::default());
        assert_eq!(events.find(at(5).event(1)), Place::Event(1));
        assert_eq!(events.find(at(5).event(2)), Place::Never);
        assert_eq!(events.find(at(8).event(0)), Place::Never);
        assert_eq!(events.find(at(4).event(9)), Place::BeforeJournal);
        assert_eq!(events.find(at(0).event(9)), Place::Never, "positions are counted from 1");
    }

    #[test]
    fn marks_add_up() {
        let mut marks = Marks::LATE;
        marks.set(Marks::DEAD);
        assert!(marks.any(Marks::DEAD.and(Marks::ROW)) && !marks.any(Marks::ROW));
        assert_eq!(marks, Marks::LATE.and(Marks::DEAD));
    }
}
