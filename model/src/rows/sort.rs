//! The order of the shards' primary key.
//!
//! Rows come message by message, so as runs of one customer's with rising ids. Runs are sorted instead of rows, and by the
//! beginnings of customers' names as numbers: what is compared lies side by side, and not all over the texts.

use super::Place;
use crate::EventId;

/// So many first bytes of a customer's name are compared as a number.
const PREFIX: usize = size_of::<u128>();

/// Rows one after the other of the same customer, with rising ids.
struct Run {
    /// Its customer's first bytes, filled up with zeros: no name holds one.
    prefix: u128,
    first: EventId,
    start: u32,
    len: u32,
}

/// The places in the order of customers as bytes, then ids. `text` is what they are places in.
pub(super) fn sorted(text: &[u8], places: &[Place]) -> Vec<Place> {
    let customer = |place: &Place| &text[place.start..place.start + place.customer_bytes as usize];
    let mut runs: Vec<Run> = Vec::new();
    let mut last: Option<(&[u8], EventId)> = None;
    for (index, place) in places.iter().enumerate() {
        let name = customer(place);
        match (runs.last_mut(), last) {
            (Some(run), Some((of, id))) if of == name && id < place.id => run.len += 1,
            _ => {
                let start = u32::try_from(index).expect("a batch's rows are far fewer than 4 billion");
                runs.push(Run { prefix: prefix(name), first: place.id, start, len: 1 });
            }
        }
        last = Some((name, place.id));
    }
    runs.sort_unstable_by_key(|run| (run.prefix, run.first));
    let mut sorted: Vec<Place> = Vec::with_capacity(places.len());
    sorted.extend(runs.iter().flat_map(|run| &places[run.start as usize..][..run.len as usize]));
    // Names that begin alike for longer than that, and a customer's runs that lie within each other, are still mixed. A sort that
    // makes use of what is sorted already puts them right.
    let key = |place: &Place| (customer(place), place.id);
    let (mut next, mut mixed) = (0, false);
    for pair in runs.windows(2) {
        next += pair[0].len as usize;
        mixed |= pair[0].prefix == pair[1].prefix && key(&sorted[next - 1]) > key(&sorted[next]);
    }
    if mixed {
        sorted.sort_by(|a, b| key(a).cmp(&key(b)));
    }
    sorted
}

fn prefix(name: &[u8]) -> u128 {
    let mut bytes = [0; PREFIX];
    let taken = name.len().min(PREFIX);
    bytes[..taken].copy_from_slice(&name[..taken]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{Partition, Person, Position, Rows};

    /// Names of few letters, so that many are the same, or each other's beginnings; some longer than a prefix, some as long.
    fn name() -> impl Strategy<Value = String> {
        let stem = prop_oneof![Just(""), Just("customer-number-"), Just("customer-number"), Just("customer-numbe")];
        (stem, "[abA0]{1,2}").prop_map(|(stem, end)| format!("{stem}{end}"))
    }

    proptest! {
        #[test]
        fn rows_stand_in_the_order_of_the_primary_key_and_are_the_same_rows(
            runs in prop::collection::vec((name(), 1usize..6, any::<bool>()), 0..60),
            order in any::<prop::sample::Index>(),
        ) {
            let (mut rows, mut expected) = (Rows::new(), Vec::new());
            let count: usize = runs.iter().map(|(_, len, _)| len).sum();
            // From any position on and around, so that some ids fall: as they do nowhere but here.
            let turned = order.index(count.max(1));
            let mut number = 0;
            for (customer, len, whole) in &runs {
                for index in 0..*len {
                    let place = (number + turned) % count;
                    let id = Position::new(place as u64 + 1).unwrap().event(if *whole { index } else { 5 - index });
                    let person = Person { name: format!("{number} of {customer}").into(), address: "x".into() };
                    rows.push(&customer.parse().unwrap(), id, &person);
                    expected.push((customer.clone(), id, person.name.into_owned()));
                    number += 1;
                }
            }
            expected.sort();
            rows.sort();
            let found: Vec<_> = rows.iter().map(|row| (row.customer_id.to_owned(), row.id, row.name.to_owned())).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_customer_whose_ids_come_mixed_is_sorted_all_the_same() {
        let mut rows = Rows::new();
        let first = Position::first(Partition::new(0));
        let person = Person { name: "n".into(), address: "x".into() };
        for (customer, index) in [("b", 1), ("b", 4), ("a", 9), ("b", 2), ("b", 3), ("ab", 0), ("B", 7)] {
            rows.push(&customer.parse().unwrap(), first.event(index), &person);
        }
        rows.sort();
        let keys: Vec<_> = rows.iter().map(|row| (row.customer_id, row.id.index())).collect();
        assert_eq!(keys, [("B", 7), ("a", 9), ("ab", 0), ("b", 1), ("b", 2), ("b", 3), ("b", 4)]);
    }
}
