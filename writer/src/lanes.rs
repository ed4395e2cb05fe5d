//! A worker's lanes.

use std::sync::{Arc, RwLock};

use tokio_util::task::TaskTracker;

use crate::{
    lane::{self, Lane, task::Context},
    share::Share,
    status::Status,
};

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

    /// What they and the readers of their worker need.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Where to tell what the worker does.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The worker's partitions.
    pub fn share(&self) -> &Share {
        &self.context.share
    }

    /// Every lane there is now.
    pub fn all(&self) -> Arc<Vec<Arc<Lane>>> {
        Arc::clone(&self.all.read().expect("no holder of this lock panics"))
    }

    /// The directory's list has these shards: a lane whose shard was in it before, and is no longer, ends.
    pub fn retain(&self, shards: &[String]) {
        let is_gone = |lane: &Arc<Lane>| {
            let is_named = shards.iter().any(|shard| shard == lane.shard());
            if is_named {
                lane.set_named();
            }
            !is_named && lane.was_named()
        };
        let gone: Vec<_> = self.all().iter().filter(|lane| is_gone(lane)).cloned().collect();
        if gone.is_empty() {
            return;
        }
        let mut all = self.all.write().expect("no holder of this lock panics");
        Arc::make_mut(&mut all).retain(|lane| !gone.iter().any(|gone| Arc::ptr_eq(gone, lane)));
        for lane in gone {
            lane.retire();
            self.status.retired(&lane);
        }
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
