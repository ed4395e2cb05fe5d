//! Which part of a batch to store next, where the database refuses rows of it. Pure.
//!
//! The whole batch comes first. A part in which too many rows are refused is halved, at a message boundary, and its first half comes
//! next. So after a part that went well the next one is as large or larger: a region of refused rows is passed in small parts, and what
//! stands behind it at full speed.

use sluice_model::{EventId, Place, Position};
use sluice_shard::{Advance, Batch};

/// A batch on its way into a shard, in one transaction or several.
#[derive(Debug)]
pub(super) struct Pieces {
    /// What is not stored yet, the first positions last.
    todo: Vec<Batch>,
}

impl Pieces {
    /// Begins with the whole batch.
    pub(super) fn new(batch: Batch) -> Self {
        Self { todo: vec![batch] }
    }

    /// Returns what to store next, in one transaction; `None` where all is stored.
    pub(super) fn next(&self) -> Option<&Batch> {
        self.todo.last()
    }

    /// Notes that the next piece is stored, and returns it.
    pub(super) fn stored(&mut self) -> Option<Batch> {
        self.todo.pop()
    }

    /// Takes rows out of the next piece; they come in no order.
    pub(super) fn leave_out(&mut self, mut refused: Vec<EventId>) {
        refused.sort_unstable();
        if let Some(piece) = self.todo.last_mut() {
            piece.rows.retain(|id| refused.binary_search(&id).is_err());
        }
    }

    /// Halves the next piece, if it has rows of more than one message, and the stamp of a message between them is known: a position is
    /// stored only with the stamp that its message has.
    pub(super) fn halve(&mut self, stamp: impl Fn(Position) -> Option<i64>) {
        let Some(piece) = self.todo.last() else { return };
        let Some(last) = middle(piece, stamp) else { return };
        let (before, after) = divide(piece, last);
        self.todo.pop();
        self.todo.extend([after, before]);
    }
}

/// Returns the last message of a batch's first half.
fn middle(batch: &Batch, stamp: impl Fn(Position) -> Option<i64>) -> Option<Place> {
    let mut messages: Vec<Position> = batch.rows.iter().map(|row| row.id.position()).collect();
    messages.sort_unstable();
    messages.dedup();
    // Something has to be left for the second half.
    messages.pop();
    let half = messages.len() / 2;
    let known = |index: &usize| stamp(messages[*index]).map(|stamp| Place { position: messages[*index], stamp });
    let (before, after) = (0..half, half..messages.len());
    after.chain(before.rev()).find_map(|index| known(&index))
}

