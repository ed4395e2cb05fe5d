//! How long to wait before trying again.

use std::time::Duration;

use rand::RngExt;
use sluice_failpoint::random_unit;

/// Doubling waits with full jitter between half the step and the step, from a least to a greatest one.
///
/// Source: "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), its "equal jitter".
#[derive(Debug, Clone)]
pub struct Backoff {
    least: Duration,
    greatest: Duration,
    step: Duration,
}

impl Backoff {
    /// Waits of at least `least / 2` and at most `greatest`.
    pub fn new(least: Duration, greatest: Duration) -> Self {
        let least = least.max(Duration::from_millis(1));
        Self { least, greatest: greatest.max(least), step: least }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let step = self.step;
        self.step = (step * 2).min(self.greatest);
        step.mul_f64(0.5 + 0.5 * random_unit(|| rand::rng().random_range(0.0..=1.0)))
    }

    /// After a success: begin again with the least wait.
    pub fn reset(&mut self) {
        self.step = self.least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_greatest_and_begin_again_after_a_success() {
        let (least, greatest) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(least, greatest);
        let waits: Vec<_> = (0..20).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] <= least && waits[0] >= least / 2);
        assert!(waits[10..].iter().all(|wait| *wait >= greatest / 2 && *wait <= greatest));
        backoff.reset();
        assert!(backoff.next_wait() <= least);
    }
}
