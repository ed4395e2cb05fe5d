//! How far readers and shards are from the journal's end, in messages and in time.

use std::{
    collections::{BTreeSet, HashMap},
    time::SystemTime,
};

use futures::StreamExt;
use serde::Serialize;
use sluice_failpoint::system_time;
use sluice_journal::Journal;
use sluice_model::{Partition, Position};

/// Messages that are fetched at once. Fewer: a look at many shards takes long. More: as many
/// questions to NATS at once.
const AT_ONCE: usize = 8;

/// How far somebody is from the journal's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Lag {
    /// Messages up to the end.
    pub messages: u64,
    /// The age of the oldest of them; 0 where there is none.
    pub seconds: f64,
}

/// The lag of somebody who has these partitions up to these positions. `None` where it has none, or
/// where the end of one is not known.
pub fn of(
    positions: impl IntoIterator<Item = (Partition, Position)>,
    end: impl Fn(Partition) -> Option<Position>,
    ages: &Ages,
) -> Option<Lag> {
    let mut lag: Option<Lag> = None;
    for (partition, position) in positions {
        let messages = end(partition)?.get().saturating_sub(position.get());
        let seconds = if messages > 0 { ages.seconds(position.next()) } else { 0.0 };
        let sum = lag.get_or_insert_default();
        (sum.messages, sum.seconds) = (sum.messages + messages, sum.seconds.max(seconds));
    }
    lag
}

/// When messages were stored that somebody lacks, as far as the journal has said it.
#[derive(Debug, Default)]
pub struct Ages {
    stamps: HashMap<Position, i64>,
    now: i64,
}

impl Ages {
    /// Asks the journal about these messages, where it has not said it before, and forgets all
    /// others.
    pub async fn look(&mut self, journal: &Journal, wanted: &BTreeSet<Position>) {
        self.stamps.retain(|position, _| wanted.contains(position));
        let unknown = wanted.iter().copied().filter(|position| !self.stamps.contains_key(position));
        let asked = futures::stream::iter(unknown.collect::<Vec<_>>()).map(|position| async move {
            // One that was trimmed meanwhile has none, and is not lacked any more.
            let stamp = journal.stamp(position).await.ok().flatten();
            stamp.map(|stamp| (position, stamp))
        });
        let asked: Vec<_> = asked.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
        self.stamps.extend(asked);
        let now = system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
    }

    /// How old a message is. The server's clock may be ahead of ours: then it is new.
    fn seconds(&self, position: Position) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "what a person looks at needs no more than 53 bits")]
        self.stamps.get(&position).map_or(0.0, |stamp| self.now.saturating_sub(*stamp).max(0) as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_counts_messages_up_to_the_journals_end_and_the_age_of_the_oldest() {
        let (one, two) = (Partition::new(1), Partition::new(2));
        let at = |partition: Partition, n| Position::new(Position::before_first(partition).get() + n).unwrap();
        let ends = HashMap::from([(one, at(one, 10)), (two, at(two, 4))]);
        let end = |partition: Partition| ends.get(&partition).copied();
        let stamps = HashMap::from([(at(one, 8), 5_000_000_000), (at(two, 5), 1)]);
        let ages = Ages { stamps, now: 7_500_000_000 };
        let lag = |positions: &[(Partition, Position)]| of(positions.iter().copied(), end, &ages);
        assert_eq!(lag(&[(one, at(one, 7)), (two, at(two, 4))]), Some(Lag { messages: 3, seconds: 2.5 }));
        assert_eq!(lag(&[(two, at(two, 4))]), Some(Lag::default()));
        assert_eq!(lag(&[(one, at(one, 12))]), Some(Lag::default()), "the end was told before");
        assert_eq!(lag(&[(Partition::new(3), at(one, 1))]), None, "nobody knows that partition's end");
        assert_eq!(lag(&[]), None);
    }
}
