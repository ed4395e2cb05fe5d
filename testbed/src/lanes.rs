//! What a writer tells of its lanes, as anybody who asks `/lanes` sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context;
use serde::Deserialize;
use sluice_model::{Partition, Position};
use tokio::{sync::watch, task::JoinHandle};

use crate::{fleet::Fleet, wait};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// One lane.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Lane {
    /// Its shard's name.
    pub shard: String,
    /// `connecting`, `live`, `behind`, `misconfigured` or `stopped`.
    pub state: String,
    /// The last trouble, if it is not over.
    pub detail: Option<String>,
    /// Bytes in its queue.
    pub queued_bytes: usize,
    /// What its shard has stored of each partition, as far as the lane knows.
    pub stored: BTreeMap<String, Position>,
}

#[derive(Deserialize)]
struct Report {
    lanes: Vec<Lane>,
    assigned: BTreeSet<Partition>,
    reading: BTreeSet<Partition>,
}

/// Asks one writer.
async fn ask(url: &str) -> anyhow::Result<Report> {
    Ok(get(&format!("{url}/lanes")).await?.json().await?)
}

async fn get(url: &str) -> anyhow::Result<reqwest::Response> {
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    Ok(client.get(url).send().await?)
}

/// The rows that a writer's metrics name, by shard.
fn committed(metrics: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut rows = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("sluice_lane_rows_total{")) {
        let (labels, value) = line.rsplit_once(' ').context("a metric has a value")?;
        let (_, shard) = labels.split_once("shard=\"").context("a lane has a shard")?;
        let (shard, _) = shard.split_once('"').context("a label's value ends")?;
        *rows.entry(shard.to_owned()).or_default() += value.parse::<u64>()?;
    }
    Ok(rows)
}

impl Fleet {
    /// The lanes of the writer with that index.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn lanes(&self, writer: usize) -> anyhow::Result<Vec<Lane>> {
        Ok(ask(&self.writer_url(writer)).await?.lanes)
    }

    /// The rows that the writer with that index says it has committed since it was started, by shard. Cheap, where counting them is not.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn committed(&self, writer: usize) -> anyhow::Result<BTreeMap<String, u64>> {
        committed(&get(&format!("{}/metrics", self.writer_url(writer))).await?.text().await?)
    }

    /// The partitions that the writer with that index reads now.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn reading(&self, writer: usize) -> anyhow::Result<BTreeSet<Partition>> {
        Ok(ask(&self.writer_url(writer)).await?.reading)
    }

    /// The partitions that the writer with that index has now, whether it reads them yet or not.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn assigned(&self, writer: usize) -> anyhow::Result<BTreeSet<Partition>> {
        Ok(ask(&self.writer_url(writer)).await?.assigned)
    }

    /// Follows the lanes of the writer with that index.
    pub fn watch_lanes(&self, writer: usize) -> LaneWatch {
        let (seen, url) = (watch::Sender::new(Seen::default()), self.writer_url(writer));
        let sender = seen.clone();
        let looking = tokio::spawn(async move {
            loop {
                // One that does not answer now (it was killed) is asked again.
                if let Ok(report) = ask(&url).await {
                    sender.send_modify(|seen| report.lanes.iter().for_each(|lane| seen.note(lane)));
                }
                tokio::time::sleep(wait::INTERVAL).await;
            }
        });
        LaneWatch { seen, looking }
    }
}

/// Looks at a writer's lanes again and again until it is dropped, and remembers.
#[derive(Debug)]
pub struct LaneWatch {
    seen: watch::Sender<Seen>,
    looking: JoinHandle<()>,
}

/// What was seen of each shard's lanes.
#[derive(Debug, Default)]
struct Seen(BTreeMap<String, SeenLane>);

/// What was seen of one shard's lanes.
#[derive(Debug, Clone, Default)]
pub struct SeenLane {
    /// Each state, with the trouble that was told with it.
    pub states: BTreeSet<(String, Option<String>)>,
    /// The most bytes that were queued.
    pub most_queued_bytes: usize,
}

impl Seen {
    fn note(&mut self, lane: &Lane) {
        let seen = self.0.entry(lane.shard.clone()).or_default();
        seen.states.insert((lane.state.clone(), lane.detail.clone()));
        seen.most_queued_bytes = seen.most_queued_bytes.max(lane.queued_bytes);
    }
}

impl LaneWatch {
    /// What was seen of a shard's lanes so far.
    pub fn seen(&self, shard: &str) -> SeenLane {
        self.seen.borrow().0.get(shard).cloned().unwrap_or_default()
    }

    /// Whether a shard's lane was seen in trouble of which the detail says `what`.
    pub fn told(&self, shard: &str, what: &str) -> bool {
        let says = |detail: &Option<String>| detail.as_ref().is_some_and(|detail| detail.contains(what));
        self.seen(shard).states.iter().any(|(_, detail)| says(detail))
    }

    /// Whether a shard's lane was seen in that state.
    pub fn was(&self, shard: &str, state: &str) -> bool {
        self.seen(shard).states.iter().any(|(seen, _)| seen == state)
    }
}

impl Drop for LaneWatch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_shards_lanes_are_added_up() {
        let metrics = "# TYPE sluice_lane_rows_total counter\n\
                       sluice_lane_rows_total{shard=\"a\",worker=\"0\"} 3\n\
                       sluice_lane_rows_total{shard=\"a\",worker=\"1\"} 4\n\
                       sluice_lane_batches_total{shard=\"a\",worker=\"1\"} 9\n\
                       sluice_lane_rows_total{worker=\"0\",shard=\"b\"} 5\n";
        assert_eq!(committed(metrics).unwrap(), BTreeMap::from([("a".into(), 7), ("b".into(), 5)]));
    }
}
