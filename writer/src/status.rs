//! What `/readyz` and `/lanes` answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;
use sluice_journal::Journal;
use sluice_model::{Partition, Position};
use sluice_service::{
    http,
    nats::disk_sync::{self, DiskSync},
};
use tokio_util::sync::CancellationToken;

use crate::lane::{Lane, LaneState, observe};

/// How often what `/metrics` tells of lanes and the journal is looked at. More often: questions to the server for nobody.
const OBSERVE_EVERY: Duration = Duration::from_secs(2);

/// What the process is doing, for those who ask from outside.
#[derive(Clone, Default)]
pub struct Status(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    lanes: Vec<Arc<Lane>>,
    writers: BTreeSet<String>,
    assigned: Option<BTreeSet<Partition>>,
    reading: BTreeSet<Partition>,
    stopped: BTreeMap<Partition, String>,
    sync: DiskSync,
}

/// One lane, as `/lanes` tells it.
#[derive(Debug, Serialize)]
struct LaneReport {
    worker: u16,
    shard: String,
    state: LaneState,
    detail: Option<String>,
    queued_bytes: usize,
    stored: BTreeMap<Partition, Position>,
}

#[derive(Debug, Serialize)]
struct Report {
    writers: BTreeSet<String>,
    assigned: BTreeSet<Partition>,
    lanes: Vec<LaneReport>,
    reading: BTreeSet<Partition>,
    stopped: BTreeMap<Partition, String>,
    /// Whether NATS acknowledges only what its disk has.
    journal_disk_sync: disk_sync::State,
}

impl Status {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// From now on it says what is known about the journal's disks.
    pub fn watch_disks(&self, sync: DiskSync) {
        self.inner().sync = sync;
    }

    /// These writers are there, and this one has these partitions.
    pub fn assigned(&self, writers: BTreeSet<String>, partitions: BTreeSet<Partition>) {
        let mut inner = self.inner();
        inner.writers = writers;
        inner.assigned = Some(partitions);
    }

    /// A lane was made.
    pub fn lane(&self, lane: Arc<Lane>) {
        self.inner().lanes.push(lane);
    }

    /// A lane has ended for good.
    pub fn retired(&self, retired: &Arc<Lane>) {
        self.inner().lanes.retain(|lane| !Arc::ptr_eq(lane, retired));
        observe::ended(retired);
    }

    /// A partition's reader has started.
    pub fn reading(&self, partition: Partition) {
        let mut inner = self.inner();
        inner.stopped.remove(&partition);
        inner.reading.insert(partition);
    }

    /// A partition has to be looked at by somebody.
    pub fn stopped(&self, partition: Partition, why: String) {
        let mut inner = self.inner();
        inner.reading.remove(&partition);
        inner.stopped.insert(partition, why);
    }

    /// A partition is no longer this process'.
    pub fn released(&self, partition: Partition) {
        let mut inner = self.inner();
        inner.reading.remove(&partition);
        inner.stopped.remove(&partition);
    }

    /// Whether every partition that this process has is read, and no shard's tables have to be
    /// mended.
    pub fn is_ready(&self) -> bool {
        let inner = self.inner();
        let takes_rows = !inner.lanes.iter().any(|lane| lane.is_misconfigured());
        takes_rows && inner.assigned.as_ref().is_some_and(|assigned| inner.reading == *assigned)
    }

    /// Keeps `/metrics` true: each lane's state, and what the journal holds of this process' partitions.
    pub async fn observe(self, journal: Journal, stop: CancellationToken) {
        while !sluice_service::shutdown::cancelled_within(&stop, OBSERVE_EVERY).await {
            let (lanes, partitions) = {
                let inner = self.inner();
                (inner.lanes.clone(), inner.reading.clone())
            };
            lanes.iter().for_each(|lane| observe::now(lane));
            for partition in partitions {
                // Where the journal does not answer, what it said last stays.
                if let Ok(bounds) = journal.bounds(partition).await {
                    let labels = [("partition", partition.to_string())];
                    #[allow(clippy::cast_precision_loss, reason = "what a person looks at needs no more than 53 bits")]
                    let (messages, bytes) = (bounds.messages as f64, bounds.bytes as f64);
                    metrics::gauge!("sluice_journal_messages", &labels).set(messages);
                    metrics::gauge!("sluice_journal_bytes", &labels).set(bytes);
                }
            }
        }
    }

    fn report(&self) -> Report {
        let inner = self.inner();
        let lanes = inner.lanes.iter().map(|lane| {
            let health = lane.health();
            LaneReport {
                worker: lane.worker(),
                shard: lane.shard().to_owned(),
                state: health.state,
                detail: health.detail,
                queued_bytes: lane.queued_bytes(),
                stored: health.stored.iter().flatten().map(|(p, shard)| (*p, shard.stored.position)).collect(),
            }
        });
        Report {
            writers: inner.writers.clone(),
            assigned: inner.assigned.clone().unwrap_or_default(),
            lanes: lanes.collect(),
            reading: inner.reading.clone(),
            stopped: inner.stopped.clone(),
            journal_disk_sync: inner.sync.state(),
        }
    }
}

/// `/livez`, `/readyz` (every partition that this process has is read, and every shard takes rows)
/// and `/lanes` (each lane's state and stored positions).
pub fn routes(status: Status) -> Router {
    let ready = {
        let status = status.clone();
        move || std::future::ready(status.is_ready())
    };
    let sync = status.inner().sync.clone();
    let lanes = get(|State(status): State<Status>| async move { Json(status.report()) });
    Router::new().route("/lanes", lanes).with_state(status).merge(http::health(ready, sync))
}
