//! Where a history was cut.

use sluice_model::{Partition, Position};

use crate::{Journal, JournalError, trim::search};

impl Journal {
    /// The last position whose message was stored at `moment` or before; the one before the first kept where there is none.
    ///
    /// With the stamp of a stored position that was lost, this is where the journal was cut: what stands after it was stored later,
    /// by another history.
    ///
    /// # Errors
    /// Where JetStream does not answer, or the partition is trimmed meanwhile: a guess would store events twice.
    pub async fn last_until(&self, partition: Partition, moment: i64) -> Result<Position, JournalError> {
        let bounds = self.bounds(partition).await?;
        let later = search::first_since(bounds.first, bounds.last.next(), moment.saturating_add(1), async |position| {
            let stamp = self.stamp_at_least(position).await?;
            let gone = || JournalError::new("date a message", format!("{position:?} is gone; try again"));
            stamp.ok_or_else(gone).map(Some)
        });
        Ok(later.await?.previous())
    }
}
