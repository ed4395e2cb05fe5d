//! Rows with which a table is tried: does it take any row at all? Pure.
//!
//! The code of a refusal does not say whether a value is wrong or the table: a column that nobody
//! fills, a partition that is missing and a trigger that raises refuse every row, with codes that
//! one bad value has as well. So rows that nothing is wrong with are tried beside the refused ones.
//! A table that takes one of them takes rows. A table that takes none has to be mended.

use std::collections::BTreeMap;

use sluice_model::{CustomerId, EventId, Person, Rows};

/// The most customers of a batch whose rows are tried. Lower: a table that takes the rows of few
/// customers only is taken for wrong, until one of theirs comes. Higher: more statements each time
/// that a wrong table is tried again.
const CUSTOMERS: usize = 16;
/// An ordinary person, whom every table takes that has no rules of its own.
const NAME: &str = "Maria Lopez";
const ADDRESS: &str = "12 Station Road";
/// A customer without any rows or rules.
const NOBODY: &str = "sluice-trial";

/// The last row that was stored in a shard: one that its table took, as a lane remembers it from
/// one connection to the next.
#[derive(Debug, Default)]
pub struct LastStored(Rows);

impl LastStored {
    /// Remembers the last of the rows that a transaction has stored.
    pub(crate) fn remember(&mut self, stored: &Rows) {
        let last = stored.len().checked_sub(1).and_then(|index| stored.get(index));
        if let Some(last) = last {
            self.0.clear();
            push(&mut self.0, last.customer_id, last.id, last.name, last.address);
        }
    }
}

/// Returns the rows to try first, each by itself and under an id that no row has: the last stored
/// one, and one row and a plain one of each of some customers of the batch.
pub(super) fn of_batch(batch: &Rows, id: EventId, LastStored(last): &LastStored) -> Rows {
    let mut rows = Rows::new();
    let mut firsts = BTreeMap::new();
    for row in batch.iter() {
        firsts.entry(row.customer_id).or_insert(row);
    }
    // Evenly from all of them: one publisher's made-up customers may stand next to each other.
    let step = firsts.len().div_ceil(CUSTOMERS).max(1);
    for row in last.iter().chain(firsts.into_values().step_by(step)) {
        push(&mut rows, row.customer_id, id, row.name, row.address);
        push(&mut rows, row.customer_id, id, NAME, ADDRESS);
    }
    rows
}

/// Returns the rows to try where none of the first ones was taken: rows that the table holds, plain
/// ones of the same customers, and one of a customer whom nobody has ever heard of. A table with
/// rules that no plain row keeps has taken what it holds.
pub(super) fn of_table<'a>(held: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>, id: EventId) -> Rows {
    let mut rows = Rows::new();
    for (customer, name, address) in held {
        push(&mut rows, customer, id, name, address);
        push(&mut rows, customer, id, NAME, ADDRESS);
    }
    push(&mut rows, NOBODY, id, NAME, ADDRESS);
    rows
}

