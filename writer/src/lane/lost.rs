//! Passing what the journal has lost: only where somebody has accepted that for this shard.

use sluice_shard::Shard;

use super::{range::LostRun, task::Task, trouble::Trouble, work::Prepared};

impl Task {
    /// Makes sure that what is lost of the positions that a transaction passes was accepted as lost
    /// for this shard. The record is read now: whoever accepted it wrote that before any reader
    /// passed it, so it is there.
    pub(super) async fn may_pass(&mut self, shard: &mut Shard, prepared: &Prepared) -> Result<(), Trouble> {
        for LostRun { after, through } in prepared.lost() {
            let read = self.context.journal.repairs(through.partition()).await;
            let (record, _) = read.map_err(|e| Trouble::Retry(e.into()))?;
            if let Err(refused) = record.may_pass(self.lane.shard(), after, through) {
                // Another writer may have taken this shard on meanwhile.
                self.look_back(shard).await?;
                return Err(Trouble::Lacks(refused.into()));
            }
            let (shard, from) = (self.lane.shard(), after.next());
            tracing::warn!(shard, ?from, ?through, "what is lost here was accepted: the shard goes on behind it");
        }
        Ok(())
    }
}
