//! What has to be done about one partition. Pure: decided from what was read of the shards, of the journal and of its record.

use sluice_journal::{
    Bounds,
    repair::{FILLER_BYTES, Lost, Repair, RepairRecord, Standing, Way},
};
use sluice_model::Position;

const ASKED: &str = "the journal was asked for the cut of every shard that wants one";

/// One shard, as far as one partition goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub shard: String,
    /// What it has stored.
    pub stored: Position,
    /// The stamp that the message there had; 0 where it has read none.
    pub stamp: i64,
    /// How that stands to the journal.
    pub standing: Standing,
    /// Up to where the journal is what the shard has read; known where the shard has read what the journal lacks.
    pub cut: Option<Position>,
    /// What earlier repairs list for it and did not complete, or whose copies the journal has lost.
    pub open: Vec<Lost>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Every shard's stored position is the journal's.
    Nothing,
    /// This.
    Repair(Work),
    /// It cannot be done.
    Refused(Refused),
}

/// A repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What each shard has that the journal lacks, in the order of the shards.
    pub lost: Vec<Lost>,
    /// How.
    pub way: Way,
    /// No position up to here may be given (again).
    pub top: Position,
    /// How many fillers that takes now.
    pub fillers: u64,
    /// What was given again stands after this position.
    pub cut: Position,
    /// Up to here nobody may read any more what was given again: some shard has stored as much.
    pub through: Position,
    /// The unfinished repair that it takes the place of, if there is one.
    pub replaces: Option<Repair>,
}

/// Why a partition cannot be repaired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// One of the things that a repair rests on does not hold.
    #[error(
        "shard {shard} has stored {stored:?}, written at {stamp} ns; what stands there now was written before that, at {found} ns. \
         The journal was put forward again, or a server's clock was set back: which of its messages the shard has cannot be known"
    )]
    Older {
        /// The shard.
        shard: String,
        /// What it has stored.
        stored: Position,
        /// When that was written, in nanoseconds since 1970.
        stamp: i64,
        /// When what stands there now was written; that of the last message where there is none.
        found: i64,
    },
    /// A shard has read on within the copies of a repair, and those are lost.
    #[error(
        "shard {shard} has stored {stored:?}, within the copies of an earlier repair that the journal has lost since: which of them it \
         has cannot be known. Put a copy of the shard back that has stored {sound:?} or less"
    )]
    HalfCopied {
        /// The shard.
        shard: String,
        /// What it has stored.
        stored: Position,
        /// Up to where the journal is still what it has read.
        sound: Position,
    },
    /// Too many fillers.
    #[error(
        "{needed} fillers would be needed, from {last:?} to {top:?}, and {limit} are allowed: --max-fillers {needed} allows them ({} MB of \
         disk). If every shard has stored all that the journal holds, giving it up is quicker: delete its streams, let a service make \
         it anew, and repair with --from-journal",
        needed * FILLER_BYTES / 1_000_000
    )]
    TooMany {
        /// How many.
        needed: u64,
        /// How many may be.
        limit: u64,
        /// Where the journal ends.
        last: Position,
        /// Where it has to end.
        top: Position,
    },
    /// No room for them.
    #[error(
        "{needed} bytes of fillers are needed, and the partition has room for {free}: give it more (nats stream edit --max-bytes)"
    )]
    NoRoom {
        /// Bytes of the fillers.
        needed: u64,
        /// Bytes left.
        free: u64,
    },
}

/// Whether a shard has read what the journal lacks.
fn has_lost(seen: &Seen) -> bool {
    seen.standing.is_lost() && seen.stamp != 0
}

