//! What trimming has to remember.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluice_model::{Partition, Position};

/// One journal's entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrimRecord {
    /// The trimmer, as it calls itself; `None` where the last one has stopped.
    pub owner: Option<String>,
    /// Grows with each claim, so that others see that the owner lives without trusting anybody's clock.
    pub beat: u64,
    /// The highest floor ever settled for each partition. Nothing at or above it was ever purged.
    pub floors: BTreeMap<Partition, Position>,
    /// What was last read of each shard. It holds the floor while the shard cannot be read, whoever trims by then.
    pub read: BTreeMap<String, BTreeMap<Partition, Stored>>,
    /// Registrations under way: a ticket, and the shard's name.
    pub registering: BTreeMap<String, String>,
}

/// What a shard had stored of a partition. In JSON a pair; a number where an older trimmer wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "(Position, i64)")]
pub struct Stored {
    /// The position.
    pub position: Position,
    /// The stamp of the message there, by which one sees whether the journal still is the one that the shard has read; 0 where that
    /// is not known.
    pub stamp: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Position(Position),
    Both(Position, i64),
}

impl From<Written> for Stored {
    fn from(written: Written) -> Self {
        match written {
            Written::Position(position) => Self { position, stamp: 0 },
            Written::Both(position, stamp) => Self { position, stamp },
        }
    }
}

impl From<Stored> for (Position, i64) {
    fn from(stored: Stored) -> Self {
        (stored.position, stored.stamp)
    }
}

impl TrimRecord {
    /// The least position that a shard may have stored in a partition whose first kept position is `first`; it was read
    /// before this record.
    pub fn base(&self, partition: Partition, first: Position) -> Position {
        base(&self.floors, partition, first)
    }

    /// Notes a floor. One that is lower than an earlier one (a shard went back in time) changes nothing: the earlier may have been
    /// purged already, and a new shard has to begin there.
    pub fn settle(&mut self, floor: Position) {
        let highest = self.floors.entry(floor.partition()).or_insert(floor);
        *highest = floor.max(*highest);
    }
}

/// The least position that a shard may have stored in a partition whose first kept position is `first`: what stands at a
/// settled floor is kept, so one that has stored less was restored to before what the journal reaches. Without a floor
/// (somebody else has purged the stream) only what is gone says so.
fn base(floors: &BTreeMap<Partition, Position>, partition: Partition, first: Position) -> Position {
    let kept = first.previous();
    floors.get(&partition).copied().unwrap_or(kept).max(kept)
}

/// A registration that trimmers know of.
#[derive(Debug, Clone)]
pub struct Announced {
    pub(super) ticket: String,
    pub(super) floors: BTreeMap<Partition, Position>,
}

impl Announced {
    /// The least position that a shard may have stored without being overtaken by a purge, in a partition whose first kept
    /// position is `first`; and where a shard that has nothing begins.
    pub fn begin(&self, partition: Partition, first: Position) -> Position {
        base(&self.floors, partition, first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(3)).get() + n).unwrap()
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let mut record = TrimRecord { owner: Some("a".to_owned()), beat: 7, ..TrimRecord::default() };
        record.settle(at(5));
        record.settle(at(4));
        record
            .read
            .insert("s1".to_owned(), BTreeMap::from([(Partition::new(3), Stored { position: at(9), stamp: 17 })]));
        record.registering.insert("t".to_owned(), "s2".to_owned());
        assert_eq!(record.floors[&Partition::new(3)], at(5));
        let json = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<TrimRecord>(&json).unwrap(), record);
        assert_eq!(serde_json::from_str::<TrimRecord>("{}").unwrap(), TrimRecord::default());
        let older = format!(r#"{{"read":{{"s1":{{"3":{}}}}}}}"#, at(9));
        let read = serde_json::from_str::<TrimRecord>(&older).unwrap().read;
        assert_eq!(read["s1"][&Partition::new(3)], Stored { position: at(9), stamp: 0 });
    }

    #[test]
    fn a_new_shard_begins_before_what_is_kept_and_not_below_a_floor_whose_purge_may_still_come() {
        let partition = Partition::new(3);
        let announced = |floor| Announced { ticket: String::new(), floors: BTreeMap::from([(partition, floor)]) };
        assert_eq!(announced(at(5)).begin(partition, at(1)), at(5));
        assert_eq!(announced(at(5)).begin(partition, at(9)), at(8));
        let never = Announced { ticket: String::new(), floors: BTreeMap::new() };
        assert_eq!(never.begin(partition, at(1)), Position::before_first(partition));
    }
}
