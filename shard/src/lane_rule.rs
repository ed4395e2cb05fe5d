//! The part of the lane rule that a batch shows by itself.
//!
//! Whether the rows are *all* of this shard's can only be known by who built the batch. But a row outside the steps is
//! always wrong: its position would pass it twice, or never; it would be stored doubly, or be lost. So it is refused
//! before a database sees it.

use crate::{Advance, Batch, fault::Fault};

/// Says what of the batch cannot be, if anything.
pub(crate) fn check(batch: &Batch) -> Result<(), Fault> {
    for advance in &batch.advances {
        let Advance { from, to } = advance;
        let (from, to) = (from.position, to.position);
        if from.partition() != to.partition() || from > to {
            return Err(Fault::invariant(format!("{from:?} to {to:?} is no step forward within a partition")));
        }
    }
    if !batch.advances.is_sorted_by(|a, b| a.partition() < b.partition()) {
        return Err(Fault::invariant("the steps are not one per partition, in order of partition"));
    }
    for row in batch.rows.iter() {
        let position = row.id.position();
        let covered = batch.advances.binary_search_by_key(&position.partition(), Advance::partition).is_ok_and(|at| {
            let Advance { from, to } = batch.advances[at];
            from.position < position && position <= to.position
        });
        if !covered {
            return Err(Fault::invariant(format!("no step of the batch covers event {} at {position:?}", row.id)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sluice_model::{Partition, Person, Position, Rows};

    use super::*;
    use crate::Class;

    fn at(partition: u16, sequence: u64) -> Position {
        Position::new(Position::before_first(Partition::new(partition)).get() + sequence).unwrap()
    }

    fn batch(steps: &[(Position, Position)], events: &[Position]) -> Batch {
        let mut rows = Rows::new();
        for position in events {
            let person = Person { name: "n".into(), address: "a".into() };
            rows.push(&"1".parse().unwrap(), position.event(0), &person);
        }
        Batch { rows, advances: steps.iter().map(|&(from, to)| Advance { from: from.into(), to: to.into() }).collect() }
    }

    #[test]
    fn rows_within_the_steps_are_taken() {
        let steps = [(at(0, 0), at(0, 5)), (at(3, 7), at(3, 9))];
        check(&batch(&steps, &[at(0, 1), at(0, 5), at(3, 8), at(3, 9)])).unwrap();
        check(&batch(&steps, &[])).unwrap();
        // A step of nothing is one that changes nothing.
        check(&batch(&[(at(0, 5), at(0, 5))], &[])).unwrap();
    }

    #[test]
    fn a_row_outside_the_steps_or_a_step_that_is_none_is_an_invariant() {
        let step = (at(0, 1), at(0, 5));
        let wrong = [
            batch(&[step], &[at(0, 1)]),
            batch(&[step], &[at(0, 6)]),
            batch(&[step], &[at(1, 3)]),
            batch(&[], &[at(0, 3)]),
            batch(&[(at(0, 5), at(0, 1))], &[]),
            batch(&[(at(0, 5), at(1, 6))], &[]),
            batch(&[step, step], &[]),
            batch(&[(at(1, 1), at(1, 2)), step], &[]),
        ];
        for batch in wrong {
            assert_eq!(check(&batch).unwrap_err().class, Class::Invariant, "{batch:?}");
        }
    }
}
