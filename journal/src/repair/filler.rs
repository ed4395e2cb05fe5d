//! Messages without events, which take up positions.

use std::time::Duration;

use async_nats::jetstream;
use futures::future::join_all;
use sluice_model::{Partition, Position};

use crate::{
    Journal, JournalError,
    publish::{PublishError, classify},
    subject,
};

/// What a filler takes in its stream, in bytes: 46 were measured for a partition of one digit.
pub const FILLER_BYTES: u64 = 48;
/// Fillers under way at once. Fewer: slower. More: a repair that slept leaves so many needless ones when it wakes up.
const ROUND: u64 = 1_000;
/// How long the server may take for a filler.
const LIMIT: Duration = Duration::from_secs(30);
/// Rounds in a row that may fail. What they stored is counted all the same.
const TRIES: u32 = 5;

impl Journal {
    /// Publishes fillers until the partition's last position is `through` or more; gives their number. `told` hears after each
    /// round how many are left.
    ///
    /// What others publish meanwhile takes up positions as well: fewer fillers are needed then.
    ///
    /// # Errors
    /// Where the journal is full, or JetStream does not answer: do it again, it goes on from there.
    pub async fn fill(&self, through: Position, mut told: impl FnMut(u64)) -> Result<u64, JournalError> {
        let partition = through.partition();
        self.rights().check_for("store fillers", subject::filler(partition))?;
        let context = jetstream::ContextBuilder::new().timeout(LIMIT).ack_timeout(LIMIT);
        let context = context.build(self.client().clone());
        let (mut filled, mut failures) = (0, 0);
        loop {
            let last = self.bounds(partition).await?.last;
            let left = through.get().saturating_sub(last.get());
            told(left);
            if left == 0 {
                return Ok(filled);
            }
            match round(&context, partition, left.min(ROUND)).await {
                Ok(stored) => (filled, failures) = (filled + stored, 0),
                Err(PublishError::Full) => return Err(full()),
                Err(error) => {
                    failures += 1;
                    if failures == TRIES {
                        return Err(JournalError::new("store fillers", error));
                    }
                    tracing::warn!(error = &error as &dyn std::error::Error, "some fillers are not acknowledged");
                }
            }
        }
    }
}

impl Journal {
    /// Publishes one filler; gives its position.
    pub(super) async fn fill_one(&self, partition: Partition) -> Result<Position, JournalError> {
        const OPERATION: &str = "store a filler";
        self.rights().check_for(OPERATION, subject::filler(partition))?;
        let ack = self.context().publish(subject::filler(partition), "".into()).await;
        let ack = ack.map_err(|e| JournalError::new(OPERATION, e))?.await;
        let ack = ack.map_err(|e| JournalError::new(OPERATION, e))?;
        let foreign = || JournalError::new(OPERATION, format!("sequence {} is not of the partition", ack.sequence));
        Position::new(ack.sequence).filter(|at| at.partition() == partition).ok_or_else(foreign)
    }
}

async fn round(context: &jetstream::Context, partition: Partition, count: u64) -> Result<u64, PublishError> {
    let subject = subject::filler(partition);
    let mut waiting = Vec::new();
    for _ in 0..count {
        let published = context.publish(subject.clone(), "".into()).await;
        waiting.push(published.map_err(|e| classify(&e))?);
    }
    let acks = join_all(waiting.into_iter().map(std::future::IntoFuture::into_future)).await;
    let mut stored = 0;
    for ack in acks {
        ack.map_err(|e| classify(&e))?;
        stored += 1;
    }
    Ok(stored)
}

fn full() -> JournalError {
    JournalError::new("store fillers", "the partition is full; give it room (nats stream edit --max-bytes) and go on")
}
