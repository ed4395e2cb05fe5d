//! What repairs of the journal left behind: ranges that were given twice, and copies of what was given again. No I/O.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use sluice_journal::{
    Message,
    repair::{Gone, Origin},
};
use sluice_model::Position;

/// Rows of a shard that are older than a repair: the journal lost their events, and may have given their positions again.
#[derive(Debug, Clone, Copy)]
struct Range {
    shard: usize,
    cut: Position,
    stored: Position,
}

/// Every range, and what stands there now.
#[derive(Debug, Default)]
pub struct Repaired {
    ranges: Vec<Range>,
    /// What the journal no longer has, and was accepted as lost: rows of it are nobody's to judge.
    gone: Vec<Gone>,
    hasher: RandomState,
    /// Stamp and digest of each message that stands in a range.
    given_again: HashMap<Position, (i64, u64)>,
}

impl Repaired {
    /// Notes that the journal lost what this shard has stored after `cut`, up to `stored`.
    pub fn lost(&mut self, shard: usize, cut: Position, stored: Position) {
        self.ranges.push(Range { shard, cut, stored });
    }

    /// Notes that the journal no longer has a range, and that somebody has accepted that.
    pub fn gone(&mut self, gone: Gone) {
        self.gone.push(gone);
    }

    /// Before the journal is read again from its beginning.
    pub fn begin_again(&mut self) {
        self.given_again.clear();
    }

    /// Whether the rows of a shard at this position are of events that the journal lost.
    pub fn covers(&self, shard: usize, position: Position) -> bool {
        let is_gone = self.gone.iter().any(|gone| gone.covers(position));
        is_gone
            || self.ranges.iter().any(|range| range.shard == shard && range.cut < position && position <= range.stored)
    }

    /// Whether the position was given twice to anybody's knowledge.
    pub fn touches(&self, position: Position) -> bool {
        self.ranges.iter().any(|range| range.cut < position && position <= range.stored)
    }

    /// Takes in a message, in the order of the journal; gives the position of what it is a copy of. One that only claims to be a copy,
    /// and holds something else, is none.
    pub fn see(&mut self, message: &Message) -> Option<Position> {
        if self.ranges.is_empty() {
            return None;
        }
        let digest = self.hasher.hash_one((message.subject.as_str(), &message.payload));
        let origin = Origin::of(message)
            .filter(|origin| self.given_again.get(&origin.position) == Some(&(origin.stamp, digest)))
            .map(|origin| origin.position);
        if self.touches(message.position) {
            self.given_again.insert(message.position, (message.stamp, digest));
        }
        origin
    }
}
