//! Losses that somebody has accepted: positions whose messages the journal no longer has. Pure.
//!
//! A message can go from the middle of a partition (it expired, or somebody purged its subject), or
//! from its beginning while a shard still lacks it (somebody purged the stream, or a shard was
//! restored to before what the journal reaches). Readers and lanes then stop, as events are lost.
//! Only a person can decide that this is how it is: `writer journal repair --accept-loss`.
//!
//! **Accepting touches no shard.** The record gets one entry, by revision; that is all. From then
//! on a reader that comes by gives a lost position as a message without events
//! ([`crate::Message::lost`]), and each lane passes it in a transaction of its own, which compares
//! position and stamp as always. So there is nothing that could be done by half: a process that
//! dies before the record is written has changed nothing, and one that dies after it has done all.
//! To do it again is harmless.
//!
//! **Each shard passes what it lacked, and nothing else.** The entry says how far each registered
//! shard was. A shard that had stored a position by then, and is restored to before it later, would
//! lose what it had: its lane stops, and a further `--accept-loss` names that loss. A shard that is
//! registered later passes: nothing that came before it can be its own. One that could not be read
//! passes nothing before it is named.
//!
//! **What a lost position's stamp is.** The entry holds the stamp of the message that stood behind
//! each range; that is the stamp that readers give to the range's positions. Where another message
//! stands behind it now, the journal has lost its end since, and the entry counts no longer.
//!
//! Entries are never forgotten: `loadgen verify` and `writer journal show` tell of them.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use sluice_model::Position;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::RepairRecord;

/// So many ranges of one decision are told in a line.
const TOLD: usize = 5;

/// A range of positions whose messages are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The range begins behind this position.
    pub after: Position,
    /// Its last position; the same as `after` where no position is lost, and only the message at
    /// `after` is gone, by which one could see which history a shard has read.
    pub through: Position,
    /// The stamp of the message behind the range, in nanoseconds since 1970.
    pub stamp: i64,
}

impl Gone {
    /// Whether the message at a position was accepted as lost by this.
    pub fn covers(self, position: Position) -> bool {
        self.after < position && position <= self.through
    }

    /// Whether a shard that has stored this position may go on from there although the message
    /// there cannot be compared any more.
    fn vouches_for(self, position: Position) -> bool {
        self.after <= position && position <= self.through
    }
}

/// One decision of a person: what is lost, for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedLoss {
    /// What is gone, in order.
    pub gone: Vec<Gone>,
    /// How far each shard was that was registered then; `None` where it could not be read.
    pub shards: BTreeMap<String, Option<Position>>,
    /// When, by the clock of whoever did it, in nanoseconds since 1970.
    pub at: i64,
    /// Who did it, as far as the machine knows.
    pub by: String,
}

impl AcceptedLoss {
    /// Whether a shard lacked this position then, or was not registered yet.
    fn lets_pass(&self, shard: &str, position: Position) -> bool {
        match self.shards.get(shard) {
            None => true,
            Some(stored) => stored.is_some_and(|stored| stored < position),
        }
    }

    /// The shards that lacked something of a range.
    pub fn lacked(&self, gone: Gone) -> impl Iterator<Item = &str> {
        let lacked = move |(_, stored): &(&String, &Option<Position>)| stored.is_some_and(|at| at < gone.through);
        self.shards.iter().filter(lacked).map(|(shard, _)| shard.as_str())
    }
}

impl fmt::Display for AcceptedLoss {
    /// In one line: what, since when, by whom, for whom.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let positions: u64 = self.gone.iter().map(|gone| gone.through.get() - gone.after.get()).sum();
        let range = |gone: &Gone| format!("{:?} to {:?}", gone.after.next(), gone.through);
        let ranges: Vec<_> = self.gone.iter().filter(|gone| gone.after < gone.through).take(TOLD).map(range).collect();
        let more = if self.gone.len() > TOLD { ", .." } else { "" };
        let at = OffsetDateTime::from_unix_timestamp_nanos(self.at.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let at = at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_default();
        let mut shards: Vec<_> = self.gone.iter().flat_map(|gone| self.lacked(*gone)).collect();
        shards.sort_unstable();
        shards.dedup();
        let shards = if shards.is_empty() { "no shard that was there".to_owned() } else { shards.join(", ") };
        let (ranges, by) = (ranges.join(", "), &self.by);
        write!(f, "{positions} positions lost ({ranges}{more}), accepted at {at} by {by}, for {shards}")
    }
}

/// A position was accepted as lost, and not for this shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the journal no longer has {position:?} ({position}). That was accepted for other shards, and shard {shard} had stored it \
     then, or could not be read: put a newer copy of the shard back, or let `writer journal repair --accept-loss` accept it for \
     this shard too"
)]
pub struct NotAccepted {
    /// The shard.
    pub shard: String,
    /// The first position that it may not pass.
    pub position: Position,
}

impl RepairRecord {
    /// The accepted ranges that a position belongs to, the oldest first.
    pub fn gone_at(&self, position: Position) -> impl Iterator<Item = Gone> {
        self.all_gone().filter(move |gone| gone.covers(position))
    }

