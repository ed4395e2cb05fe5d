//! What came of a run's requests.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

/// Latencies are told apart from one microsecond to ten minutes; what is longer counts as ten minutes.
const LONGEST_US: u64 = 600_000_000;

/// A request that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failures are counted by: an HTTP status, or a word.
    pub cause: String,
    /// What was said, for people.
    pub detail: String,
}

/// The failures of one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// How many events.
    pub events: u64,
    /// What was said the first time.
    pub example: String,
}

/// Counts and latencies. Each task has its own; they are added up in the end.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Events that are stored.
    pub accepted: u64,
    /// The others, by cause.
    pub failures: BTreeMap<String, Failures>,
    /// How long each accepted request took, in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds and digits are in range");
        Self { accepted: 0, failures: BTreeMap::new(), latency_us }
    }
}

impl Tally {
    /// Counts one request.
    pub fn note(&mut self, events: u32, took: Duration, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => {
                self.accepted += u64::from(events);
                self.latency_us.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
            }
            Err(failure) => self.fail(failure.cause, events.into(), failure.detail),
        }
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        for (cause, failures) in other.failures {
            self.fail(cause, failures.events, failures.example);
        }
        self.latency_us.add(other.latency_us).expect("all histograms have the same bounds");
    }

    /// Events that were not accepted.
    pub fn failed(&self) -> u64 {
        self.failures.values().map(|failures| failures.events).sum()
    }

    fn fail(&mut self, cause: String, events: u64, detail: String) {
        self.failures.entry(cause).or_insert(Failures { events: 0, example: detail }).events += events;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tallies_add_up_and_keep_the_first_example_of_each_cause() {
        let failure = |cause: &str, detail: &str| Err(Failure { cause: cause.into(), detail: detail.into() });
        let mut one = Tally::default();
        one.note(10, Duration::from_millis(1), Ok(()));
        one.note(1, Duration::from_secs(9), failure("503", "full"));
        let mut two = Tally::default();
        two.note(5, Duration::from_millis(3), Ok(()));
        two.note(2, Duration::ZERO, failure("503", "still full"));
        two.note(4, Duration::ZERO, failure("timeout", "no answer"));
        one.add(two);
        assert_eq!((one.accepted, one.failed()), (15, 7));
        assert_eq!(one.failures["503"], Failures { events: 3, example: "full".into() });
        assert_eq!(one.latency_us.len(), 2);
        assert!((2_900..=3_100).contains(&one.latency_us.max()), "failures have no latency");
    }

    #[test]
    fn a_latency_beyond_the_histogram_is_counted_as_its_longest() {
        let mut tally = Tally::default();
        tally.note(1, Duration::from_secs(3_600), Ok(()));
        tally.note(1, Duration::ZERO, Ok(()));
        assert_eq!(tally.latency_us.len(), 2);
        assert!(tally.latency_us.max() >= LONGEST_US);
    }
}
