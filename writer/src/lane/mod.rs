//! A lane: one shard's queue, and its single running transaction.
//!
//! - [`range`]: the positions that were read, and the stamps by which they are linked.
//! - [`work`]: what is in hand, and the lane rule: the one transaction of it that this shard may take.
//! - [`queue`]: what the readers put in; fed or behind, joining.
//! - [`task`]: the lane's life: connect, ask the shard how far it is, commit batch after batch; `live`: when.
//! - `store`: a batch stored whose rows the database may refuse; `pieces`: in which parts.
//! - `lost`: what the journal has lost is passed only where that was accepted. `trouble`: why it
//!   gives a connection up.
//! - `health`: what it shows of how it fares; [`observe`]: what of it is counted.
//! - [`catch_up`]: a lane that is behind reads for itself, and joins.
//!
//! This file is the part that readers and the outside see.

pub mod catch_up;
pub(crate) mod health;
mod live;
mod lost;
pub mod observe;
mod pieces;
pub mod queue;
pub mod range;
mod store;
pub mod task;
mod trouble;
pub mod work;

use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

use serde::Serialize;
use sluice_model::{Partition, Position};
use tokio::sync::{Notify, watch};

use self::{
    queue::Queue,
    range::PositionRange,
    work::{ShardPosition, Stored, Work},
};
use crate::{lag::Lag, router::Share, share::Epoch};

/// What a lane is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// Trying to get into the shard; it reads the journal for itself once it is in.
    Connecting,
    /// Fed by the readers.
    Live,
    /// Reading for itself from the shard's stored positions.
    Behind,
    /// Its shard lets it in and takes no rows, since somebody has changed its tables: see the
    /// detail. It tries again, and nothing is given up meanwhile.
    Misconfigured,
    /// Stopped: see the detail. One that lacks what the journal no longer has looks again every now
    /// and then.
    Stopped,
}

/// A lane's state, for readers that start and for `/lanes`.
#[derive(Debug, Clone)]
pub struct Health {
    /// What it is doing.
    pub state: LaneState,
    /// The last trouble, if it is not over.
    pub detail: Option<String>,
    /// What the shard said last; `None` until it has answered once.
    pub stored: Option<Stored>,
}

/// One shard's lane of one worker, as the readers share it with the lane's own task.
pub struct Lane {
    shard: String,
    worker: u16,
    queue: Mutex<Queue>,
    /// There is something in the queue, or a reader has started.
    arrived: Notify,
    /// Somebody waits for what has just been queued.
    waited_for: Notify,
    /// There is room in the queue again, or the lane went behind.
    room: Notify,
    busy: AtomicBool,
    named: AtomicBool,
    retired: AtomicBool,
    health: watch::Sender<Health>,
    lag: Mutex<Option<Lag>>,
}

impl Lane {
    /// A lane that has not begun; see [`task::start`].
    pub fn new(shard: String, worker: u16, queue_bytes: usize) -> Self {
        let health = Health { state: LaneState::Connecting, detail: None, stored: None };
        Self {
            shard,
            worker,
            queue: Mutex::new(Queue::new(queue_bytes)),
            arrived: Notify::new(),
            waited_for: Notify::new(),
            room: Notify::new(),
            busy: false.into(),
            named: false.into(),
            retired: false.into(),
            health: watch::Sender::new(health),
            lag: Mutex::default(),
        }
    }

    /// The shard's name.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// The worker that it belongs to.
    pub fn worker(&self) -> u16 {
        self.worker
    }

    /// What it is doing now.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Follows what it is doing.
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// What its shard said of a partition since it is owned; `None` where that is not known yet.
    pub fn stored(&self, partition: Partition, epoch: Epoch) -> Option<ShardPosition> {
        let health = self.health.borrow();
        let stored = health.stored.as_ref()?.get(&partition)?;
        (stored.epoch == epoch).then(|| stored.clone())
    }

    /// Its worker has other partitions than before.
    pub fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Bytes in its queue.
    pub fn queued_bytes(&self) -> usize {
        self.queue().bytes()
    }

    /// A partition's reader starts: see [`Queue::start`].
    pub fn start(&self, partition: Partition, next: Position, fed: bool) {
        self.queue().start(partition, next, fed);
        self.arrived.notify_one();
    }

