//! What came of a run's requests.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::outcome::{Answer, Commit, Failure, Fate};

/// Latencies are told apart from one microsecond to ten minutes; what is longer counts as ten minutes.
const LONGEST_US: u64 = 600_000_000;

/// A start so much behind what was intended counts as late. Less would count the timer's own steps of a millisecond.
pub const LATE: Duration = Duration::from_millis(5);

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
    /// Requests that were begun.
    pub requests: u64,
    /// Events that are stored.
    pub accepted: u64,
    /// Bad events that were refused, as they should be.
    pub rejected: u64,
    /// Bad events in the journal, which have to become dead letters.
    pub bad_published: u64,
    /// Requests that were sent twice, and whose second answer was the first one.
    pub replayed: u64,
    /// Events that are not accepted, by cause.
    pub failures: BTreeMap<String, Failures>,
    /// How long acceptance took from the intended start, in microseconds.
    pub latency_us: Histogram<u64>,
    /// How long the commit took from the intended start, in microseconds.
    pub commit_us: Histogram<u64>,
    /// Accepted requests that asked for the commit, and were not told in time.
    pub not_committed_in_time: u64,
    /// Requests that started late.
    pub late: u64,
    /// The longest that a start was behind.
    pub worst_lag: Duration,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds and digits are in range");
        Self {
            requests: 0,
            accepted: 0,
            rejected: 0,
            bad_published: 0,
            replayed: 0,
            failures: BTreeMap::new(),
            latency_us: histogram(),
            commit_us: histogram(),
            not_committed_in_time: 0,
            late: 0,
            worst_lag: Duration::ZERO,
        }
    }
}

impl Tally {
    /// Counts one request that was meant to start at `intended`, and did so `lag` later.
    pub fn note(&mut self, intended: Instant, lag: Duration, answer: &Answer) {
        self.requests += 1;
        self.late += u64::from(lag >= LATE);
        self.worst_lag = self.worst_lag.max(lag);
        self.replayed += u64::from(answer.replayed);
        if let Some(at) = answer.accepted_at {
            record(&mut self.latency_us, at - intended);
        }
        match answer.commit {
            Some(Commit::At(at)) => record(&mut self.commit_us, at - intended),
            Some(Commit::NotInTime) => self.not_committed_in_time += 1,
            None => {}
        }
        for fate in &answer.fates {
            match fate {
                Fate::Accepted => self.accepted += 1,
                Fate::Rejected => self.rejected += 1,
                Fate::BadPublished => self.bad_published += 1,
                Fate::Failed(failure) => self.fail(failure),
            }
        }
    }

    /// Adds another tally to this one.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.bad_published += other.bad_published;
        self.replayed += other.replayed;
        for (cause, failures) in &other.failures {
            match self.failures.get_mut(cause) {
                Some(known) => known.events += failures.events,
                None => drop(self.failures.insert(cause.clone(), failures.clone())),
            }
        }
        self.latency_us.add(&other.latency_us).expect("all histograms have the same bounds");
        self.commit_us.add(&other.commit_us).expect("all histograms have the same bounds");
        self.not_committed_in_time += other.not_committed_in_time;
        self.late += other.late;
        self.worst_lag = self.worst_lag.max(other.worst_lag);
    }

    /// Events that were not accepted, though they should be.
    pub fn failed(&self) -> u64 {
        self.failures.values().map(|failures| failures.events).sum()
    }

    /// Events of all requests that were begun.
    pub fn offered(&self) -> u64 {
        self.accepted + self.rejected + self.bad_published + self.failed()
    }

    fn fail(&mut self, failure: &Failure) {
        if let Some(known) = self.failures.get_mut(&failure.cause) {
            known.events += 1;
        } else {
            self.failures.insert(failure.cause.clone(), Failures { events: 1, example: failure.detail.clone() });
        }
    }
}

fn record(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::outcome::Rows;

    /// Notes a request of so many events that was accepted, or failed, after so long.
    pub(crate) fn note(tally: &mut Tally, events: usize, took: Duration, failure: Option<(&str, &str)>) {
        let intended = Instant::now();
        let answer = match failure {
            Some((cause, detail)) => Answer::failed(events, Failure::new(cause, detail, Rows::None)),
            None => Answer { accepted_at: Some(intended + took), ..Answer::now(vec![Fate::Accepted; events]) },
        };
        tally.note(intended, Duration::ZERO, &answer);
    }

    #[test]
    fn two_tallies_add_up_and_keep_the_first_example_of_each_cause() {
        let mut one = Tally::default();
        note(&mut one, 10, Duration::from_millis(1), None);
        note(&mut one, 1, Duration::from_secs(9), Some(("503", "full")));
        let mut two = Tally::default();
        note(&mut two, 5, Duration::from_millis(3), None);
        note(&mut two, 2, Duration::ZERO, Some(("503", "still full")));
        note(&mut two, 4, Duration::ZERO, Some(("timeout", "no answer")));
        one.add(&two);
        assert_eq!((one.accepted, one.failed(), one.offered(), one.requests), (15, 7, 22, 5));
        assert_eq!(one.failures["503"], Failures { events: 3, example: "full".into() });
        assert_eq!(one.latency_us.len(), 2);
        assert!((2_900..=3_100).contains(&one.latency_us.max()), "failures have no latency");
    }

    #[test]
    fn a_latency_beyond_the_histogram_is_counted_as_its_longest() {
        let mut tally = Tally::default();
        note(&mut tally, 1, Duration::from_secs(3_600), None);
        note(&mut tally, 1, Duration::ZERO, None);
        assert_eq!(tally.latency_us.len(), 2);
        assert!(tally.latency_us.max() >= LONGEST_US);
    }

    #[test]
    fn the_time_to_the_commit_is_counted_apart_from_the_time_to_acceptance() {
        let intended = Instant::now();
        let after = |milliseconds| intended + Duration::from_millis(milliseconds);
        let accepted = Answer { accepted_at: Some(after(1)), ..Answer::now(vec![Fate::Accepted]) };
        let mut tally = Tally::default();
        tally.note(intended, Duration::ZERO, &Answer { commit: Some(Commit::At(after(50))), ..accepted.clone() });
        let told_at_once = Answer { accepted_at: None, commit: Some(Commit::At(after(70))), ..accepted.clone() };
        tally.note(intended, Duration::ZERO, &told_at_once);
        tally.note(intended, LATE, &Answer { commit: Some(Commit::NotInTime), ..accepted });
        assert_eq!((tally.latency_us.len(), tally.commit_us.len(), tally.not_committed_in_time), (2, 2, 1));
        assert!(tally.latency_us.max() < 2_000 && tally.commit_us.max() >= 69_000);
        assert_eq!((tally.accepted, tally.late, tally.worst_lag), (3, 1, LATE));
    }
}
