//! A worker's share of the partitions, as its readers and lanes see it.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use sluice_model::Partition;
use tokio::sync::Notify;

/// One time of owning a partition. A partition that is released and taken again has a new one: what was known of it then, of
/// its shards or of the journal, says nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of this number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }
}

/// The partitions that a worker has now, each since when.
pub type Owned = Arc<BTreeMap<Partition, Epoch>>;

/// The partitions that a worker has, and those that turned out not to be fit for use.
#[derive(Debug, Default)]
pub struct Share {
    owned: Mutex<Owned>,
    /// Grows with each change of `owned`: lanes compare it far more often than it changes.
    version: AtomicU64,
    refused: Mutex<BTreeMap<Partition, String>>,
    told: Notify,
}

impl Share {
    /// What the worker has, and the version of that.
    pub fn owned(&self) -> (Owned, u64) {
        let owned = self.lock();
        (Arc::clone(&owned), self.version())
    }

    /// Which version of [`Share::owned`] there is.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The worker has one more, from now on.
    pub fn take(&self, partition: Partition) -> Epoch {
        let mut owned = self.lock();
        let epoch = Epoch(self.version.fetch_add(1, Ordering::Release) + 1);
        Arc::make_mut(&mut owned).insert(partition, epoch);
        epoch
    }

    /// The worker has one less.
    pub fn release(&self, partition: Partition) {
        let mut owned = self.lock();
        Arc::make_mut(&mut owned).remove(&partition);
        self.version.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Owned> {
        self.owned.lock().expect("no holder of this lock panics")
    }

    /// A reader or a lane says that the journal does not hold what it should of a partition: nobody of this worker may go on with it.
    pub fn refuse(&self, partition: Partition, why: String) {
        self.refused.lock().expect("no holder of this lock panics").insert(partition, why);
        self.told.notify_one();
    }

    /// Waits for what is refused next. May be cancelled.
    pub async fn refusals(&self) -> BTreeMap<Partition, String> {
        loop {
            let refused = mem::take(&mut *self.refused.lock().expect("no holder of this lock panics"));
            if !refused.is_empty() {
                return refused;
            }
            self.told.notified().await;
        }
    }
}