    /// A reader that runs already meets this lane for the first time: see [`Queue::introduce`].
    pub fn introduce(&self, partition: Partition, next: Position) {
        self.queue().introduce(partition, next);
        self.arrived.notify_one();
    }

    /// A partition is no longer its worker's: see [`Queue::release`]. What the shard said of it is forgotten, too.
    pub fn release(&self, partition: Partition) {
        self.queue().release(partition);
        self.health.send_modify(|health| drop(health.stored.as_mut().map(|stored| stored.remove(&partition))));
        self.wake();
        self.room.notify_waiters();
    }

    /// Gives the lane its share of a range: see [`Queue::feed`].
    pub fn feed(&self, range: &PositionRange, share: Option<&mut Share>, more: bool) {
        let mut queue = self.queue();
        let had_events = queue.has_events();
        queue.feed(range, share, more);
        // The first event, so that the lane knows from when on it waits; then when it need not wait any more.
        let wake = queue.is_due() || (queue.has_events() && !had_events);
        let waited_for = queue.is_waited_for();
        drop(queue);
        if waited_for {
            self.waited_for.notify_one();
        }
        if wake {
            self.arrived.notify_one();
        }
    }

    /// A partition's reader has more at hand, and cannot give it now: see [`Queue::hurry`].
    pub fn hurry(&self, partition: Partition) {
        self.queue().hurry(partition);
        self.arrived.notify_one();
    }

    /// Whether a reader should wait before it feeds more.
    pub fn is_full(&self) -> bool {
        self.queue().is_full()
    }

    /// What its shard has stored of each partition, as far as is known.
    pub fn stored_positions(&self) -> Vec<(Partition, Position)> {
        let health = self.health.borrow();
        let stored = health.stored.iter().flatten();
        stored.map(|(partition, shard)| (*partition, shard.stored.position)).collect()
    }

    /// How far its shard is from the journal's end, as it was seen last; `None` until the shard has
    /// answered once.
    pub fn lag(&self) -> Option<Lag> {
        *self.lag.lock().expect("no holder of this lock panics")
    }

    /// Notes how far its shard is from the journal's end.
    pub fn set_lag(&self, lag: Option<Lag>) {
        *self.lag.lock().expect("no holder of this lock panics") = lag;
    }

    /// Waits until there may be room; spurious at times.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// Drops what is queued; the lane reads it for itself later.
    pub fn go_behind(&self) {
        self.queue().go_behind();
        self.arrived.notify_one();
        self.room.notify_waiters();
    }

    /// The directory's list has its shard.
    pub fn set_named(&self) {
        self.named.store(true, Ordering::Relaxed);
    }

    /// Whether the directory's list ever had its shard. A lane may be started by an event, before the list with its shard is there.
    pub fn was_named(&self) -> bool {
        self.named.load(Ordering::Relaxed)
    }

    /// Its shard was taken out of the directory: nobody is, or was, on it, so there is nothing for it to do.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.arrived.notify_one();
    }

    /// Whether its shard was taken out.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether it has stopped: nobody waits for it.
    pub fn has_stopped(&self) -> bool {
        self.health.borrow().state == LaneState::Stopped
    }

    /// Whether the lane could work but has nothing to do: waiting for another lane costs this one.
    pub fn is_idle(&self) -> bool {
        let busy = self.busy.load(Ordering::Relaxed);
        !busy && self.health.borrow().state == LaneState::Live && !self.queue().has_events()
    }

    /// Whether its shard takes nothing now: the lane will not make room.
    pub fn is_away(&self) -> bool {
        matches!(self.health.borrow().state, LaneState::Connecting | LaneState::Misconfigured)
    }

    /// Whether somebody has to mend its shard's tables.
    pub fn is_misconfigured(&self) -> bool {
        self.health.borrow().state == LaneState::Misconfigured
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of this lock panics")
    }

    fn take(&self, spare: Work) -> Work {
        let work = self.queue().take(spare);
        self.room.notify_waiters();
        work
    }

    fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    fn set_health(&self, state: LaneState, detail: Option<String>) {
        self.health.send_modify(|health| (health.state, health.detail) = (state, detail));
    }

    fn set_stored(&self, stored: &Stored) {
        self.health.send_modify(|health| health.stored = Some(stored.clone()));
    }
}