    /// The accepted ranges by which a shard may go on from a position whose message is gone.
    pub fn vouching_for(&self, position: Position) -> impl Iterator<Item = Gone> {
        self.all_gone().filter(move |gone| gone.vouches_for(position))
    }

    /// Makes sure that a shard may pass the lost positions behind `after` up to `through`.
    ///
    /// # Errors
    /// [`NotAccepted`] where one of them was not accepted as lost for this shard.
    pub fn may_pass(&self, shard: &str, after: Position, through: Position) -> Result<(), NotAccepted> {
        let mut passed = after;
        while passed < through {
            let position = passed.next();
            let accepted = self.accepted.iter().filter(|loss| loss.lets_pass(shard, position));
            let gone = accepted.flat_map(|loss| &loss.gone).find(|gone| gone.covers(position));
            passed = gone.ok_or_else(|| NotAccepted { shard: shard.to_owned(), position })?.through;
        }
        Ok(())
    }

    fn all_gone(&self) -> impl Iterator<Item = Gone> {
        self.accepted.iter().flat_map(|loss| &loss.gone).copied()
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::Partition;

    use super::*;

    fn at(n: u64) -> Position {
        Position::new(Position::before_first(Partition::new(2)).get() + n).unwrap()
    }

    fn gone(after: u64, through: u64, stamp: i64) -> Gone {
        Gone { after: at(after), through: at(through), stamp }
    }

    fn loss(gone: &[Gone], shards: &[(&str, Option<u64>)]) -> AcceptedLoss {
        let shards = shards.iter().map(|(shard, stored)| ((*shard).to_owned(), stored.map(at))).collect();
        AcceptedLoss { gone: gone.to_vec(), shards, at: 7, by: "somebody".to_owned() }
    }

    fn record(accepted: &[AcceptedLoss]) -> RepairRecord {
        RepairRecord { accepted: accepted.to_vec(), ..RepairRecord::default() }
    }

    /// The first position that a shard may not pass of those behind `after` up to 50.
    fn refused(record: &RepairRecord, shard: &str, after: u64) -> Option<u64> {
        let refused = record.may_pass(shard, at(after), at(50)).err()?.position;
        Some(refused.get() - at(0).get())
    }

    #[test]
    fn a_shard_passes_what_it_lacked_and_nothing_that_it_had_stored() {
        let record =
            record(&[loss(&[gone(45, 50, 9)], &[("a", Some(45)), ("b", Some(47)), ("c", Some(60)), ("away", None)])]);
        assert_eq!((refused(&record, "a", 45), refused(&record, "b", 47)), (None, None));
        assert_eq!(refused(&record, "a", 44), Some(45), "restored to before the loss, it lacks more than was named");
        assert_eq!(refused(&record, "b", 46), Some(47), "it had stored that");
        assert_eq!((refused(&record, "c", 49), refused(&record, "away", 49)), (Some(50), Some(50)));
        assert_eq!(refused(&record, "registered later", 45), None);
    }

    #[test]
    fn a_further_decision_adds_to_an_earlier_one_and_takes_nothing_back() {
        let first = loss(&[gone(45, 48, 9)], &[("a", Some(45)), ("c", Some(60))]);
        let second = loss(&[gone(47, 50, 12)], &[("a", Some(46)), ("c", Some(47))]);
        let record = record(&[first, second]);
        assert_eq!(
            (refused(&record, "a", 45), refused(&record, "c", 47), refused(&record, "c", 46)),
            (None, None, Some(47))
        );
        let stamps: Vec<_> = record.gone_at(at(48)).map(|gone| gone.stamp).collect();
        assert_eq!(stamps, [9, 12], "the oldest counts as long as it holds");
        assert_eq!(record.gone_at(at(45)).count() + record.gone_at(at(51)).count(), 0);
        assert_eq!((record.vouching_for(at(45)).count(), record.vouching_for(at(44)).count()), (1, 0));
    }

    #[test]
    fn a_place_that_cannot_be_compared_is_vouched_for_although_no_position_is_lost() {
        let record = record(&[loss(&[gone(9, 9, 3)], &[("a", Some(9))])]);
        assert_eq!((record.vouching_for(at(9)).count(), record.gone_at(at(9)).count()), (1, 0));
    }

    #[test]
    fn a_record_of_an_earlier_version_has_no_accepted_loss() {
        let json = r#"{"repairs":[]}"#;
        assert_eq!(serde_json::from_str::<RepairRecord>(json).unwrap(), RepairRecord::default());
        assert_eq!(serde_json::to_string(&RepairRecord::default()).unwrap(), json);
        let record = record(&[loss(&[gone(45, 50, 9)], &[("a", Some(45)), ("away", None)])]);
        let json = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<RepairRecord>(&json).unwrap(), record);
    }

    #[test]
    fn those_who_lacked_something_are_named() {
        let loss = loss(&[gone(45, 50, 9)], &[("a", Some(45)), ("b", Some(50)), ("away", None)]);
        assert_eq!(loss.lacked(loss.gone[0]).collect::<Vec<_>>(), ["a"]);
        let told = "5 positions lost (2/46 to 2/50), accepted at 1970-01-01T00:00:00Z by somebody, for a";
        assert_eq!(loss.to_string(), told);
    }
}
