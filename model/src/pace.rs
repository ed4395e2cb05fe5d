//! When the next batch may begin, where batches are made of what gathers while the last one is under way.
//!
//! Such batches need no timer where there is little to do, or very much. In between they make too many of themselves: on a busy machine
//! a batch is soon done, few events have gathered, and each of the next ones pays nearly the whole price of a batch (an fsync, a
//! transaction) by itself, which keeps the machine busy. So where the last batch shows that there is load, the next one begins a moment
//! later. A single event never waits. (PostgreSQL does the same with `commit_delay` and `commit_siblings`.)

use std::time::{Duration, Instant};

/// Keeps small batches apart from each other under load.
#[derive(Debug, Clone)]
pub struct Pace {
    apart: Duration,
    load_from: usize,
    large_from: usize,
    next: Option<Instant>,
}

impl Pace {
    /// The beginnings of two batches are so far apart, where the former was made of at least `load_from` pieces, and had fewer than
    /// `large_from` events.
    ///
    /// `apart` too short: batches stay small. Too long: events wait in vain. `load_from` too low: events of a quiet system wait for
    /// others that do not come. Too high: batches that small stay small.
    pub fn new(apart: Duration, load_from: usize, large_from: usize) -> Self {
        Self { apart, load_from, large_from, next: None }
    }

    /// A batch begins now that was made of so many pieces, which hold so many events.
    pub fn begun(&mut self, now: Instant, pieces: usize, events: usize) {
        self.next = (pieces >= self.load_from && events < self.large_from).then(|| now + self.apart);
    }

    /// Until when the next one waits; `None`: it may begin.
    pub fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_waits_only_after_one_that_shows_load_and_was_not_large() {
        let (apart, now) = (Duration::from_millis(2), Instant::now());
        let mut pace = Pace::new(apart, 4, 100);
        assert_eq!(pace.wait_until(now), None, "the first one");
        let cases = [((1, 1), false), ((3, 3), false), ((4, 4), true), ((99, 99), true), ((100, 100), false)];
        // A few pieces may be large.
        for ((pieces, events), waits) in cases.into_iter().chain([((1, 50), false), ((4, 99), true), ((4, 100), false)])
        {
            pace.begun(now, pieces, events);
            assert_eq!(pace.wait_until(now), waits.then_some(now + apart), "after {pieces} of {events}");
            assert_eq!(pace.wait_until(now + apart), None, "long after {pieces} of {events}");
        }
    }
}
