//! Stores a batch in a shard whose database may refuse rows of it: the refused rows become dead letters, the others are stored.
//!
//! Dead letters are stored between transactions, never within one. A position passes an event only once its letter is stored; a crash
//! in between stores the letter again, which changes nothing.

use bytes::Bytes;
use sluice_failpoint::fail_point;
use sluice_journal::{Watched, dead::Grave, subject};
use sluice_model::{Person, Position, Reason, Refusal};
use sluice_shard::{Appended, Batch, RefusedRow, Shard};
use tokio::time::Instant;

use super::{pieces::Pieces, task::Task, trouble::Trouble, work::Prepared};

impl Task {
    /// Stores a transaction's dead letters, then its rows and positions.
    ///
    /// # Errors
    /// Where the shard or JetStream fails.
    pub(super) async fn store(&mut self, shard: &mut Shard, prepared: &mut Prepared) -> Result<(), Trouble> {
        if !prepared.graves.is_empty() {
            // Acknowledged before the position passes them: a crash in between stores them again,
            // which changes nothing.
            let dead = self.context.journal.dead_letters();
            dead.store(&prepared.graves).await.map_err(|e| Trouble::Retry(e.into()))?;
        }
        let (batch, mut watched) = (std::mem::take(&mut prepared.batch), std::mem::take(&mut prepared.watched));
        let stamp = |position| prepared.stamp(position);
        prepared.batch = self.store_batch(shard, batch, stamp, &mut watched).await?;
        prepared.watched = watched;
        Ok(())
    }

    /// Stores a batch, in one transaction where the database takes every row, else in as many as it needs. `stamp` gives the stamp of a
    /// message that the batch covers; `watched` are messages whose publishers are told of refused rows. After an error some of the batch
    /// may be stored: the shard's positions say how much. Returns the last part that was stored, for its memory.
    ///
    /// # Errors
    /// Where the shard or JetStream fails. The time limit is for each transaction, not for all of them.
    async fn store_batch(
        &mut self,
        shard: &mut Shard,
        batch: Batch,
        stamp: impl Fn(Position) -> Option<i64>,
        watched: &mut [Watched],
    ) -> Result<Batch, Trouble> {
        let (mut pieces, mut begun, mut last) = (Pieces::new(batch), Instant::now(), Batch::default());
        while let Some(piece) = pieces.next() {
            let (refused, too_many) = match self.in_time("a batch", shard.append(piece)).await? {
                Appended::Stored => {
                    if let Some(piece) = pieces.stored() {
                        self.committed(&piece, begun.elapsed());
                        last = piece;
                    }
                    begun = Instant::now();
                    continue;
                }
                Appended::Refused(rows) => (rows, false),
                Appended::TooMany(rows) => (rows, true),
            };
            let letters: Vec<Grave> = refused.iter().filter_map(|row| self.letter(piece, row, &stamp)).collect();
            // Before the commit: a position may only pass an event whose dead letter is stored.
            fail_point!("lane.refused.before");
            let stored = self.context.journal.dead_letters().store(&letters).await;
            stored.map_err(|error| Trouble::Retry(error.into()))?;
            fail_point!("lane.refused.after");
            note_refused(watched, &letters);
            pieces.leave_out(letters.iter().map(|letter| letter.id).collect());
            if too_many {
                pieces.halve(&stamp);
            }
        }
        Ok(last)
    }

    /// The dead letter of a row that the shard's database refused.
    fn letter(&self, batch: &Batch, refused: &RefusedRow, stamp: impl Fn(Position) -> Option<i64>) -> Option<Grave> {
        let row = batch.rows.get(refused.index)?;
        let customer = row.customer_id.parse().ok();
        let partitions = self.context.journal.partitions();
        let subject = customer.as_ref().map(|customer| subject::create(partitions, customer)).unwrap_or_default();
        let refusal = Refusal::new(Reason::RefusedByShard, &refused.detail);
        let person = Person { name: row.name.into(), address: row.address.into() };
        let json = Bytes::from(serde_json::to_vec(&person).expect("strings are written to memory without fail"));
        let position = row.id.position();
        // Where it is not known any more, the position says it to whoever asks the journal.
        let stored = (subject.as_str(), stamp(position).unwrap_or_default());
        Some(Grave::of_event(position, row.id.index(), customer, refusal, stored, json))
    }
}

/// Notes in the messages that the letters are of that these events are no rows.
fn note_refused(watched: &mut [Watched], letters: &[Grave]) {
    for letter in letters {
        if let Some(watched) = watched.iter_mut().find(|watched| watched.position == letter.id.position()) {
            watched.note_dead(letter.events.clone(), &letter.refusal);
        }
    }
}
