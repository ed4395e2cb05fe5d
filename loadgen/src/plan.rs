//! Which events a run makes.

use sluice_model::CustomerId;

use crate::people;

/// What a run is going to offer: parcels, numbered from 0, for its customers in turn.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The customers, at least one.
    pub customers: Vec<CustomerId>,
    /// Events in all.
    pub count: u64,
    /// Events of each parcel but the last; at least 1.
    pub events_per_parcel: u32,
    /// No bodies: ingest makes the persons.
    pub empty_body: bool,
    /// The same seed makes the same persons.
    pub seed: u64,
}

/// What one request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel<'a> {
    /// Whose events they are.
    pub customer: &'a CustomerId,
    /// How many.
    pub events: u32,
    /// The events, one JSON object a line; empty where ingest makes the person.
    pub payload: Vec<u8>,
}

impl Plan {
    /// How many parcels there are.
    pub fn parcels(&self) -> u64 {
        self.count.div_ceil(self.events_per_parcel.into())
    }

    /// The parcel of that number.
    ///
    /// # Panics
    /// Where there is none.
    pub fn parcel(&self, number: u64) -> Parcel<'_> {
        assert!(number < self.parcels(), "a plan has no parcels beyond its count");
        let per_parcel = u64::from(self.events_per_parcel);
        let left = self.count - number * per_parcel;
        let events = u32::try_from(left.min(per_parcel)).expect("no more than a parcel's events, a u32");
        let turn = number % self.customers.len() as u64;
        let customer = &self.customers[usize::try_from(turn).expect("less than a list's length")];
        let payload = if self.empty_body { Vec::new() } else { people::message(self.seed, number, events) };
        Parcel { customer, events, payload }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parcels_hold_exactly_the_events_and_go_to_the_customers_in_turn(
            count in 0u64..300, events_per_parcel in 1u32..40, customers in 1usize..5,
        ) {
            let customers: Vec<CustomerId> = (1..=customers).map(|n| n.to_string().parse().unwrap()).collect();
            let plan = Plan { customers: customers.clone(), count, events_per_parcel, empty_body: true, seed: 1 };
            let parcels: Vec<_> = (0..plan.parcels()).map(|number| plan.parcel(number)).collect();
            prop_assert_eq!(parcels.iter().map(|parcel| u64::from(parcel.events)).sum::<u64>(), count);
            prop_assert!(parcels.iter().all(|parcel| parcel.events > 0));
            for (parcel, customer) in parcels.iter().zip(customers.iter().cycle()) {
                prop_assert_eq!(parcel.customer, customer);
            }
        }
    }
}
