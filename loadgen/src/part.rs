//! What came of a run, or of one of its phases, in numbers.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::tally::Tally;

/// What a run or a phase did.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Events that are stored.
    pub accepted: u64,
    /// Events that are not, or of which nobody knows, or whose answer was wrong.
    pub failed: u64,
    /// The latter by cause: an HTTP status, or a word.
    pub failures: BTreeMap<String, u64>,
    /// Bad events (`--bad`) that were refused, as they should be.
    pub rejected: u64,
    /// Bad events in the journal (over NATS nobody refuses them); each has to become a dead letter.
    pub bad_published: u64,
    /// Requests that were begun; one that was sent twice counts once.
    pub requests: u64,
    /// Requests that were sent twice and answered the second time as the first time.
    pub replayed: u64,
    /// How long it took, to the last answer.
    pub seconds: f64,
    /// Accepted events per second.
    pub rate: f64,
    /// How long accepted requests took: from the start that was meant (open loop) to the acknowledgement of storage.
    pub latency_us: Latency,
    /// How far starts were behind what was meant; all 0 in the closed loop.
    pub starts: Starts,
    /// Of the requests that asked to be told of the commit.
    pub commits: Commits,
}

/// How far starts were behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Starts {
    /// Requests that started 5 ms or more after they were meant to. Their latency includes the wait.
    pub late: u64,
    /// The longest wait.
    pub worst_lag_us: u64,
    /// Events that were meant to start and did not before their phase was over. They are in no other count.
    pub never: u64,
}

/// Of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Commits {
    /// Requests that were told of the commit.
    pub committed: u64,
    /// Requests that were accepted, and were not told in time.
    pub not_committed_in_time: u64,
    /// How long it took from the start that was meant to the commit.
    pub latency_us: Latency,
}

/// Quantiles, in microseconds; all 0 where there was nothing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// One in ten took longer.
    pub p90: u64,
    /// One in a hundred took longer.
    pub p99: u64,
    /// One in a thousand took longer.
    #[serde(rename = "p99.9")]
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

impl Part {
    /// Sums up what came of requests; `never`: events that did not start.
    pub fn new(tally: &Tally, took: Duration, never: u64) -> Self {
        let seconds = took.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
        let rate = if seconds > 0.0 { tally.accepted as f64 / seconds } else { 0.0 };
        Self {
            accepted: tally.accepted,
            failed: tally.failed(),
            failures: tally.failures.iter().map(|(cause, failures)| (cause.clone(), failures.events)).collect(),
            rejected: tally.rejected,
            bad_published: tally.bad_published,
            requests: tally.requests,
            replayed: tally.replayed,
            seconds,
            rate,
            latency_us: Latency::of(&tally.latency_us),
            starts: Starts {
                late: tally.late,
                worst_lag_us: u64::try_from(tally.worst_lag.as_micros()).unwrap_or(u64::MAX),
                never,
            },
            commits: Commits {
                committed: tally.commit_us.len(),
                not_committed_in_time: tally.not_committed_in_time,
                latency_us: Latency::of(&tally.commit_us),
            },
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let quantile = |q| histogram.value_at_quantile(q);
        Self {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            max: histogram.max(),
        }
    }

    /// Each quantile under its name.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [("p50", self.p50), ("p90", self.p90), ("p99", self.p99), ("p99.9", self.p99_9), ("max", self.max)]
    }
}
