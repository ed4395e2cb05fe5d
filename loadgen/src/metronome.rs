//! The clock of the open loop: one turn for each parcel, at the moment that it is due.
//!
//! tokio's timer knows whole milliseconds and is late by up to two of them, which is longer than storing an event takes here; that would
//! be counted as the server's. A thread that sleeps is late by a tenth of one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use crate::schedule::Schedule;

/// The thread sleeps so long at least: all that is due by then gets its turn at once. Shorter: at high rates the clock takes the processor
/// from what is measured.
const SHORTEST: Duration = Duration::from_micros(100);
/// And so long at most, so that it ends soon after its phase.
const LONGEST: Duration = Duration::from_millis(100);

/// Turns of one phase. Dropping it ends its thread.
#[derive(Debug)]
pub struct Metronome {
    turns: Arc<Semaphore>,
    ended: Arc<AtomicBool>,
}

impl Metronome {
    /// Starts it, if the phase has a rate: in the closed loop nobody waits for a turn.
    pub fn start(schedule: Schedule, begun: Instant) -> Self {
        let metronome = Self { turns: Arc::new(Semaphore::new(0)), ended: Arc::default() };
        let (turns, ended) = (Arc::clone(&metronome.turns), Arc::clone(&metronome.ended));
        if schedule.intended(0).is_some() {
            thread::spawn(move || tick(&schedule, begun, &turns, &ended));
        }
        metronome
    }

    /// Waits for a turn. They are given in the order in which they were asked for. May be cancelled.
    pub async fn turn(&self) {
        self.turns.acquire().await.expect("nobody closes it").forget();
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn tick(schedule: &Schedule, begun: Instant, turns: &Semaphore, ended: &AtomicBool) {
    let due = |parcel| schedule.events_of(parcel).and_then(|_| schedule.intended(parcel)).map(|offset| begun + offset);
    let mut given = 0;
    while let Some(next) = due(given)
        && !ended.load(Ordering::Relaxed)
    {
        let now = Instant::now();
        let missed = (given..).take_while(|parcel| due(*parcel).is_some_and(|due| due <= now)).count();
        if missed == 0 {
            thread::sleep((next - now).clamp(SHORTEST, LONGEST));
        }
        turns.add_permits(missed);
        given += missed as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(phase: &str) -> (Metronome, Instant) {
        let begun = Instant::now();
        (Metronome::start(Schedule::new(&phase.parse().unwrap(), 1), begun), begun)
    }

    #[tokio::test]
    async fn no_turn_comes_before_it_is_due_and_there_is_one_for_each_parcel() {
        let (metronome, begun) = start("rate=1000,count=50");
        for parcel in 0..50 {
            metronome.turn().await;
            assert!(begun.elapsed() >= Duration::from_millis(parcel), "parcel {parcel} after {:?}", begun.elapsed());
        }
        let more = tokio::time::timeout(Duration::from_millis(50), metronome.turn()).await;
        assert!(more.is_err(), "a turn without a parcel");
    }

    #[tokio::test]
    async fn its_thread_ends_with_its_phase() {
        let (metronome, _) = start("rate=0.001,count=2");
        metronome.turn().await;
        let turns = Arc::downgrade(&metronome.turns);
        drop(metronome);
        while turns.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