/// Decides.
///
/// `last_stamp`: when the journal's last message was stored; `None` where it holds none.
pub fn plan(
    bounds: &Bounds,
    shards: &[Seen],
    record: &RepairRecord,
    last_stamp: Option<i64>,
    max_fillers: u64,
) -> Plan {
    if let Some(work) = rest_of_a_jump(bounds, shards, record) {
        return Plan::Repair(work);
    }
    if let Some(refused) = shards.iter().find_map(|seen| older(seen, last_stamp).or_else(|| half_copied(seen))) {
        return Plan::Refused(refused);
    }
    let lost = lost(bounds, shards, record);
    let Some(top) = lost.iter().map(|lost| lost.stored).max() else { return Plan::Nothing };
    let cut = lost.iter().map(|lost| lost.cut).min().unwrap_or(bounds.first.previous());
    let through = shards.iter().map(|seen| seen.stored).max().unwrap_or(top).max(top);
    let replaces = record.unfinished().cloned();
    if bounds.messages == 0 && top > bounds.last {
        let way = Way::Jump { from: bounds.first, to: top };
        return Plan::Repair(Work { lost, way, top, fillers: 0, cut, through, replaces });
    }
    let fillers = top.get().saturating_sub(bounds.last.get());
    if fillers > max_fillers {
        return Plan::Refused(Refused::TooMany { needed: fillers, limit: max_fillers, last: bounds.last, top });
    }
    let needed = fillers * FILLER_BYTES;
    let free = bounds.max_bytes.map_or(u64::MAX, |max| max.saturating_sub(bounds.bytes));
    if needed > free {
        return Plan::Refused(Refused::NoRoom { needed, free });
    }
    Plan::Repair(Work { lost, way: Way::Fill, top, fillers, cut, through, replaces })
}

/// Every shard that has stored what the journal lacks, and what earlier repairs left open for shards that have gone back since.
fn lost(bounds: &Bounds, shards: &[Seen], record: &RepairRecord) -> Vec<Lost> {
    let begun = record.unfinished().filter(|repair| repair.way == Way::Fill);
    let listed = |seen: &Seen| begun.and_then(|repair| repair.lost_on(&seen.shard, seen.stored, seen.stamp));
    let of = |seen: &Seen, cut| Lost { shard: seen.shard.clone(), cut, stored: seen.stored, stamp: seen.stamp };
    let mut lost: Vec<Lost> =
        shards.iter().filter(|seen| has_lost(seen)).map(|seen| of(seen, seen.cut.expect(ASKED))).collect();
    // A shard that began at its position, and never read anything, has no stamp to find the cut by. It skips what the others skip.
    let least = lost.iter().map(|lost| lost.cut).min();
    for seen in shards.iter().filter(|seen| seen.stamp == 0) {
        let before = listed(seen).map(|lost| lost.cut);
        let cut = before.into_iter().chain(least).min();
        if seen.standing.is_lost() {
            lost.push(of(seen, cut.unwrap_or(bounds.first.previous())));
        } else if let Some(cut) = cut.filter(|cut| *cut < seen.stored) {
            lost.push(of(seen, cut));
        }
    }
    for open in shards.iter().flat_map(|seen| &seen.open) {
        if !lost.iter().any(|lost| lost.includes(open)) {
            lost.push(open.clone());
        }
    }
    lost.sort_by(|a, b| (&a.shard, a.stored).cmp(&(&b.shard, b.stored)));
    lost
}

/// It went on reading after a repair, and the journal lost what it read then, in the midst of that repair's copies.
fn half_copied(seen: &Seen) -> Option<Refused> {
    let Seen { shard, stored, cut, open, .. } = seen;
    let within = open.iter().any(|open| open.stored < *stored);
    let refused = |sound| Refused::HalfCopied { shard: shard.clone(), stored: *stored, sound };
    (has_lost(seen) && within).then(|| refused(cut.expect(ASKED)))
}

/// What is stored was stored after the cut, and what was given again later still.
fn older(seen: &Seen, last_stamp: Option<i64>) -> Option<Refused> {
    let older = |found| Refused::Older { shard: seen.shard.clone(), stored: seen.stored, stamp: seen.stamp, found };
    match seen.standing {
        Standing::Replaced { found } if found < seen.stamp => Some(older(found)),
        Standing::Replaced { .. } | Standing::Beyond { .. } if seen.cut.is_some_and(|cut| cut >= seen.stored) => {
            Some(older(last_stamp.unwrap_or_default()))
        }
        _ => None,
    }
}

/// A jump that took place, and that not every shard has followed yet, or that is not noted as done.
fn rest_of_a_jump(bounds: &Bounds, shards: &[Seen], record: &RepairRecord) -> Option<Work> {
    let begun = record.unfinished()?;
    let Way::Jump { to, .. } = begun.way else { return None };
    let cut = begun.lost.iter().map(|lost| lost.cut).min()?;
    let through = shards.iter().map(|seen| seen.stored).max()?;
    let took_place = bounds.first > to && bounds.last >= to;
    took_place.then(|| Work {
        lost: begun.lost.clone(),
        way: begun.way,
        top: to,
        fillers: 0,
        cut,
        through,
        replaces: Some(begun.clone()),
    })
}

#[cfg(test)]
mod tests;