/// Divides a batch behind a message. Positions are in order of partition, as the steps are.
fn divide(batch: &Batch, last: Place) -> (Batch, Batch) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for advance in &batch.advances {
        if advance.to.position <= last.position {
            before.push(*advance);
        } else if advance.from.position >= last.position {
            after.push(*advance);
        } else {
            before.push(Advance { to: last, ..*advance });
            after.push(Advance { from: last, ..*advance });
        }
    }
    let part = |advances, is_before: bool| Batch {
        rows: batch.rows.only(|id| (id.position() <= last.position) == is_before),
        advances,
    };
    (part(before, true), part(after, false))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use sluice_model::{Partition, Person, Rows};

    use super::*;

    /// Refused rows that a simulated search finds before it gives up.
    const FOUND: usize = 4;

    fn at(partition: u16, n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(partition)).get() + n).unwrap()
    }

    fn place(position: Position) -> Place {
        Place { position, stamp: stamp_of(position) }
    }

    fn stamp_of(position: Position) -> i64 {
        i64::try_from(position.get() % 1_000_003).unwrap()
    }

    /// A batch of three partitions, with so many events in each of their messages, in the order of a primary key.
    fn batch(messages: &[Vec<usize>; 3]) -> Batch {
        let (mut rows, mut advances) = (Rows::new(), Vec::new());
        for (partition, events) in (0u16..).zip(messages) {
            for (n, events) in (1u64..).zip(events) {
                for index in 0..*events {
                    let person = Person { name: "n".into(), address: "a".into() };
                    let customer = format!("c{}", (n * 7 + index as u64) % 5);
                    rows.push(&customer.parse().unwrap(), at(partition, n).event(index), &person);
                }
            }
            let (from, to) = (place(at(partition, 0)), place(at(partition, events.len() as u64)));
            advances.extend((!events.is_empty()).then_some(Advance { from, to }));
        }
        rows.sort();
        Batch { rows, advances }
    }

    /// A database that refuses some rows, and searches for a few of them at once.
    fn refused(piece: &Batch, bad: &BTreeSet<EventId>) -> (Vec<EventId>, bool) {
        let found: Vec<_> = piece.rows.iter().map(|row| row.id).filter(|id| bad.contains(id)).take(FOUND + 1).collect();
        let too_many = found.len() > FOUND;
        (found.into_iter().take(FOUND).collect(), too_many)
    }

    /// A batch, which of its rows are bad, and of how many of its messages the stamp is known.
    fn cases() -> impl Strategy<Value = (Batch, BTreeSet<EventId>, u64)> {
        let messages = || prop::collection::vec(prop_oneof![2 => Just(0usize), 3 => 1usize..4, 1 => 5usize..30], 0..25);
        let all = [messages(), messages(), messages()];
        (all, prop::collection::vec(any::<prop::sample::Index>(), 0..200), 1u64..4).prop_map(
            |(messages, bad, known)| {
                let batch = batch(&messages);
                let ids: Vec<EventId> = batch.rows.iter().map(|row| row.id).collect();
                let bad = bad.iter().filter(|_| !ids.is_empty()).map(|index| ids[index.index(ids.len())]).collect();
                (batch, bad, known)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn every_position_is_passed_once_in_order_and_each_row_is_stored_or_refused_once((batch, bad, known) in cases()) {
            let (goal, rows) = (batch.advances.clone(), batch.rows.clone());
            let stamp = |position: Position| position.get().is_multiple_of(known).then(|| stamp_of(position));
            let mut pieces = Pieces::new(batch);
            let mut reached = BTreeMap::<Partition, Place>::new();
            let (mut stored, mut left_out, mut attempts) = (Vec::new(), Vec::new(), 0);
            while let Some(piece) = pieces.next() {
                attempts += 1;
                let ids: Vec<_> = piece.rows.iter().map(|row| row.id).collect();
                for id in &ids {
                    let covered = |step: &Advance| id.position() > step.from.position && id.position() <= step.to.position;
                    prop_assert!(piece.advances.iter().any(|advance|
                        advance.partition() == id.position().partition() && covered(advance)));
                }
                let (found, too_many) = refused(piece, &bad);
                if found.is_empty() {
                    prop_assert!(piece.advances.is_sorted_by(|a, b| a.partition() < b.partition()));
                    for advance in &piece.advances {
                        let at = reached.entry(advance.partition()).or_insert(advance.from);
                        prop_assert_eq!((*at, advance.to), (advance.from, place(advance.to.position)));
                        prop_assert!(advance.to.position > advance.from.position);
                        *at = advance.to;
                    }
                    stored.extend(ids);
                    prop_assert!(pieces.stored().is_some());
                    continue;
                }
                left_out.extend(found.iter().copied());
                pieces.leave_out(found);
                if too_many {
                    pieces.halve(stamp);
                }
            }
            for advance in &goal {
                prop_assert_eq!(reached.get(&advance.partition()), Some(&advance.to));
            }
            left_out.sort_unstable();
            prop_assert!(left_out.iter().eq(bad.iter()));
            stored.sort_unstable();
            let mut good: Vec<_> = rows.iter().map(|row| row.id).filter(|id| !bad.contains(id)).collect();
            good.sort_unstable();
            prop_assert_eq!(stored, good);
            // Each search finds some, and there are no more pieces than searches that ended early.
            prop_assert!(attempts <= 2 * (bad.len() + 1), "{} attempts for {} bad rows", attempts, bad.len());
        }
    }

    #[test]
    fn behind_a_region_of_refused_rows_pieces_grow_again() {
        let mut pieces = Pieces::new(batch(&[vec![1; 256], vec![], vec![]]));
        let stamp = |position| Some(stamp_of(position));
        let size = |pieces: &Pieces| pieces.next().map_or(0, |piece| piece.rows.len());
        while size(&pieces) > 1 {
            pieces.halve(stamp);
        }
        pieces.halve(stamp);
        assert_eq!(size(&pieces), 1, "one message is not divided");
        let mut sizes = Vec::new();
        while let Some(piece) = pieces.stored() {
            sizes.push(piece.rows.len());
        }
        assert_eq!(sizes, [1, 1, 2, 4, 8, 16, 32, 64, 128]);
    }

    #[test]
    fn a_piece_is_divided_only_where_a_stamp_is_known() {
        let mut pieces = Pieces::new(batch(&[vec![1; 9], vec![], vec![]]));
        pieces.halve(|_| None);
        assert_eq!(pieces.next().unwrap().rows.len(), 9);
        pieces.halve(|position| (position == at(0, 2)).then_some(5));
        assert_eq!(
            pieces.next().unwrap().advances,
            [Advance { from: place(at(0, 0)), to: Place { position: at(0, 2), stamp: 5 } }]
        );
    }
}
