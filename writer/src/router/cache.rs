//! Which customers have been asked about: bounded, and forgetting those that were not seen for longest.
//!
//! Two generations. Who is new, or is seen again, goes into the young one; when that is full, it becomes the old one, and who
//! was in the old one is forgotten. So whoever was among the last, as many as a generation holds, is always known, no
//! entry needs a time, and forgetting costs nothing.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use sluice_model::CustomerId;

/// The least that a generation holds: a chunk's customers have to be known together.
pub const LEAST: usize = 4_000;

/// What is known of customers, by their names.
#[derive(Debug)]
pub struct Cache<T> {
    young: HashMap<CustomerId, T, RandomState>,
    old: HashMap<CustomerId, T, RandomState>,
    generation: usize,
}

impl<T: Copy> Cache<T> {
    /// One that always knows so many customers, those seen last, and no fewer than [`LEAST`]; at most it holds twice as many. Each takes
    /// about 100 bytes.
    pub fn new(customers: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), generation: customers.max(LEAST) }
    }

    /// How many it knows.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether it knows nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a customer is known. If so, it stays so for the next [`LEAST`] other customers at least.
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
        if self.young.len() >= self.generation {
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

    fn of_generation<T>(generation: usize) -> Cache<T> {
        Cache { young: HashMap::default(), old: HashMap::default(), generation }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn it_never_grows_beyond_its_bound_says_only_what_was_said_and_knows_whoever_was_seen_last(
            generation in 1usize..8, seen in prop::collection::vec(0usize..30, 0..200),
        ) {
            let mut cache = of_generation(generation);
            prop_assert!(cache.is_empty());
            let mut met = std::collections::BTreeSet::new();
            let mut last = std::collections::VecDeque::new();
            for number in seen {
                let name = customer(number);
                if !cache.touch(name.as_str()) {
                    prop_assert!(!last.contains(&number), "{} was seen just now", number);
                    cache.insert(name.clone(), number * 7);
                }
                prop_assert_eq!(cache.get(name.as_str()), Some((&name, number * 7)));
                prop_assert!(cache.len() <= 2 * generation && !cache.is_empty());
                met.insert(number);
                prop_assert!(met.len() > generation || cache.len() == met.len());
                last.retain(|seen| *seen != number);
                last.push_back(number);
                if last.len() > generation {
                    last.pop_front();
                }
            }
        }
    }

    #[test]
    fn as_many_as_it_is_made_for_are_known_all_the_time_whatever_the_order() {
        let mut cache = Cache::new(LEAST);
        for number in 0..LEAST {
            assert!(!cache.touch(&format!("c{number}")));
            cache.insert(customer(number), number);
        }
        for round in 1..5 {
            for number in 0..LEAST {
                assert!(cache.touch(&format!("c{number}")), "{number} was forgotten in round {round}");
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
        assert!(cache.len() <= 2 * LEAST);
    }
}
