//! What is still known of messages that the journal has lost: rows that shards have made of them,
//! and dead letters.

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use sluice_journal::Journal;
use sluice_model::{EventId, Partition, Position};
use sluice_shard::{Identity, Shard};

use super::{
    look::Reading,
    loss::{Loss, LostRange},
};

/// How long one shard's rows may be looked through. Shorter: large shards say nothing. Longer: the
/// command takes that long.
const LIMIT: Duration = Duration::from_secs(20);

/// What is known of one range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// How many rows each shard has made of its messages.
    pub rows: BTreeMap<String, u64>,
    /// How many of its events are dead letters.
    pub dead: u64,
    /// Shards that could not be looked through in time.
    pub unread: Vec<String>,
}

/// Looks for what is known of each range, in order.
///
/// # Errors
/// Where the dead letters cannot be read. A shard that cannot be is named.
pub async fn known(
    journal: &Journal,
    readings: &[Reading],
    losses: &[(Partition, Loss)],
) -> anyhow::Result<Vec<Vec<Known>>> {
    let mut all: Vec<Vec<Known>> = losses.iter().map(|(_, loss)| vec![Known::default(); loss.ranges.len()]).collect();
    if losses.is_empty() {
        return Ok(all);
    }
    let mut dead = |id: EventId| at(losses, &mut all, id.position(), |known| known.dead += 1);
    for letter in journal.dead_letters().list().await? {
        letter.ids().for_each(&mut dead);
    }
    for reading in readings.iter().filter(|reading| reading.said.is_ok()) {
        let shard = &reading.shard;
        let mut row = |id: EventId| {
            at(losses, &mut all, id.position(), |known| *known.rows.entry(shard.clone()).or_default() += 1);
        };
        let looked = tokio::time::timeout(LIMIT, look_through(reading, journal.id(), &mut row)).await;
        if !matches!(looked, Ok(Ok(()))) {
            all.iter_mut().flatten().for_each(|known| known.unread.push(shard.clone()));
        }
    }
    Ok(all)
}

async fn look_through(reading: &Reading, journal_id: &str, row: &mut impl FnMut(EventId)) -> anyhow::Result<()> {
    let identity = Identity { shard: reading.shard.clone(), journal_id: journal_id.to_owned() };
    let mut shard = Shard::connect(&reading.address, &identity).await?;
    let mut ids = shard.ids();
    while let Some(found) = ids.next().await {
        // Rows made by hand have any id.
        if let Ok(id) = EventId::try_from(found?.1) {
            row(id);
        }
    }
    Ok(())
}

/// Notes something of the range that a position belongs to, if it belongs to one.
fn at(losses: &[(Partition, Loss)], all: &mut [Vec<Known>], position: Position, note: impl FnOnce(&mut Known)) {
    let covers = |range: &LostRange| range.after < position && position <= range.through;
    let found = losses.iter().zip(all).filter(|((partition, _), _)| *partition == position.partition());
    let found = found.flat_map(|((_, loss), known)| loss.ranges.iter().zip(known));
    if let Some((_, known)) = { found }.find(|(range, _)| covers(range)) {
        note(known);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::loss::Cause, *};

    #[test]
    fn what_is_known_is_counted_for_the_range_that_it_belongs_to() {
        let partition = Partition::new(1);
        let place = |n: u64| Position::new(Position::before_first(partition).get() + n).unwrap();
        let range = |after, through| LostRange {
            after: place(after),
            through: place(through),
            cause: Cause::Removed,
            lacking: Vec::new(),
        };
        let loss = Loss { ranges: vec![range(4, 6), range(9, 10)], shards: BTreeMap::new() };
        let (losses, mut all) = ([(partition, loss)], [vec![Known::default(); 2]]);
        for n in [4, 5, 6, 7, 10, 11] {
            at(&losses, &mut all, place(n), |known| known.dead += 1);
        }
        at(&losses, &mut all, Position::first(Partition::new(2)), |known| known.dead += 1);
        assert_eq!([all[0][0].dead, all[0][1].dead], [2, 1]);
    }
}
