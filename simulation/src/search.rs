//! Many seeds, on several threads.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    oracle::Leniency,
    run::{Ran, run},
};

/// When a search ends.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// After so many seeds.
    pub seeds: Option<u64>,
    /// After that time.
    pub time: Option<Duration>,
    /// After so many seeds that broke something.
    pub broken: usize,
    /// What does not count.
    pub leniency: Leniency,
}

/// What came of a search.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The first seed.
    pub first_seed: u64,
    /// How many seeds ran.
    pub seeds: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How much time went by in the simulations, in seconds.
    pub simulated_seconds: f64,
    /// Operations that had their turn.
    pub turns: u64,
    /// Commits of shards that were checked.
    pub commits: u64,
    /// Answers to those who waited that were checked.
    pub told: u64,
    /// How often each fault happened.
    pub faults: BTreeMap<String, u64>,
    /// What was broken, without the numbers in it, and in how many seeds.
    pub kinds: BTreeMap<String, u64>,
    /// The seeds that broke something, and what.
    pub broken: BTreeMap<u64, String>,
}

impl Report {
    fn add(&mut self, ran: &Ran) {
        self.seeds += 1;
        self.simulated_seconds += ran.simulated.as_secs_f64();
        self.turns += ran.turns;
        self.commits += ran.checked.commits;
        self.told += ran.checked.told;
        for (fault, times) in &ran.faults {
            *self.faults.entry(fault.name()).or_default() += times;
        }
        if let Some(broken) = &ran.broken {
            *self.kinds.entry(kind_of(broken)).or_default() += 1;
            self.broken.insert(ran.seed, broken.clone());
        }
    }
}

/// What was broken, without the numbers: alike for the same mistake in other seeds.
fn kind_of(broken: &str) -> String {
    let mut kind: String = broken.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).take(110).collect();
    while kind.contains("00") {
        kind = kind.replace("00", "0");
    }
    kind
}

/// Runs seed after seed from the first one on, on so many threads, until a limit is reached. `told` hears of each.
///
/// # Panics
/// Where a simulation itself panics.
pub fn search(first_seed: u64, threads: usize, limits: Limits, told: impl Fn(&Ran) + Sync) -> Report {
    let begun = Instant::now();
    let (next, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let report = Mutex::new(Report { first_seed, ..Report::default() });
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let late = limits.time.is_some_and(|limit| begun.elapsed() >= limit);
                    if ended.load(Ordering::Relaxed) || late || limits.seeds.is_some_and(|seeds| number >= seeds) {
                        return;
                    }
                    let ran = run(first_seed.wrapping_add(number), limits.leniency);
                    told(&ran);
                    let mut report = report.lock().expect("no holder of this lock panics");
                    report.add(&ran);
                    if report.broken.len() >= limits.broken {
                        ended.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut report = report.into_inner().expect("no holder of this lock panics");
    report.seconds = begun.elapsed().as_secs_f64();
    report
}
