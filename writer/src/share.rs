//! A worker's share of the partitions, as its readers and lanes see it.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex},
};

use sluice_model::Partition;
use tokio::sync::{Notify, watch};

/// The partitions that a worker has now.
pub type Owned = Arc<BTreeSet<Partition>>;

/// The partitions that a worker has, and those that turned out not to be fit for use.
#[derive(Debug, Default)]
pub struct Share {
    owned: watch::Sender<Owned>,
    refused: Mutex<BTreeMap<Partition, String>>,
    told: Notify,
}

impl Share {
    /// Follows what the worker has.
    pub fn follow(&self) -> watch::Receiver<Owned> {
        self.owned.subscribe()
    }

    /// The worker has one more.
    pub fn take(&self, partition: Partition) {
        self.owned.send_modify(|owned| _ = Arc::make_mut(owned).insert(partition));
    }

    /// The worker has one less.
    pub fn release(&self, partition: Partition) {
        self.owned.send_modify(|owned| _ = Arc::make_mut(owned).remove(&partition));
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
