//! Looks at how far everything is, again and again: for `/metrics`, `/lanes` and `/readyz`.

use std::{collections::BTreeSet, time::Duration};

use sluice_journal::Journal;
use sluice_model::{Partition, Position};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Status;
use crate::{
    lag::{self, Ages},
    lane,
};

/// How often one looks. More often: questions to the server for nobody. Less often: figures are
/// that old.
const EVERY: Duration = Duration::from_secs(2);

impl Status {
    /// Looks until `stop`. How far the journal reaches is what [`Journal::watch`] has seen last.
    pub async fn observe(self, journal: Journal, stop: CancellationToken) {
        let mut ages = Ages::default();
        while !sluice_service::shutdown::cancelled_within(&stop, EVERY).await {
            let stalled = self.look_at_readers(&journal);
            for (partition, stands) in stalled {
                let seconds = stands.as_secs();
                tracing::error!(%partition, seconds, "this partition stands still although there is more to read");
            }
            // Where the journal does not answer, what was known of ages stays.
            if stop.run_until_cancelled(self.look_at_ages(&journal, &mut ages)).await.is_none() {
                return;
            }
        }
    }

    /// Notes which readers stand still; gives those that have just done so for too long.
    fn look_at_readers(&self, journal: &Journal) -> Vec<(Partition, Duration)> {
        let mut inner = self.inner();
        let (limit, now) = (inner.stalled_after, Instant::now());
        let mut stalled = Vec::new();
        for (partition, reader) in &mut inner.readers {
            let extent = journal.extent(*partition);
            let before = reader.stands;
            reader.stands = reader.standstill.look(reader.read, extent.map(|extent| extent.last), now);
            let is_room = matches!(reader.waits, super::Waits::Room(_));
            if before < limit && reader.stands >= limit && !is_room {
                stalled.push((*partition, reader.stands));
            }
            if let Some(extent) = extent {
                let labels = [("partition", partition.to_string())];
                gauge("sluice_journal_messages", &labels, extent.messages);
                gauge("sluice_journal_bytes", &labels, extent.bytes);
                let unread = extent.last.get().saturating_sub(reader.read.get());
                gauge("sluice_partition_unread_messages", &labels, unread);
            }
        }
        stalled
    }

    /// Asks how old the messages are that readers and shards lack.
    async fn look_at_ages(&self, journal: &Journal, ages: &mut Ages) {
        let end = |partition| journal.extent(partition).map(|extent| extent.last);
        let (lanes, readers): (_, Vec<_>) = {
            let inner = self.inner();
            (inner.lanes.clone(), inner.readers.iter().map(|(partition, reader)| (*partition, reader.read)).collect())
        };
        let stored: Vec<_> = lanes.iter().map(|lane| lane.stored_positions()).collect();
        let places = stored.iter().flatten().chain(&readers);
        let lacked = places.filter(|(partition, position)| end(*partition).is_some_and(|end| end > *position));
        let lacked: BTreeSet<Position> = lacked.map(|(_, position)| position.next()).collect();
        ages.look(journal, &lacked).await;
        for (lane, stored) in lanes.iter().zip(stored) {
            lane.set_lag(lag::of(stored, end, ages));
            lane::observe::now(lane);
        }
        for (partition, read) in readers {
            let lag = lag::of([(partition, read)], end, ages);
            if let Some(lag) = lag {
                let labels = [("partition", partition.to_string())];
                metrics::gauge!("sluice_partition_unread_seconds", &labels).set(lag.seconds);
            }
            self.reader(partition, |reader| reader.lag = lag);
        }
    }
}

fn gauge(name: &'static str, labels: &[(&'static str, String); 1], value: u64) {
    #[allow(clippy::cast_precision_loss, reason = "what a person looks at needs no more than 53 bits")]
    metrics::gauge!(name, labels).set(value as f64);
}
