//! Which customers have been asked about: bounded, and forgetting those that were not seen for longest.
//!
//! Two halves. What is new, or is seen again, goes into the young one; when that is full, it becomes the old one, and what
//! was in the old one is forgotten. So whoever was among the last (half as many as there is room for) is always known, no
//! entry needs a time, and forgetting costs nothing.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use sluice_model::CustomerId;

/// The least that a cache holds: a chunk's customers have to be known together.
pub const LEAST: usize = 4_000;

/// What is known of customers, by their names.
#[derive(Debug)]
pub struct Cache<T> {
    young: HashMap<CustomerId, T, RandomState>,
    old: HashMap<CustomerId, T, RandomState>,
    half: usize,
}

impl<T: Copy> Cache<T> {
    /// One that holds so many customers at most, and no fewer than [`LEAST`]. Each takes about 150 bytes.
    pub fn new(customers: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), half: customers.max(LEAST) / 2 }
    }

    /// How many it knows.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether it knows nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a customer is known. If so, it stays so for the next half of [`LEAST`] other customers at least.
    pub fn touch(&mut self, customer: &str) -> bool {
        if self.young.contains_key(customer) {
            return true;
        }
        let Some((customer, known)) = self.old.remove_entry(customer) else { return false };
        self.insert(customer, known);
        true
    }

    /// What is known of a customer, and its name to be shared.
    pub fn get(&self, customer: &str) -> Option<(&CustomerId, T)> {
        let found = self.young.get_key_value(customer).or_else(|| self.old.get_key_value(customer));
        found.map(|(customer, known)| (customer, *known))
    }

    /// Something new.
    pub fn insert(&mut self, customer: CustomerId, known: T) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(customer, known);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn customer(number: usize) -> CustomerId {
        format!("c{number}").parse().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn it_never_grows_beyond_its_bound_says_only_what_was_said_and_knows_whoever_was_seen_last(
            seen in prop::collection::vec(0usize..9_000, 0..20_000),
        ) {
            let mut cache = Cache::new(LEAST);
            let mut last = std::collections::VecDeque::new();
            for number in seen {
                let name = customer(number);
                if !cache.touch(name.as_str()) {
                    prop_assert!(!last.contains(&number), "{} was seen just now", number);
                    cache.insert(name.clone(), number * 7);
                }
                prop_assert_eq!(cache.get(name.as_str()), Some((&name, number * 7)));
                prop_assert!(cache.len() <= LEAST);
                last.push_back(number);
                if last.len() > 30 {
                    last.pop_front();
                }
            }
        }
    }

    #[test]
    fn whoever_is_seen_again_and_again_is_never_forgotten() {
        let mut cache = Cache::new(LEAST);
        cache.insert(customer(0), 0);
        for number in 1..10 * LEAST {
            cache.insert(customer(number), number);
            assert!(cache.touch("c0"), "forgotten after {number} others");
        }
        assert!(!cache.touch("c1"));
        assert!(cache.len() <= LEAST);
    }
}