/// Adds a row. What is no customer's id (rows made by hand) is nobody's whom we could try.
fn push(rows: &mut Rows, customer: &str, id: EventId, name: &str, address: &str) {
    if let Ok(customer) = customer.parse::<CustomerId>() {
        rows.push(&customer, id, &Person { name: name.into(), address: address.into() });
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::{Partition, Position, Row};

    use super::*;

    fn id(index: usize) -> EventId {
        Position::first(Partition::new(0)).event(index)
    }

    fn batch(rows: &[(&str, &str)]) -> Rows {
        let mut batch = Rows::new();
        for (index, (customer, name)) in rows.iter().enumerate() {
            push(&mut batch, customer, id(index), name, "there");
        }
        batch
    }

    /// Whether a table is found to take rows, given what it takes.
    fn takes_rows(batch: &Rows, last: &LastStored, held: &[(&str, &str)], takes: fn(Row<'_>) -> bool) -> bool {
        let id = id(1_000);
        let held = held.iter().map(|(customer, name)| (*customer, *name, "there"));
        let (first, then) = (of_batch(batch, id, last), of_table(held, id));
        first.iter().chain(then.iter()).inspect(|row| assert_eq!(row.id, id)).any(takes)
    }

    fn stored(customer: &str, name: &str) -> LastStored {
        let mut last = LastStored::default();
        last.remember(&batch(&[("1", "not the last"), (customer, name)]));
        last
    }

    #[test]
    fn a_table_that_takes_nothing_is_wrong_whatever_is_known_of_it() {
        let one = batch(&[("42", "Ada")]);
        let many = batch(&[("1", "a"), ("2", "b"), ("3", "c")]);
        for batch in [&one, &many] {
            assert!(!takes_rows(batch, &LastStored::default(), &[], |_| false));
            assert!(!takes_rows(batch, &stored("7", "Grace"), &[("7", "Grace"), ("8", "Ada")], |_| false));
        }
        // A partition for which the ids have become too great; a length that is not enough for
        // anybody.
        assert!(!takes_rows(&one, &stored("42", "Ada"), &[("42", "Ada")], |row| row.id < id(1_000)));
        assert!(!takes_rows(&one, &stored("42", "Ada"), &[("42", "Ada")], |row| row.address.len() < 3));
    }

    #[test]
    fn bad_values_are_never_the_tables_fault_whoever_sends_them() {
        let poison: Vec<_> = (0..100).map(|n| (format!("c{n}"), "poison".to_owned())).collect();
        let poison: Vec<_> = poison.iter().map(|(customer, name)| (customer.as_str(), name.as_str())).collect();
        assert!(takes_rows(&batch(&poison[..1]), &LastStored::default(), &[], |row| row.name != "poison"));
        assert!(takes_rows(&batch(&poison), &LastStored::default(), &[], |row| row.name != "poison"));
        // A table with rules that no plain row keeps has taken one that does, or is just about to.
        let odd = |row: Row<'_>| row.name.starts_with("Odd ");
        assert!(takes_rows(&batch(&poison), &stored("7", "Odd Grace"), &[], odd));
        assert!(takes_rows(&batch(&poison), &LastStored::default(), &[("7", "Odd Grace")], odd));
        let mut with_a_good_one = poison.clone();
        with_a_good_one.truncate(CUSTOMERS - 1);
        with_a_good_one.push(("d", "Odd Ada"));
        assert!(takes_rows(&batch(&with_a_good_one), &LastStored::default(), &[], odd));
    }

    #[test]
    fn a_customer_whom_a_table_does_not_take_is_not_the_tables_fault_where_it_takes_another() {
        let batch = batch(&[("42", "Ada"), ("42", "Grace")]);
        // One is shut out, who had rows before.
        assert!(takes_rows(&batch, &stored("42", "Ada"), &[("42", "Ada")], |row| row.customer_id != "42"));
        // Only one is let in: known from a row of this lane's, or from the table.
        let only_seven = |row: Row<'_>| row.customer_id == "7";
        assert!(takes_rows(&batch, &stored("7", "Ada"), &[], only_seven));
        assert!(takes_rows(&batch, &LastStored::default(), &[("1", "Ada"), ("7", "Ada")], only_seven));
        assert!(!takes_rows(&batch, &LastStored::default(), &[], only_seven));
    }

    #[test]
    fn of_many_customers_some_are_tried_and_not_all_from_the_beginning() {
        let names: Vec<String> = (0..1_000).map(|n| format!("c{n:04}")).collect();
        let rows: Vec<_> = names.iter().map(|name| (name.as_str(), "poison")).collect();
        let tried = of_batch(&batch(&rows), id(1_000), &LastStored::default());
        assert!(tried.len() <= 2 * CUSTOMERS, "{}", tried.len());
        assert!(tried.iter().any(|row| row.customer_id > "c0900"));
        assert!(of_batch(&Rows::new(), id(0), &LastStored::default()).is_empty());
    }
}
