//! A contiguous range of positions, as it was read.

use std::sync::Arc;

use sluice_journal::Message;
use sluice_model::{Partition, Place, Position};

/// A contiguous range of one partition's positions, with the stamp of every message in it and of the one before.
///
/// The stamps say which history the range was read from: a journal that lost its end gives positions a second time.
/// Whatever follows on a range, or is covered by it, is compared by position and stamp. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct PositionRange {
    after: Place,
    last: Place,
    /// The stamps of the messages behind `after`, in order; a piece for each chunk that was read.
    stamps: Vec<Arc<[i64]>>,
    /// The positions in it whose messages are lost, in order. A shard passes them only where that
    /// was accepted for it.
    lost: Vec<LostRun>,
}

/// A range of positions whose messages are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostRun {
    /// It begins behind this position.
    pub after: Position,
    /// Its last position.
    pub through: Position,
}

impl PositionRange {
    /// The range of a chunk that was read behind `after`; `None` where the chunk is empty.
    pub fn of(after: Place, chunk: &[Message]) -> Option<Self> {
        let last = chunk.last()?.place();
        let mut lost = Vec::new();
        for message in chunk.iter().filter(|message| message.lost) {
            add(&mut lost, LostRun { after: message.position.previous(), through: message.position });
        }
        Some(Self { after, last, stamps: vec![chunk.iter().map(|message| message.stamp).collect()], lost })
    }

    /// A range with these stamps behind `after`; `None` where there are none.
    pub fn with_stamps(after: Place, stamps: &[i64]) -> Option<Self> {
        let position = Position::new(after.position.get() + stamps.len() as u64)?;
        let last = Place { position, stamp: *stamps.last()? };
        Some(Self { after, last, stamps: vec![stamps.into()], lost: Vec::new() })
    }

    /// The partition.
    pub fn partition(&self) -> Partition {
        self.last.position.partition()
    }

    /// What stands before it.
    pub fn after(&self) -> Place {
        self.after
    }

    /// Its first position.
    pub fn first(&self) -> Position {
        self.after.position.next()
    }

    /// Its last message.
    pub fn last(&self) -> Place {
        self.last
    }

    /// The stamp that the message at a position has in this history: of the range itself, or of what stands just before it.
    pub fn stamp(&self, position: Position) -> Option<i64> {
        if position == self.after.position {
            return Some(self.after.stamp);
        }
        let mut index = usize::try_from(position.get().checked_sub(self.first().get())?).ok()?;
        for piece in &self.stamps {
            match piece.get(index) {
                Some(stamp) => return Some(*stamp),
                None => index -= piece.len(),
            }
        }
        None
    }

    /// Adds what comes next.
    ///
    /// # Panics
    /// Where `next` does not follow on it: nothing that is made of such work may reach a shard.
    pub fn append(&mut self, next: &Self) {
        assert!(self.last.agrees_with(next.after), "{:?} does not follow on {:?}", next.after, self.last);
        self.stamps.extend(next.stamps.iter().cloned());
        next.lost.iter().for_each(|lost| add(&mut self.lost, *lost));
        self.last = next.last;
    }

    /// What is lost of it behind a position.
    pub fn lost_behind(&self, stored: Position) -> impl Iterator<Item = LostRun> {
        let behind = self.lost.iter().filter(move |lost| lost.through > stored);
        behind.map(move |lost| LostRun { after: lost.after.max(stored), through: lost.through })
    }

    /// The memory of its stamps.
    pub fn bytes(&self) -> usize {
        let messages = self.last.position.get() - self.after.position.get();
        usize::try_from(messages).map_or(usize::MAX, |messages| messages.saturating_mul(size_of::<i64>()))
    }
}

/// Adds a lost range to others that stand before it.
fn add(all: &mut Vec<LostRun>, lost: LostRun) {
    match all.last_mut().filter(|last| last.through == lost.after) {
        Some(last) => last.through = lost.through,
        None => all.push(lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(sequence: u64, lost: bool) -> Message {
        let Place { position, stamp } = at(sequence, 1);
        Message { position, stamp, subject: "".into(), headers: None, payload: bytes::Bytes::new(), lost }
    }

    #[test]
    fn a_range_knows_what_is_lost_of_it_behind_what_a_shard_has() {
        let chunk = |sequences: std::ops::RangeInclusive<u64>| {
            sequences.map(|n| message(n, matches!(n, 6..=9 | 11))).collect::<Vec<_>>()
        };
        let mut range = PositionRange::of(at(4, 1), &chunk(5..=7)).unwrap();
        range.append(&PositionRange::of(at(7, 1), &chunk(8..=12)).unwrap());
        let lost = |stored| {
            let lost = range.lost_behind(at(stored, 1).position);
            lost.map(|lost| (lost.after.get(), lost.through.get())).collect::<Vec<_>>()
        };
        assert_eq!((lost(4), lost(7)), (vec![(5, 9), (10, 11)], vec![(7, 9), (10, 11)]));
        assert_eq!((lost(9), lost(11)), (vec![(10, 11)], vec![]));
    }

    fn at(sequence: u64, stamp: i64) -> Place {
        Place { position: Position::new(sequence).unwrap(), stamp }
    }

    #[test]
    fn a_range_knows_the_stamp_of_each_of_its_messages_and_of_the_one_before() {
        let mut range = PositionRange::with_stamps(at(4, 40), &[50, 60]).unwrap();
        range.append(&PositionRange::with_stamps(at(6, 60), &[70, 80, 90]).unwrap());
        let stamps: Vec<_> = (2..12).map(|n| range.stamp(Position::new(n).unwrap())).collect();
        let known = [40, 50, 60, 70, 80, 90].map(Some);
        assert_eq!(stamps, [&[None, None], &known[..], &[None, None]].concat());
        assert_eq!((range.first(), range.last()), (at(5, 0).position, at(9, 90)));
        assert!(PositionRange::with_stamps(at(4, 40), &[]).is_none());
    }

    #[test]
    #[should_panic(expected = "does not follow")]
    fn a_range_of_another_history_is_not_appended() {
        let mut range = PositionRange::with_stamps(at(4, 40), &[50, 60]).unwrap();
        range.append(&PositionRange::with_stamps(at(6, 61), &[70]).unwrap());
    }
    #[test]
    fn a_range_takes_eight_bytes_for_each_of_its_messages() {
        assert_eq!(PositionRange::with_stamps(at(4, 40), &[50, 60, 70]).unwrap().bytes(), 24);
    }
}
