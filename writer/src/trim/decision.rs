//! What may go: pure, from what was read of the shards and of the journal.

use std::collections::BTreeMap;

use sluice_journal::{Bounds, trim::Stored};
use sluice_model::{Partition, Position};

/// A shard's stored positions.
pub type Positions = BTreeMap<Partition, Stored>;

/// Why nothing of a partition may go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Held {
    /// There is nobody to ask.
    #[error("no shard is registered")]
    NoShard,
    /// Nobody knows what this one lacks.
    #[error("shard {0} could never be read")]
    NeverRead(String),
    /// The journal lost its end, or the shard belongs to another one: a person has to look first.
    #[error("shard {shard} has stored {stored:?}, and the journal ends at {last:?}")]
    BeyondEnd {
        /// The shard.
        shard: String,
        /// What it has stored.
        stored: Position,
        /// The journal's last position.
        last: Position,
    },
    /// The journal lost its end, and gave the shard's position again: what it gave again has to be repaired, and not trimmed.
    #[error("shard {shard} has read another journal than this, or by a repair that has to be completed: {how}")]
    Parted {
        /// The shard.
        shard: String,
        /// What was found.
        how: String,
    },
}

/// What is known of every shard: what was read now, or else what was read last, partition by partition.
///
/// A shard that was read once and that the directory no longer names counts on: there is no way to take a shard out yet, so a
/// directory that has forgotten one has itself gone back in time.
pub fn known(
    registered: &BTreeMap<String, Option<Positions>>,
    remembered: &BTreeMap<String, Positions>,
) -> BTreeMap<String, Positions> {
    let mut known = remembered.clone();
    for (shard, read) in registered {
        let positions = known.entry(shard.clone()).or_default();
        positions.extend(read.iter().flatten().map(|(partition, position)| (*partition, *position)));
    }
    known
}

/// How far every shard has stored a partition: the bare need. Whatever stands before it may go, what stands at it stays.
///
/// # Errors
/// Where that is not known, or cannot be.
pub fn passed(partition: Partition, bounds: &Bounds, known: &BTreeMap<String, Positions>) -> Result<Position, Held> {
    let mut least = None;
    for (shard, positions) in known {
        let Some(Stored { position: stored, .. }) = positions.get(&partition).copied() else {
            return Err(Held::NeverRead(shard.clone()));
        };
        if stored > bounds.last {
            return Err(Held::BeyondEnd { shard: shard.clone(), stored, last: bounds.last });
        }
        least = Some(least.map_or(stored, |least: Position| least.min(stored)));
    }
    least.ok_or(Held::NoShard)
}

/// Whether a partition is so full that wishes no longer count.
pub fn is_nearly_full(bounds: &Bounds, full_percent: u8) -> bool {
    let percent = |bytes: u64| u128::from(bytes) * 100;
    bounds.max_bytes.is_some_and(|max| percent(bounds.bytes) > u128::from(max) * u128::from(full_percent))
}

/// Where the newest messages begin that together have so many bytes, if all are as large as the average of those kept.
///
/// The server says how many bytes and messages there are, not how large each is. So the wish is met to the byte only where messages
/// are alike; a partition whose newest messages are larger than its oldest keeps more bytes, one whose newest are smaller keeps
/// fewer.
pub fn first_of_bytes(bounds: &Bounds, retain_bytes: u64) -> Position {
    if bounds.bytes == 0 {
        return bounds.first;
    }
    let wanted = u128::from(retain_bytes) * u128::from(bounds.messages);
    let messages = u64::try_from(wanted.div_ceil(u128::from(bounds.bytes))).unwrap_or(u64::MAX);
    let next = bounds.last.next().get();
    Position::new(next.saturating_sub(messages)).map_or(bounds.first, |first| first.max(bounds.first))
}

/// The floor: what every shard has passed, and no wish wants; `None` where that is nothing.
///
/// `wishes`: the first position that each wish wants kept.
pub fn floor(bounds: &Bounds, passed: Position, wishes: impl IntoIterator<Item = Position>) -> Option<Position> {
    let floor = wishes.into_iter().fold(passed, Position::min);
    (floor > bounds.first).then_some(floor)
}

#[cfg(test)]
mod tests;
