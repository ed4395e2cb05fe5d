//! When each parcel of a phase is meant to start, and which is the last. No I/O, no clock.

use std::time::Duration;

use crate::phase::Phase;

/// Counts that a division of fractions leaves a hair above a whole number are that whole number.
const HAIR: f64 = 1e-6;

/// A phase, cut into parcels that are numbered from 0.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    per_parcel: u32,
    rate: Option<f64>,
    seconds: Option<f64>,
    /// Events in all; `None`: as many as the time allows.
    events: Option<u64>,
}

impl Schedule {
    /// The schedule of a phase whose parcels hold so many events each (the last one may hold fewer).
    pub fn new(phase: &Phase, per_parcel: u32) -> Self {
        let in_time = phase.rate.zip(phase.seconds).map(|(rate, seconds)| {
            // A parcel that is meant to start before the end is part of the phase, with all of its events.
            whole((rate * seconds / f64::from(per_parcel) - HAIR).ceil()) * u64::from(per_parcel)
        });
        let events = match (phase.count, in_time) {
            (Some(count), Some(in_time)) => Some(count.min(in_time)),
            (count, in_time) => count.or(in_time),
        };
        Self { per_parcel, rate: phase.rate, seconds: phase.seconds, events }
    }

    /// Events in all; `None` for a closed loop that only time ends.
    pub fn events(&self) -> Option<u64> {
        self.events
    }

    /// How long it lasts at most.
    pub fn seconds(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs_f64)
    }

    /// How many events a parcel holds; `None` for one that is beyond the last.
    pub fn events_of(&self, parcel: u64) -> Option<u32> {
        let Some(events) = self.events else { return Some(self.per_parcel) };
        let left = events.saturating_sub(parcel.saturating_mul(self.per_parcel.into()));
        let events = u32::try_from(left.min(self.per_parcel.into())).expect("no more than a parcel's events, a u32");
        (events > 0).then_some(events)
    }

    /// How long after the phase's beginning a parcel is meant to start; `None` in the closed loop, where it starts when it can.
    pub fn intended(&self, parcel: u64) -> Option<Duration> {
        #[allow(clippy::cast_precision_loss, reason = "a start needs no more than 53 bits")]
        self.rate.map(|rate| Duration::from_secs_f64(parcel as f64 * f64::from(self.per_parcel) / rate))
    }

    /// Whether no further parcel starts after so long.
    pub fn is_over(&self, elapsed: Duration) -> bool {
        self.seconds.is_some_and(|seconds| elapsed.as_secs_f64() >= seconds)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates and times are positive and bounded")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(text: &str, per_parcel: u32) -> Schedule {
        Schedule::new(&text.parse().unwrap(), per_parcel)
    }

    proptest! {
        #[test]
        fn the_parcels_hold_exactly_the_events(count in 1u64..300, per_parcel in 1u32..40) {
            let schedule = schedule(&format!("count={count}"), per_parcel);
            let events: Vec<u32> = (0..).map_while(|parcel| schedule.events_of(parcel)).collect();
            prop_assert_eq!(events.iter().map(|events| u64::from(*events)).sum::<u64>(), count);
            prop_assert!(events.iter().rev().skip(1).all(|events| *events == per_parcel));
        }
    }

    #[test]
    fn starts_are_spread_evenly_by_the_rate_of_events_and_not_of_parcels() {
        let schedule = schedule("rate=50,seconds=1", 10);
        let starts: Vec<_> = (0..3).map(|parcel| schedule.intended(parcel).unwrap().as_millis()).collect();
        assert_eq!(starts, [0, 200, 400]);
        assert_eq!(schedule.events(), Some(50));
    }

    #[test]
    fn time_and_rate_say_how_many_there_are_also_where_both_are_fractions() {
        assert_eq!(schedule("rate=0.1,seconds=30", 1).events(), Some(3));
        assert_eq!(schedule("rate=0.1,seconds=31", 1).events(), Some(4));
        assert_eq!(schedule("rate=100,seconds=10,count=7", 1).events(), Some(7));
    }

    #[test]
    fn the_closed_loop_has_no_intended_starts_and_ends_by_time_alone() {
        let schedule = schedule("seconds=2", 1);
        assert_eq!((schedule.intended(5), schedule.events(), schedule.events_of(u64::MAX)), (None, None, Some(1)));
        assert!(!schedule.is_over(Duration::from_millis(1_999)) && schedule.is_over(Duration::from_secs(2)));
    }
}
