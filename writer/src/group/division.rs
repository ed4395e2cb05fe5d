//! Tells each worker of this process which partitions it has.

use std::{collections::BTreeSet, sync::Arc};

use sluice_model::Partition;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{MemberName, assignment::of_workers, membership::Known};
use crate::status::Status;

/// The partitions that a worker is to have.
pub type Assignment = Arc<BTreeSet<Partition>>;

/// What is divided, and among whom.
pub struct Division {
    /// All partitions of the journal.
    pub partitions: BTreeSet<Partition>,
    /// Each worker of this process.
    pub assigned: Vec<watch::Sender<Assignment>>,
    /// Where to tell what this process has.
    pub status: Status,
}

impl Division {
    /// Divides anew whenever a writer comes or goes, until `stop`.
    pub async fn run(self, me: MemberName, mut members: watch::Receiver<Known>, stop: CancellationToken) {
        let workers = u16::try_from(self.assigned.len()).expect("at most 512 workers");
        while let Some(Ok(())) = stop.run_until_cancelled(members.changed()).await {
            let Some(members) = members.borrow_and_update().clone() else { continue };
            let shares = of_workers(&self.partitions, &members, me.as_str(), workers);
            self.status.assigned(members, shares.iter().flatten().copied().collect());
            for (assigned, share) in self.assigned.iter().zip(shares) {
                assigned.send_if_modified(|owned| {
                    let is_new = **owned != share;
                    *owned = Arc::new(share);
                    is_new
                });
            }
        }
    }
}
