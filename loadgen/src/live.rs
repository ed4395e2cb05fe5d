//! What is known of a run while it runs.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::outcome::{Answer, Fate};

/// Counts that every task adds to.
#[derive(Debug, Default)]
pub struct Live {
    done: AtomicU64,
    failed: AtomicU64,
    lag_us: AtomicU64,
}

/// What [`Live`] said at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Glance {
    /// Events that anything came of.
    pub done: u64,
    /// Those that failed.
    pub failed: u64,
    /// The worst lag of a start since the last glance.
    pub lag: Duration,
}

impl Live {
    /// Notes a request.
    pub fn note(&self, lag: Duration, answer: &Answer) {
        let failed = answer.fates.iter().filter(|fate| matches!(fate, Fate::Failed(_))).count();
        self.done.fetch_add(answer.fates.len() as u64, Ordering::Relaxed);
        self.failed.fetch_add(failed as u64, Ordering::Relaxed);
        self.lag_us.fetch_max(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Events that anything came of so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How it stands now.
    pub fn glance(&self) -> Glance {
        Glance {
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            lag: Duration::from_micros(self.lag_us.swap(0, Ordering::Relaxed)),
        }
    }
}

impl Glance {
    /// In words, with the rate since an earlier glance.
    pub fn tell(&self, earlier: &Self, elapsed: Duration) -> String {
        #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
        let rate = (self.done - earlier.done) as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
        format!("{rate:.0} events a second, {} failed, {} ms behind", self.failed, self.lag.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Failure, Rows};

    #[test]
    fn a_glance_tells_the_rate_since_the_last_one_all_errors_and_the_lag_since_the_last_one() {
        let live = Live::default();
        live.note(Duration::from_millis(30), &Answer::now(vec![Fate::Accepted; 10]));
        let first = live.glance();
        live.note(Duration::from_millis(3), &Answer::now(vec![Fate::Accepted; 19]));
        live.note(Duration::ZERO, &Answer::failed(1, Failure::new("503", "full", Rows::None)));
        let second = live.glance();
        assert_eq!(second, Glance { done: 30, failed: 1, lag: Duration::from_millis(3) });
        assert_eq!(second.tell(&first, Duration::from_millis(200)), "100 events a second, 1 failed, 3 ms behind");
    }
}
