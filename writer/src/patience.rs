//! When a lane that is full has made the others wait for long enough.

use std::time::Duration;

use tokio::time::Instant;

/// A budget of time in which one full lane kept the reader from lanes that had nothing to do.
///
/// While every other lane has work of its own, waiting costs nobody anything and is not counted: that is back pressure,
/// not a bad shard. What is used up comes back at a tenth of the speed of time, so a lane that is slow again and again is
/// found as surely as one that hangs once.
#[derive(Debug, Clone)]
pub struct Patience {
    limit: Duration,
    used: Duration,
    seen: Instant,
}

impl Patience {
    /// All of it is left.
    pub fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, used: Duration::ZERO, seen: now }
    }

    /// A wait of `waited` that kept others from work. True where that was too much: then the budget is whole again.
    pub fn waited(&mut self, waited: Duration, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.seen).saturating_sub(waited);
        self.used = self.used.saturating_sub(since / 10) + waited;
        self.seen = now;
        if self.used >= self.limit {
            self.used = Duration::ZERO;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(50);

    #[test]
    fn one_long_wait_and_many_short_ones_both_use_it_up() {
        let mut now = Instant::now();
        let mut hanging = Patience::new(Duration::from_secs(1), now);
        let mut ticks = 0;
        while !hanging.waited(TICK, {
            now += TICK;
            now
        }) {
            ticks += 1;
        }
        assert_eq!(ticks, 19);

        // Waiting half of the time is found, though later; waiting for a twentieth of it is not.
        let mut slow = Patience::new(Duration::from_secs(1), now);
        assert!((0..100).any(|_| slow.waited(TICK, {
            now += 2 * TICK;
            now
        })));
        let mut fair = Patience::new(Duration::from_secs(1), now);
        assert!(!(0..10_000).any(|_| fair.waited(TICK, {
            now += 20 * TICK;
            now
        })));
    }
}
