//! What was measured, and whether it is good.

use std::{fmt, time::Duration};

use crate::arrivals::{Arrival, percentile};

/// From publishing until the row was seen, of one stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Rows that were looked for and seen.
    pub rows: usize,
    /// Of half of them no more.
    pub p50: Duration,
    /// Of 99 % of them no more.
    pub p99: Duration,
    /// Of none of them more.
    pub max: Duration,
}

impl Latencies {
    pub(super) fn of(arrivals: &[Arrival]) -> Self {
        let at = |percent| percentile(arrivals, percent).unwrap_or_default();
        Self { rows: arrivals.len(), p50: at(50.0), p99: at(99.0), max: at(100.0) }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Events that JetStream acknowledged.
    pub sent: u64,
    /// Events that it did not.
    pub unknown: u64,
    /// The shards that stayed up, while all was well.
    pub before: Latencies,
    /// The same shards, while the third one was down.
    pub down: Latencies,
    /// The same shards, while the third one caught up.
    pub catching_up: Latencies,
    /// The writer's memory before the load.
    pub idle_bytes: u64,
    /// The most while the shard was down.
    pub most_resident_bytes: u64,
    /// The most of all: also while the shard caught up.
    pub peak_bytes: u64,
    /// What it may be.
    pub bound_bytes: u64,
    /// From the moment the server was killed until it let clients in again.
    pub away: Duration,
    /// From then until its rows came soon again.
    pub level_after: Duration,
    /// Whether every event is exactly one row.
    pub verified: bool,
}

impl Figures {
    /// What is not as it should be; `noise` is a p99 that says nothing on this machine, however small the one before was.
    pub fn complaints(&self, noise: Duration) -> Vec<String> {
        let checks = [
            (!self.verified, "rows are wrong"),
            (self.unknown > 0, "events were not acknowledged"),
            (self.before.rows == 0 || self.down.rows == 0, "no rows were seen"),
            (
                self.down.p99 > noise.max(2 * self.before.p99),
                "the p99 of the other shards was more than twice what it was before",
            ),
            (self.peak_bytes > self.bound_bytes, "the writer took more memory than its configuration allows"),
            (self.level_after >= self.away, "the shard was level later than it had been away"),
        ];
        checks.iter().filter(|(bad, _)| *bad).map(|(_, what)| (*what).to_owned()).collect()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes / (1 << 20);
        writeln!(f, "{} events; the two shards that stayed up, from publishing to a visible row:", self.sent)?;
        let stretches = [("before", self.before), ("third down", self.down), ("third catching up", self.catching_up)];
        for (when, Latencies { rows, p50, p99, max }) in stretches {
            writeln!(f, "  {when:<18} {rows:>7} rows looked for, p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}")?;
        }
        writeln!(
            f,
            "the writer's memory: {} MiB idle, {} MiB at most while it was down, {} MiB at most of all; {} MiB is the bound",
            mib(self.idle_bytes),
            mib(self.most_resident_bytes),
            mib(self.peak_bytes),
            mib(self.bound_bytes)
        )?;
        write!(f, "the third shard was away for {:.1?}, and level {:.1?} after", self.away, self.level_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(p99_ms: u64) -> Latencies {
        Latencies { rows: 1, p99: Duration::from_millis(p99_ms), ..Latencies::default() }
    }

    #[test]
    fn what_is_twice_as_slow_too_large_or_level_too_late_is_named() {
        let good = Figures {
            sent: 1,
            unknown: 0,
            before: latencies(10),
            down: latencies(20),
            catching_up: Latencies::default(),
            idle_bytes: 0,
            most_resident_bytes: 0,
            peak_bytes: 5,
            bound_bytes: 5,
            away: Duration::from_secs(2),
            level_after: Duration::from_secs(1),
            verified: true,
        };
        assert!(good.complaints(Duration::ZERO).is_empty());
        let bad = Figures { down: latencies(21), peak_bytes: 6, level_after: good.away, verified: false, ..good };
        assert_eq!(bad.complaints(Duration::ZERO).len(), 4);
        assert_eq!(bad.complaints(Duration::from_millis(21)).len(), 3);
    }
}
