//! A fixed number of seeds, as CI runs them, and that a seed is always the same.
#![cfg(debug_assertions)]

use std::collections::BTreeSet;

use sluice_simulation::{
    oracle::Leniency,
    run::run,
    search::{Limits, search},
};

/// Fewer: less is searched by everybody's tests. More: they take longer; some 25 seeds a second and processor.
const SEEDS: u64 = 1_500;

#[test]
fn no_seed_of_a_fixed_number_breaks_anything() {
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let limits = Limits { seeds: Some(SEEDS), time: None, broken: 3, leniency: Leniency::default() };
    let report = search(1, threads, limits, |_| {});
    assert!(report.broken.is_empty(), "cargo simulate -- --seed N shows the history of each: {:#?}", report.broken);
    // What it has searched is what it is there to search.
    assert_eq!(report.seeds, SEEDS);
    let faults: BTreeSet<&str> = report.faults.keys().map(String::as_str).collect();
    let all: Vec<String> = sluice_simulation::fault::Fault::ALL.iter().map(|fault| fault.name()).collect();
    assert!(all.iter().all(|fault| faults.contains(fault.as_str())), "these happened: {faults:?}");
    assert!(report.commits > 20 * SEEDS && report.told > 10 * SEEDS, "{report:#?}");
}

#[test]
fn a_seed_is_the_same_history_each_time_and_two_seeds_are_not() {
    let mut hashes = BTreeSet::new();
    for seed in 1..=25 {
        let (one, other) = (run(seed, Leniency::default()), run(seed, Leniency::default()));
        let differs = one.history.lines().iter().zip(other.history.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "of seed {seed}");
        assert_eq!(one.history.hash(), other.history.hash(), "of seed {seed}");
        hashes.insert(one.history.hash());
    }
    assert_eq!(hashes.len(), 25);
}
