//! What a command goes by: every registered shard, and every partition, as they are now.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use sluice_directory::{Client, ShardEntry};
use sluice_journal::{
    Bounds, Journal, TrimRecord,
    repair::{RepairRecord, Standing},
};
use sluice_model::{Partition, Position};
use sluice_shard::{Identity, Shard, ShardAddress, StoredPosition, journal_of};

use super::{loss::Kept, plan::Seen};

/// Shards and partitions looked at side by side.
const ABREAST: usize = 16;
/// How long a shard may take to say who and how far it is.
const LIMIT: Duration = Duration::from_secs(20);

/// A registered shard.
pub struct Reading {
    /// Its name.
    pub shard: String,
    /// Where it is.
    pub address: ShardAddress,
    /// What it says; else why it says nothing.
    pub said: Result<Said, String>,
}

/// What a shard says.
pub struct Said {
    /// The journal that its positions belong to.
    pub journal_id: String,
    /// What it has stored.
    pub stored: BTreeMap<Partition, StoredPosition>,
}

/// A partition.
pub struct Look {
    /// Which.
    pub partition: Partition,
    /// What its stream holds.
    pub bounds: Bounds,
    /// When its last message was stored, if it holds any.
    pub last_stamp: Option<i64>,
    /// What was repaired before; of the losses that were accepted those that the journal bears out.
    pub record: RepairRecord,
    /// The least position that a shard may have stored.
    pub least: Position,
    /// What is gone behind the first position.
    pub holes: Vec<(Position, Position)>,
    /// A repair that shut it for events did not open it again.
    pub shut: bool,
    /// Every shard that says anything.
    pub seen: Vec<Seen>,
}

/// Asks every registered shard.
///
/// # Errors
/// Where the directory does not answer. A shard that does not is part of the answer.
pub async fn readings(directory: &Client) -> anyhow::Result<Vec<Reading>> {
    let shards = directory.shards().await.context("ask the directory (--sharding-mode) for the shards")?;
    let mut readings: Vec<_> = futures::stream::iter(shards).map(reading).buffer_unordered(ABREAST).collect().await;
    readings.sort_by(|a, b| a.shard.cmp(&b.shard));
    Ok(readings)
}

async fn reading(ShardEntry { name: shard, address, .. }: ShardEntry) -> Reading {
    let said = match tokio::time::timeout(LIMIT, ask(&shard, &address)).await {
        Ok(said) => said.map_err(|error| format!("{error:#}")),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    };
    Reading { shard, address, said }
}

async fn ask(shard: &str, address: &ShardAddress) -> anyhow::Result<Said> {
    let journal_id = journal_of(address, shard).await?;
    let identity = Identity { shard: shard.to_owned(), journal_id };
    let mut connection = Shard::connect(address, &identity).await?;
    let stored = connection.positions().await?;
    connection.close().await;
    Ok(Said { journal_id: identity.journal_id, stored })
}

/// Looks at every partition.
///
/// # Errors
/// Where NATS does not answer.
pub async fn looks(journal: &Journal, readings: &[Reading]) -> anyhow::Result<Vec<Look>> {
    let (trimmed, _) = journal.trim_ledger().await?.load().await?;
    let looks = journal.partitions().all().map(|partition| look(journal, partition, readings, &trimmed));
    futures::stream::iter(looks).buffered(ABREAST).try_collect().await
}

async fn look(
    journal: &Journal,
    partition: Partition,
    readings: &[Reading],
    trimmed: &TrimRecord,
) -> anyhow::Result<Look> {
    // In this order: who shuts a partition notes the intent first, and opens it before the intent is done.
    let shut = journal.is_shut(partition).await?;
    let repairs = journal.held_repairs(partition).await?;
    let mut known: HashMap<(Position, i64), (Standing, Option<Position>)> = HashMap::new();
    let mut seen = Vec::new();
    for (shard, said) in readings.iter().filter_map(|reading| Some((&reading.shard, reading.said.as_ref().ok()?))) {
        let Some(at) = said.stored.get(&partition) else { continue };
        let (stored, stamp) = (at.position, at.stamp);
        // Shards that have nothing to do stand where others stand.
        let (compared, cut) = match known.get(&(stored, stamp)) {
            Some(known) => *known,
            None => {
                let compared = journal.compare(stored, stamp).await?;
                let wanted = compared.is_lost() && stamp != 0;
                let cut = if wanted { Some(journal.last_until(partition, stamp).await?) } else { None };
                *known.entry((stored, stamp)).or_insert((compared, cut))
            }
        };
        let standing = repairs.judge(compared, shard, stored, stamp);
        let open = repairs.open(shard, stored);
        seen.push(Seen { shard: shard.clone(), stored, stamp, standing, cut, open });
    }
    // After the shards: what they have stored is in it, or lost.
    let bounds = journal.bounds(partition).await?;
    let last_stamp = if bounds.messages > 0 { journal.stamp(bounds.last).await? } else { None };
    let (holes, least) = (journal.holes(partition).await?, trimmed.base(partition, bounds.first));
    let record = borne_out(journal, repairs.record).await?;
    Ok(Look { partition, bounds, last_stamp, record, least, holes, shut, seen })
}

/// A record without the accepted losses of a history that the journal has lost since.
async fn borne_out(journal: &Journal, mut record: RepairRecord) -> anyhow::Result<RepairRecord> {
    for loss in &mut record.accepted {
        let mut held = Vec::new();
        for gone in &loss.gone {
            if journal.holds_loss(*gone).await? {
                held.push(*gone);
            }
        }
        loss.gone = held;
    }
    Ok(record)
}

impl Look {
    /// What of it tells what is lost.
    pub fn kept(&self) -> Kept<'_> {
        Kept { first: self.bounds.first, least: self.least, holes: &self.holes, record: &self.record }
    }
}
