//! What of one partition is gone, and who lacks it. Pure: decided from what was read of the shards,
//! of the journal and of its record.
//!
//! Nothing brings it back. A person may accept it: see [`sluice_journal::repair::AcceptedLoss`].

use std::collections::BTreeMap;

use serde::Serialize;
use sluice_journal::repair::{RepairRecord, Standing};
use sluice_model::Position;

use super::plan::Seen;

/// How a message can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The stream was purged, or trimmed, and a shard lacks what went; or it was restored to before
    /// that.
    Purged,
    /// It is gone from the middle: it expired, or was removed.
    Removed,
}

/// A range of positions whose messages are gone, and which nobody has accepted for everybody who
/// lacks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRange {
    /// It begins behind this position.
    pub after: Position,
    /// Its last position; `after` where only the message by which a shard's history can be seen is
    /// gone.
    pub through: Position,
    /// How.
    pub cause: Cause,
    /// The shards that lack something of it, or stand within it: what each has stored, and the
    /// stamp of that.
    pub lacking: Vec<(String, Position, i64)>,
}

/// All of a partition that is lost and not accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loss {
    /// In order.
    pub ranges: Vec<LostRange>,
    /// How far every registered shard is; `None` where it could not be read.
    pub shards: BTreeMap<String, Option<Position>>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// The first position that is kept.
    pub first: Position,
    /// The least position that a shard may have stored: see
    /// [`sluice_journal::Journal::least_stored`].
    pub least: Position,
    /// What is gone behind the first position: see [`sluice_journal::Journal::holes`].
    pub holes: &'a [(Position, Position)],
    /// The record; of its accepted losses those that the journal bears out.
    pub record: &'a RepairRecord,
}

impl Loss {
    /// What is lost, if anything is. Shards that have stored what the journal lost at its end are
    /// left out: they are repaired first.
    pub fn of(kept: Kept<'_>, seen: &[Seen], unread: &[String]) -> Option<Self> {
        let sound: Vec<&Seen> = seen.iter().filter(|seen| !seen.standing.is_lost()).collect();
        let purged = purged(kept, &sound);
        let ranges: Vec<LostRange> = purged.into_iter().chain(removed(kept, &sound)).collect();
        let read = seen.iter().map(|seen| (seen.shard.clone(), Some(seen.stored)));
        let shards = read.chain(unread.iter().map(|shard| (shard.clone(), None))).collect();
        (!ranges.is_empty()).then_some(Self { ranges, shards })
    }
}

/// Whether a shard stands before what the journal reaches. The next message is gone, or the one is
/// by which one could see which history it has read.
pub fn is_cut_off(kept: Kept<'_>, seen: &Seen) -> bool {
    let next_is_gone = seen.stored.next() < kept.first;
    next_is_gone || (seen.stamp != 0 && seen.stored < kept.least && seen.stored < kept.first)
}

/// Whether what a shard lacks behind `after` up to `through` was accepted for it.
pub fn is_accepted(kept: Kept<'_>, seen: &Seen, after: Position, through: Position) -> bool {
    let vouched = after != seen.stored || after < through || kept.record.vouching_for(after).next().is_some();
    vouched && kept.record.may_pass(&seen.shard, after, through).is_ok()
}

/// What is gone from the beginning: from where the first shard is that lacks something.
fn purged(kept: Kept<'_>, seen: &[&Seen]) -> Option<LostRange> {
    let through = kept.first.previous();
    let lacks = |seen: &&&Seen| is_cut_off(kept, seen) && !is_accepted(kept, seen, seen.stored, through);
    let lacking: Vec<_> = seen.iter().filter(lacks).map(|seen| place(seen)).collect();
    let after = lacking.iter().map(|(_, stored, _)| *stored).min()?;
    Some(LostRange { after, through, cause: Cause::Purged, lacking })
}

/// What is gone from the middle. It stops every shard that comes by, also one that is registered
/// later.
fn removed(kept: Kept<'_>, seen: &[&Seen]) -> Vec<LostRange> {
    let range = |(after, through): &(Position, Position)| {
        let lacks = |seen: &&&Seen| {
            let behind = seen.stored.max(*after);
            let stands_there = seen.standing == Standing::Gone && *after < seen.stored && seen.stored <= *through;
            stands_there || (behind < *through && !is_accepted(kept, seen, behind, *through))
        };
        let lacking: Vec<_> = seen.iter().filter(lacks).map(|seen| place(seen)).collect();
        let is_known = is_covered(kept.record, *after, *through);
        let (after, through) = (*after, *through);
        (!is_known || !lacking.is_empty()).then_some(LostRange { after, through, cause: Cause::Removed, lacking })
    };
    kept.holes.iter().filter_map(range).collect()
}

/// Whether readers pass all of a range.
fn is_covered(record: &RepairRecord, after: Position, through: Position) -> bool {
    let mut passed = after;
    while passed < through {
        match record.gone_at(passed.next()).next() {
            Some(gone) => passed = gone.through,
            None => return false,
        }
    }
    true
}

fn place(seen: &Seen) -> (String, Position, i64) {
    (seen.shard.clone(), seen.stored, seen.stamp)
}

#[cfg(test)]
mod tests;
