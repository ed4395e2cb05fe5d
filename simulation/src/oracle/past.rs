//! Every message that was ever stored, and behind which one.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use sluice_journal::memory::Stored;
use sluice_model::{Partition, PartitionCount, Position};
use sluice_shard::StoredPosition;

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) position: Position,
    pub(super) stamp: i64,
    pub(super) subject: String,
    pub(super) payload: Bytes,
    /// The stamp of the one before it; 0 where there is none.
    before: i64,
}

/// Everything that any history of the journal holds.
#[derive(Debug, Default)]
pub(super) struct Past {
    messages: HashMap<(Position, i64), Message>,
    /// The stamps of what the journal would hold if nothing were trimmed.
    now: BTreeMap<Partition, Vec<i64>>,
}

impl Past {
    pub(super) fn new(partitions: PartitionCount) -> Self {
        let now = partitions.all().map(|partition| (partition, Vec::new())).collect();
        Self { messages: HashMap::new(), now }
    }

    pub(super) fn add(&mut self, stored: &Stored) -> Result<(), String> {
        let position = Position::new(stored.sequence).ok_or("a sequence that is no position")?;
        let now = self.now.entry(position.partition()).or_default();
        if index(position) != Some(now.len()) {
            return Err(format!("the journal gives {position:?} after {} messages", now.len()));
        }
        let before = now.last().copied().unwrap_or_default();
        now.push(stored.stamp);
        let Stored { stamp, subject, payload, .. } = stored.clone();
        self.messages.insert((position, stamp), Message { position, stamp, subject, payload, before });
        Ok(())
    }

    pub(super) fn truncate(&mut self, last: Position) {
        let kept = index(last.next()).unwrap_or(0);
        self.now.entry(last.partition()).or_default().truncate(kept);
    }

    /// The stamp of a message that the journal has, or had before it was trimmed.
    pub(super) fn stamp(&self, at: Position) -> Option<i64> {
        self.now.get(&at.partition())?.get(index(at)?).copied()
    }

    pub(super) fn message(&self, at: Position, stamp: i64) -> Option<&Message> {
        self.messages.get(&(at, stamp))
    }

    /// The messages after `from` up to `to`, the last one first, in the history that `to` names; and the stamp at `from` there.
    pub(super) fn between(&self, from: Position, to: StoredPosition) -> Result<(Vec<&Message>, i64), String> {
        let (mut at, mut stamp) = (to.position, to.stamp);
        let mut messages = Vec::new();
        while at > from {
            let message = self.message(at, stamp);
            let message = message.ok_or_else(|| format!("no message at {at:?} ever had the stamp {stamp}"))?;
            messages.push(message);
            (at, stamp) = (at.previous(), message.before);
        }
        Ok((messages, stamp))
    }
}

/// A position's place among all that its partition ever gave.
fn index(position: Position) -> Option<usize> {
    let before = Position::before_first(position.partition()).get();
    usize::try_from(position.get().checked_sub(before + 1)?).ok()
}
