//! A worker: some partitions, and a lane for each shard.

use std::sync::{Arc, RwLock};

use sluice_model::{Partition, PartitionCount};
use tokio_util::task::TaskTracker;

use crate::{
    lane::{self, Lane, task::Context},
    partition::PartitionReader,
    status::Status,
};

/// The partitions of each of some workers in one process.
///
/// Any assignment is right, as the shards' positions keep two writers of one partition from doubling or losing a row; this
/// one gives each worker as many as the next.
pub fn assign(partitions: PartitionCount, workers: u16) -> Vec<Arc<[Partition]>> {
    let workers = workers.min(partitions.get());
    (0..workers).map(|worker| partitions.all().filter(|p| p.number() % workers == worker).collect()).collect()
}

/// A worker's lanes, one for each shard that is registered or that an event was routed to.
pub struct Lanes {
    worker: u16,
    context: Context,
    status: Status,
    tasks: TaskTracker,
    all: RwLock<Arc<Vec<Arc<Lane>>>>,
}

impl Lanes {
    /// No lanes yet. Their tasks run on `tasks`, and end when the context's token is cancelled.
    pub fn new(worker: u16, context: Context, status: Status, tasks: TaskTracker) -> Self {
        Self { worker, context, status, tasks, all: RwLock::default() }
    }

    /// Every lane there is now.
    pub fn all(&self) -> Arc<Vec<Arc<Lane>>> {
        Arc::clone(&self.all.read().expect("no holder of this lock panics"))
    }

    /// Starts the lane of a shard, unless it is there.
    pub fn get_or_start(&self, shard: &str) {
        if self.all().iter().any(|lane| lane.shard() == shard) {
            return;
        }
        let mut all = self.all.write().expect("no holder of this lock panics");
        if all.iter().any(|lane| lane.shard() == shard) {
            return;
        }
        let lane = Arc::new(Lane::new(shard.to_owned(), self.worker, self.context.config.lane_queue_bytes));
        self.status.lane(Arc::clone(&lane));
        let task = lane::task::start(Arc::clone(&lane), self.context.clone());
        self.tasks.spawn(task);
        Arc::make_mut(&mut all).push(lane);
    }
}

/// Starts a reader for each of a worker's partitions, on `tasks`.
pub fn start(
    lanes: &Arc<Lanes>,
    tasks: &TaskTracker,
    status: &Status,
    stop_reading: &tokio_util::sync::CancellationToken,
) {
    for partition in lanes.context.partitions.iter() {
        let reader = PartitionReader {
            partition: *partition,
            lanes: Arc::clone(lanes),
            journal: lanes.context.journal.clone(),
            directory: lanes.context.directory.clone(),
            config: lanes.context.config.clone(),
            status: status.clone(),
            stop: stop_reading.clone(),
        };
        tasks.spawn(reader.run());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_worker_and_no_worker_is_without() {
        for (partitions, workers) in [(4, 1), (4, 3), (4, 9), (512, 7)] {
            let partitions = PartitionCount::try_from(partitions).unwrap();
            let assigned = assign(partitions, workers);
            let mut all: Vec<_> = assigned.iter().flat_map(|own| own.iter().copied()).collect();
            all.sort_unstable();
            assert!(all.iter().copied().eq(partitions.all()));
            assert!(assigned.iter().all(|own| !own.is_empty()));
        }
    }
}
