//! What `/lanes` answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sluice_model::{Partition, Position};
use sluice_service::nats::disk_sync;

use super::{Status, Waits};
use crate::lane::LaneState;

/// One lane.
#[derive(Debug, Serialize)]
struct LaneReport {
    worker: u16,
    shard: String,
    state: LaneState,
    detail: Option<String>,
    queued_bytes: usize,
    stored: BTreeMap<Partition, Position>,
    /// Messages from what the shard has stored to the journal's end; `None` while that is not
    /// known.
    behind_messages: Option<u64>,
    /// The age of the oldest of them.
    behind_seconds: Option<f64>,
}

/// How far a partition is read.
#[derive(Debug, Serialize)]
struct PartitionReport {
    read: Position,
    /// The last position that the journal has given.
    end: Option<Position>,
    unread_messages: Option<u64>,
    /// The age of the oldest of them.
    unread_seconds: Option<f64>,
    /// How long the reader has stood where it stands although there is more.
    stands_seconds: f64,
    waits_for: Option<String>,
    /// Why it cannot be read, while that is so.
    detail: Option<String>,
}

/// The whole answer.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    writers: BTreeSet<String>,
    assigned: BTreeSet<Partition>,
    lanes: Vec<LaneReport>,
    reading: BTreeSet<Partition>,
    partitions: BTreeMap<Partition, PartitionReport>,
    stopped: BTreeMap<Partition, String>,
    /// Whether NATS acknowledges only what its disk has.
    journal_disk_sync: disk_sync::State,
}

impl Status {
    pub(super) fn report(&self) -> Report {
        let inner = self.inner();
        let lanes = inner.lanes.iter().map(|lane| {
            let (health, lag) = (lane.health(), lane.lag());
            LaneReport {
                worker: lane.worker(),
                shard: lane.shard().to_owned(),
                state: health.state,
                detail: health.detail,
                queued_bytes: lane.queued_bytes(),
                stored: health.stored.iter().flatten().map(|(p, shard)| (*p, shard.stored.position)).collect(),
                behind_messages: lag.map(|lag| lag.messages),
                behind_seconds: lag.map(|lag| lag.seconds),
            }
        });
        let end = |partition| inner.journal.as_ref()?.extent(partition).map(|extent| extent.last);
        let partitions = inner.readers.iter().map(|(partition, reader)| {
            let end = end(*partition);
            let report = PartitionReport {
                read: reader.read,
                end,
                unread_messages: end.map(|end| end.get().saturating_sub(reader.read.get())),
                unread_seconds: reader.lag.map(|lag| lag.seconds),
                stands_seconds: reader.stands.as_secs_f64(),
                waits_for: reader.waits.shown(),
                detail: reader.failing.as_ref().map(|(_, why)| why.clone()),
            };
            (*partition, report)
        });
        Report {
            writers: inner.writers.clone(),
            assigned: inner.assigned.clone().unwrap_or_default(),
            lanes: lanes.collect(),
            reading: inner.readers.keys().copied().collect(),
            partitions: partitions.collect(),
            stopped: inner.stopped.clone(),
            journal_disk_sync: inner.sync.state(),
        }
    }
}

impl Waits {
    /// As people read it; nothing where it waits for messages alone.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::Messages => None,
            Self::Room(shard) => Some(format!("room in the lane of shard {shard}")),
            Self::Directory(error) => Some(format!("the directory: {error}")),
            Self::Letters(error) => Some(format!("dead letters to be stored: {error}")),
        }
    }
}
