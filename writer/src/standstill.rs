//! How long somebody who reads a partition has stood still, although there is more to read. No I/O.
//!
//! A consumer that still sends heartbeats may give nothing (somebody paused it, or its server has
//! lost track of it). So a reader goes by its own progress: its position, compared with the
//! journal's end as the stream itself tells it.

use std::time::Duration;

use sluice_model::Position;
use tokio::time::Instant;

/// Since when a reader has stood at one position with more to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standstill(Option<(Position, Instant)>);

impl Standstill {
    /// Notes where the reader is (the last position that it has read) and where the journal ends.
    /// Returns how long it has stood there; zero while there is nothing to read.
    pub fn look(&mut self, read: Position, end: Option<Position>, now: Instant) -> Duration {
        if end.is_none_or(|end| end <= read) {
            self.0 = None;
            return Duration::ZERO;
        }
        match self.0 {
            Some((position, since)) if position == read => now.saturating_duration_since(since),
            _ => {
                self.0 = Some((read, now));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_stands_still_only_while_it_stays_where_it_is_and_there_is_more() {
        let at = |n| Position::new(n).unwrap();
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut standstill = Standstill::default();
        assert_eq!(standstill.look(at(7), Some(at(7)), begun), Duration::ZERO, "it has read everything");
        assert_eq!(standstill.look(at(7), Some(at(8)), after(100)), Duration::ZERO, "only now is there more");
        assert_eq!(standstill.look(at(7), Some(at(9)), after(103)), Duration::from_secs(3));
        assert_eq!(standstill.look(at(8), Some(at(9)), after(104)), Duration::ZERO, "it moves");
        assert_eq!(standstill.look(at(8), Some(at(9)), after(106)), Duration::from_secs(2));
        assert_eq!(standstill.look(at(8), None, after(107)), Duration::ZERO, "nobody knows of more");
        assert_eq!(standstill.look(at(8), Some(at(9)), after(108)), Duration::ZERO);
    }
}
