//! What the process is doing, for those who ask from outside.
//!
//! - `report`: what `/lanes` answers.
//! - `readiness`: what `/readyz` answers; a pure decision.
//! - `observe`: looks at how far everything is, again and again.

mod observe;
mod readiness;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::get};
use sluice_journal::Journal;
use sluice_model::{Partition, Position};
use sluice_service::{http, nats::disk_sync::DiskSync};
use tokio::time::Instant;

use crate::{
    lag::Lag,
    lane::{self, Lane},
    standstill::Standstill,
};

/// What the process is doing. Cloning is cheap.
#[derive(Clone)]
pub struct Status(Arc<Mutex<Inner>>);

struct Inner {
    /// How long a partition may stand still before the process counts as unready.
    stalled_after: Duration,
    /// What the process waits for before it has any partition.
    starts: &'static str,
    journal: Option<Journal>,
    lanes: Vec<Arc<Lane>>,
    writers: BTreeSet<String>,
    assigned: Option<BTreeSet<Partition>>,
    /// Partitions whose reader waits before it can start, and for what.
    starting: BTreeMap<Partition, String>,
    readers: BTreeMap<Partition, ReaderStatus>,
    stopped: BTreeMap<Partition, String>,
    sync: DiskSync,
    troubles: BTreeMap<Part, String>,
}

/// How far a partition's reader is.
#[derive(Debug, Clone)]
struct ReaderStatus {
    /// The last position that it has read.
    read: Position,
    waits: Waits,
    /// Why it could not be opened, and since when that is so.
    failing: Option<(Instant, String)>,
    standstill: Standstill,
    stands: Duration,
    lag: Option<Lag>,
}

/// What a reader waits for before it reads on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// The journal's next message.
    Messages,
    /// Room in the lane of that shard, as nobody else has anything to do.
    Room(String),
    /// The directory, which said this or nothing.
    Directory(String),
    /// Dead letters to be stored, which failed so.
    Letters(String),
}

/// A part of the process that does not work on its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The group of writers.
    Group,
    /// The directory's list of shards.
    Directory,
    /// Trimming the journal.
    Trimming,
}

impl Default for Status {
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

impl Status {
    /// Of a process that has just started. `stalled_after`: how long a partition may stand still
    /// although there is something to read.
    pub fn new(stalled_after: Duration) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            stalled_after,
            starts: "the journal is not open yet: NATS does not answer, or its streams are not there",
            journal: None,
            lanes: Vec::new(),
            writers: BTreeSet::new(),
            assigned: None,
            starting: BTreeMap::new(),
            readers: BTreeMap::new(),
            stopped: BTreeMap::new(),
            sync: DiskSync::default(),
            troubles: BTreeMap::new(),
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// From now on it says what is known about the journal's disks.
    pub fn watch_disks(&self, sync: DiskSync) {
        self.inner().sync = sync;
    }

    /// The journal is open.
    pub fn opened(&self, journal: Journal) {
        let mut inner = self.inner();
        inner.journal = Some(journal);
        inner.starts = "the directory has not answered yet";
    }

    /// The shards are known.
    pub fn knows_shards(&self) {
        self.inner().starts = "it is not known yet which writers are there";
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
        lane::observe::ended(retired);
    }

    /// A partition's reader waits for something before it can start.
    pub fn starts(&self, partition: Partition, waits_for: String) {
        self.inner().starting.insert(partition, waits_for);
    }

    /// A partition's reader has started behind a position.
    pub fn reading(&self, partition: Partition, read: Position) {
        let mut inner = self.inner();
        inner.starting.remove(&partition);
        inner.stopped.remove(&partition);
        let (failing, standstill, stands) = (None, Standstill::default(), Duration::ZERO);
        let reader = ReaderStatus { read, waits: Waits::Messages, failing, standstill, stands, lag: None };
        inner.readers.insert(partition, reader);
    }

    /// A partition's reader has read that far.
    pub fn read_to(&self, partition: Partition, read: Position) {
        self.reader(partition, |reader| (reader.read, reader.failing) = (read, None));
    }

    /// A partition's reader waits for something.
    pub fn waits(&self, partition: Partition, waits: Waits) {
        self.reader(partition, |reader| reader.waits = waits);
    }

    /// A partition's reader was opened and works; it may have nothing to read.
    pub fn can_read(&self, partition: Partition) {
        self.reader(partition, |reader| reader.failing = None);
    }

    /// A partition's reader has ended, and is opened again.
    pub fn cannot_read(&self, partition: Partition, why: String) {
        self.reader(partition, |reader| {
            let since = reader.failing.take().map_or_else(Instant::now, |(since, _)| since);
            reader.failing = Some((since, why));
        });
    }

    fn reader(&self, partition: Partition, change: impl FnOnce(&mut ReaderStatus)) {
        if let Some(reader) = self.inner().readers.get_mut(&partition) {
            change(reader);
        }
    }

    /// A partition has to be looked at by somebody.
    pub fn stopped(&self, partition: Partition, why: String) {
        let mut inner = self.inner();
        inner.starting.remove(&partition);
        inner.readers.remove(&partition);
        inner.stopped.insert(partition, why);
    }

    /// A partition is no longer this process'.
    pub fn released(&self, partition: Partition) {
        let mut inner = self.inner();
        inner.starting.remove(&partition);
        inner.readers.remove(&partition);
        inner.stopped.remove(&partition);
    }

    /// A part of the process fails, or works (again).
    pub fn part(&self, part: Part, trouble: Option<String>) {
        let mut inner = self.inner();
        match trouble {
            Some(trouble) => drop(inner.troubles.insert(part, trouble)),
            None => drop(inner.troubles.remove(&part)),
        }
    }
}

/// `/livez`, `/readyz` and `/lanes` (each lane's state and stored positions, and how far each
/// partition is read).
pub fn routes(status: Status) -> Router {
    let ready = {
        let status = status.clone();
        move || std::future::ready(status.readiness())
    };
    let sync = status.inner().sync.clone();
    let lanes = get(|State(status): State<Status>| async move { Json(status.report()) });
    Router::new().route("/lanes", lanes).with_state(status).merge(http::health(ready, sync))
}
