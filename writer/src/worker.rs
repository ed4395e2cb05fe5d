//! A worker: a share of the partitions, a reader for each, and a lane for each shard.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use sluice_model::Partition;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{group::division::Assignment, lanes::Lanes, partition::PartitionReader};

/// How long a partition that was refused is left alone before it is looked at again: somebody may have mended it. Shorter: the log is
/// full of it. Longer: it waits for that time once it is mended.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How long a partition is left alone whose stream is not set up as it has to be. That is only
/// looked up in what [`sluice_journal::Journal::watch`] has seen. Shorter: for nothing. Longer: it
/// waits for that time once it is mended.
const MISCONFIGURED_LOOK: Duration = Duration::from_secs(1);

/// A reader that runs.
struct Reading {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A worker.
pub struct Worker {
    lanes: Arc<Lanes>,
    stop: CancellationToken,
    readers: BTreeMap<Partition, Reading>,
    /// Partitions of its share that cannot be read, and when to look again.
    refused: BTreeMap<Partition, Instant>,
}

impl Worker {
    /// A worker without partitions, which reads until `stop`.
    pub fn new(lanes: Arc<Lanes>, stop: CancellationToken) -> Self {
        Self { lanes, stop, readers: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Reads the partitions that it is given, as they change, until it is told to stop.
    pub async fn run(mut self, mut assigned: watch::Receiver<Assignment>) {
        loop {
            let assignment = Arc::clone(&assigned.borrow_and_update());
            self.follow(&assignment).await;
            let look_again = self.refused.values().min().copied();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                changed = assigned.changed() => if changed.is_err() { break },
                refused = self.lanes.share().refusals() => {
                    for (partition, why) in refused {
                        self.refuse(partition, why).await;
                    }
                }
                () = tokio::time::sleep_until(look_again.unwrap_or_else(Instant::now)), if look_again.is_some() => {}
            }
        }
        for reading in self.readers.values() {
            reading.stop.cancel();
        }
        for (_, reading) in self.readers {
            reading.ended().await;
        }
    }

    /// Lets go of what is no longer its own first, then takes what is.
    async fn follow(&mut self, assignment: &BTreeSet<Partition>) {
        let lost: Vec<_> = self.readers.keys().filter(|partition| !assignment.contains(partition)).copied().collect();
        for partition in lost {
            self.release(partition).await;
            tracing::info!(%partition, "no longer this worker's");
        }
        let gone: Vec<_> = self.refused.keys().filter(|partition| !assignment.contains(partition)).copied().collect();
        for partition in gone {
            self.refused.remove(&partition);
            self.lanes.status().released(partition);
        }
        let now = Instant::now();
        for partition in assignment {
            let waits = self.refused.get(partition).is_some_and(|until| *until > now);
            if waits || self.readers.contains_key(partition) {
                continue;
            }
            // Nor do the lanes ask their shards about it: they could not compare that with the
            // journal.
            if let Some(why) = self.lanes.context().journal.misconfigured(*partition) {
                self.lanes.status().stopped(*partition, why);
                self.refused.insert(*partition, now + MISCONFIGURED_LOOK);
                continue;
            }
            self.refused.remove(partition);
            self.start(*partition);
        }
    }

    fn start(&mut self, partition: Partition) {
        let epoch = self.lanes.share().take(partition);
        self.lanes.all().iter().for_each(|lane| lane.wake());
        let stop = self.stop.child_token();
        let reader = PartitionReader { partition, epoch, lanes: Arc::clone(&self.lanes), stop: stop.clone() };
        self.readers.insert(partition, Reading { stop, task: tokio::spawn(reader.run()) });
    }

    /// The reader ends, before the lanes forget the partition: so nothing of it comes after. What a lane has in its transaction just now
    /// is committed, or dropped; what is queued, the next owner reads.
    async fn release(&mut self, partition: Partition) {
        if let Some(reading) = self.readers.remove(&partition) {
            reading.stop.cancel();
            reading.ended().await;
        }
        self.lanes.share().release(partition);
        self.lanes.all().iter().for_each(|lane| lane.release(partition));
        self.lanes.status().released(partition);
    }

    async fn refuse(&mut self, partition: Partition, why: String) {
        if self.readers.contains_key(&partition) {
            tracing::error!(%partition, why, "this partition has stopped and is looked at again; `writer journal show` tells more");
            self.release(partition).await;
            self.lanes.status().stopped(partition, why);
            let misconfigured = self.lanes.context().journal.misconfigured(partition).is_some();
            let again = if misconfigured { MISCONFIGURED_LOOK } else { LOOK_AGAIN };
            self.refused.insert(partition, Instant::now() + again);
        }
    }
}

impl Reading {
    /// Waits for the reader's end.
    async fn ended(self) {
        // A panic has ended the process; nobody aborts a reader.
        let _ = self.task.await;
    }
}
