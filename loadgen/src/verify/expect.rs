//! Fills the ledger from the journal: which events there are, whose they are, and which can become rows.

use std::time::Duration;

use anyhow::Context;
use sluice_journal::{Journal, Message, ReadError};
use sluice_model::{PartitionCount, Place, Position, message};

use super::ledger::Ledger;
use crate::progress::Progress;

/// Messages taken at once.
const CHUNK: usize = 1_000;
/// A reader that is interrupted so often in a row without giving a message is given up; and how long to wait before each further
/// try. Together longer than a cluster takes to elect a leader, which is up to 9 s.
const TRIES: (u32, Duration) = (30, Duration::from_millis(500));

/// Notes every message from `from` to `to`; `done` counts them on for the progress bar.
///
/// # Errors
/// Where the journal has a gap there, or cannot be read.
pub async fn read(
    journal: &Journal,
    from: Position,
    to: Position,
    ledger: &mut Ledger,
    progress: &Progress,
    done: &mut u64,
) -> anyhow::Result<()> {
    let (mut after, mut tries) = (Place::from(from.previous()), 0);
    while after.position < to {
        let before = after;
        match read_on(journal, &mut after, to, ledger, progress, done).await {
            Ok(()) => {}
            Err(error) if error.is_transient() && (after != before || tries < TRIES.0) => {
                tries = if after == before { tries + 1 } else { 1 };
                tracing::warn!(error = &error as &dyn std::error::Error, at = ?after.position, "reading the journal again");
                tokio::time::sleep(TRIES.1).await;
            }
            Err(error) => return Err(error).with_context(|| format!("read the journal after {:?}", after.position)),
        }
    }
    Ok(())
}

async fn read_on(
    journal: &Journal,
    after: &mut Place,
    to: Position,
    ledger: &mut Ledger,
    progress: &Progress,
    done: &mut u64,
) -> Result<(), ReadError> {
    let mut reader = journal.read(*after).await?;
    while after.position < to {
        let chunk = reader.next_held(CHUNK).await?;
        for message in chunk.iter().take_while(|message| message.position <= to) {
            note(message, journal.partitions(), ledger);
            *after = message.place();
            *done += 1;
        }
        progress.at(*done);
    }
    Ok(())
}

/// A message that names no customer of this partition is one dead letter, whatever it holds.
fn note(message: &Message, partitions: PartitionCount, ledger: &mut Ledger) {
    if message.is_filler() {
        return;
    }
    if let Some(original) = ledger.repaired.see(message) {
        ledger.copied(original);
    }
    match message.event_of(partitions) {
        Ok(customer) => {
            let events = message::decode(&message.payload, &customer).map(|event| event.is_ok());
            ledger.expect(message.position, Some(&customer), events);
        }
        Err(_) => ledger.expect(message.position, None, [false]),
    }
}
