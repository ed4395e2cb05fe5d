//! Where a message stands in the journal, and the row id that follows from it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{MAX_EVENTS, Partition, PartitionCount};

/// A message's place in the journal: its stream sequence.
///
/// Partition `p`'s stream begins at `(p << 44) + 1`, so positions of different partitions never collide, and a position
/// says which partition it is in. `Position::before_first(p)`, `p << 44`, means "nothing of p yet".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(u64);

/// Bits of a position that count messages within its partition: 17.6 million million of them.
const SEQUENCE_BITS: u32 = 44;
/// Bits of an event id that hold the index in the message.
const INDEX_BITS: u32 = 10;
const _: () = assert!(MAX_EVENTS == 1 << INDEX_BITS);
const _: () = assert!(((PartitionCount::MAX as u64) << SEQUENCE_BITS) << INDEX_BITS == 1 << 63);

impl Position {
    /// The position of the partition's very first message.
    pub fn first(partition: Partition) -> Self {
        Self::before_first(partition).next()
    }

    /// The stored position of a shard that has nothing of the partition.
    pub fn before_first(partition: Partition) -> Self {
        Self(u64::from(partition.number()) << SEQUENCE_BITS)
    }

    /// The position with this stream sequence; `None` for one that no journal can give.
    pub fn new(sequence: u64) -> Option<Self> {
        (sequence >> SEQUENCE_BITS < u64::from(PartitionCount::MAX)).then_some(Self(sequence))
    }

    /// The stream sequence.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The partition it is in.
    pub fn partition(self) -> Partition {
        let number = self.0 >> SEQUENCE_BITS;
        Partition::new(u16::try_from(number).expect("a position's upper bits name one of 512 partitions"))
    }

    /// The position after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position before this one; that of the first message is [`Position::before_first`].
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The id of the message's event with this index (counted from 0).
    ///
    /// # Panics
    /// Where the index is [`MAX_EVENTS`] or more: a message has no such event.
    pub fn event(self, index: usize) -> EventId {
        assert!(index < MAX_EVENTS, "a message holds at most {MAX_EVENTS} events");
        let id = (self.0 << INDEX_BITS) | index as u64;
        EventId(i64::try_from(id).expect("53 bits of position and 10 of index fit an i64"))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Position {
    /// `3/17` is the 17th message ever of partition 3.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0 >> SEQUENCE_BITS, self.0 & ((1 << SEQUENCE_BITS) - 1))
    }
}

/// A position and the stamp of the message that stands there.
///
/// Positions alone do not name a message: a journal that lost its end gives them a second time. The two
/// together do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The position.
    pub position: Position,
    /// The JetStream time of the message there, in nanoseconds since 1970; 0 where it is not known, or where
    /// there never was a message.
    pub stamp: i64,
}

impl Place {
    /// Whether both may name the same message: the same position, and not two different stamps.
    pub fn agrees_with(self, other: Self) -> bool {
        let unknown = self.stamp == 0 || other.stamp == 0;
        self.position == other.position && (unknown || self.stamp == other.stamp)
    }
}

impl From<Position> for Place {
    /// A position whose message is not known.
    fn from(position: Position) -> Self {
        Self { position, stamp: 0 }
    }
}

/// An event's identity and its row's `id`: `position << 10 | index in message`. Never negative.
///
/// In JSON it is a string: it has more than the 53 bits that a JavaScript number keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(i64);

impl EventId {
    /// The id as the shards store it.
    pub fn get(self) -> i64 {
        self.0
    }

    /// The position of the message that the event came in.
    pub fn position(self) -> Position {
        Position(self.0.unsigned_abs() >> INDEX_BITS)
    }

    /// The event's index in its message.
    pub fn index(self) -> usize {
        usize::try_from(self.0 & (MAX_EVENTS as i64 - 1)).expect("ten bits fit a usize")
    }
}

/// Neither we nor a journal of ours ever gave this id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event id: a whole number from 0 to 2^63 - 1 is wanted")]
pub struct InvalidEventId;

impl TryFrom<i64> for EventId {
    type Error = InvalidEventId;
    fn try_from(id: i64) -> Result<Self, Self::Error> {
        if id < 0 { Err(InvalidEventId) } else { Ok(Self(id)) }
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<i64>().map_err(|_| InvalidEventId)?.try_into()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_event_id_gives_back_position_partition_and_index(
            partition in 0u16..512, sequence in 1u64..(1 << 44), index in 0usize..1024,
        ) {
            let position = Position::new((u64::from(partition) << 44) + sequence).unwrap();
            let event = position.event(index);
            prop_assert!(event.get() > 0);
            prop_assert_eq!((event.position(), event.index()), (position, index));
            prop_assert_eq!(position.partition(), Partition::new(partition));
            let json = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(&json, &format!("\"{event}\""));
            prop_assert_eq!(serde_json::from_str::<EventId>(&json).unwrap(), event);
        }
    }

    #[test]
    fn what_no_journal_gives_is_refused() {
        assert_eq!(Position::new(512 << 44), None);
        assert_eq!("-1".parse::<EventId>(), Err(InvalidEventId));
        assert_eq!(Position::first(Partition::new(2)).get(), (2 << 44) + 1);
    }
}
