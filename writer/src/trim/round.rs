//! One round of trimming.

use std::{
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use anyhow::Context;
use futures::StreamExt;
use sluice_directory::{Client, ShardEntry};
use sluice_failpoint::{fail_point, system_time};
use sluice_journal::{
    Bounds, Journal, TrimLedger, TrimRecord,
    subject::TRIM_BUCKET,
    trim::{Stored, WriteError, search},
};
use sluice_model::{Partition, Place, Position};
use sluice_shard::{Identity, Shard, ShardError, StoredPosition};
use tokio::time::Instant;

use super::{
    decision::{self, Held, Positions},
    lease::Lease,
    tickets::Tickets,
};
use crate::config::TrimConfig;

/// Shards read side by side. Fewer: a round with many dead shards is slow. More: that many connections at once.
const READERS: usize = 16;

/// Partitions that may fail before a round leaves the rest alone. Fewer: one that is broken keeps
/// others from being trimmed. More: where NATS does not answer at all, a round takes long.
const GIVE_UP_AFTER: usize = 3;

/// A process that trims when it is its turn.
pub struct Trimmer {
    me: String,
    journal: Journal,
    directory: Client,
    config: TrimConfig,
    lease: Lease,
    ledger: Option<TrimLedger>,
    tickets: Tickets,
}

impl Trimmer {
    /// One that has claimed nothing yet.
    pub fn new(journal: Journal, directory: Client, config: TrimConfig) -> Self {
        let me = journal.unique_text();
        let lease = Lease::new(config.interval());
        Self { me, journal, directory, config, lease, ledger: None, tickets: Tickets::default() }
    }

    /// Claims, reads, settles and purges; nothing where it is another's turn. What each step leaves to the next process where
    /// this one dies stands in [`sluice_journal::trim`].
    ///
    /// # Errors
    /// Where NATS or the directory does not answer: nothing was removed beyond what was settled.
    pub async fn round(&mut self) -> anyhow::Result<()> {
        let ledger = self.ledger().await?;
        // What it forgets, a purge would go by wrongly.
        if let Some(why) = self.journal.misconfigured_bucket(TRIM_BUCKET) {
            anyhow::bail!("the record of what was trimmed cannot be relied on: {why}");
        }
        let begun = Instant::now();
        let Some((mut record, revision)) = self.claim(&ledger).await? else { return Ok(()) };
        fail_point!("trim.claimed");
        // After the claim, and not before: a shard registered meanwhile is in this list, or its ticket in this record.
        let shards = self.directory.shards().await.context("ask the directory for the shards")?;
        let registered = self.read(shards).await;
        record.read = decision::known(&registered, &record.read);
        for shard in record.read.keys().filter(|shard| !registered.contains_key(*shard)) {
            tracing::error!(
                shard,
                "the directory no longer names this shard; it holds the journal where it was last read"
            );
        }
        let (mut floors, mut failed) = (Vec::new(), Vec::new());
        let is_registered = |shard: &str| registered.contains_key(shard);
        if self.tickets.are_done(&mut record, is_registered, Instant::now()) {
            (floors, failed) = self.floors(&record.read).await;
        }
        floors.iter().for_each(|floor| record.settle(*floor));
        fail_point!("trim.settle.before");
        match ledger.write(&record, revision).await {
            Ok(_) => {}
            Err(WriteError::Stale) => {
                tracing::info!(
                    "a shard was registered meanwhile, or another process trims: nothing is trimmed this time"
                );
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        // A process that slept in between knows too little of the shards by now.
        if begun.elapsed() > self.lease.limit() {
            tracing::warn!("reading the shards took too long: nothing is trimmed this time");
            return Ok(());
        }
        fail_point!("trim.settled");
        failed.extend(self.purge(floors).await);
        // The next round tells of the others.
        failed.into_iter().next().map_or(Ok(()), Err)
    }

    /// What of each partition may go now, and why that could not be decided for some. One that
    /// fails does not keep the others from being trimmed: they would fill up.
    async fn floors(&self, known: &BTreeMap<String, Positions>) -> (Vec<Position>, Vec<anyhow::Error>) {
        let (mut floors, mut failed) = (Vec::new(), Vec::new());
        // What could drop messages by itself is told of elsewhere, and left alone.
        let all = self.journal.partitions().all();
        for partition in all.filter(|partition| self.journal.misconfigured(*partition).is_none()) {
            match self.floor(partition, known).await {
                Ok(floor) => floors.extend(floor),
                Err(error) => failed.push(error.context(format!("decide on partition {partition}"))),
            }
            if failed.len() >= GIVE_UP_AFTER {
                break;
            }
        }
        (floors, failed)
    }

    /// Removes what stands below these floors; gives what failed.
    async fn purge(&self, floors: Vec<Position>) -> Vec<anyhow::Error> {
        let mut failed = Vec::new();
        for floor in floors {
            match self.journal.purge_below(floor).await {
                Ok(0) => {}
                Ok(messages) => tracing::info!(partition = %floor.partition(), ?floor, messages, "trimmed"),
                Err(error) => failed.push(error.into()),
            }
            fail_point!("trim.purged");
        }
        failed
    }

    /// Gives the claim up, so that another process need not wait for its time limit.
    pub async fn hand_over(&self) {
        let Some(ledger) = &self.ledger else { return };
        let Ok((mut record, revision)) = ledger.load().await else { return };
        if record.owner.as_ref() == Some(&self.me) {
            record.owner = None;
            if let Err(error) = ledger.write(&record, revision).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "trimming was not handed over");
            }
        }
    }

    async fn ledger(&mut self) -> anyhow::Result<TrimLedger> {
        if self.ledger.is_none() {
            self.ledger = Some(self.journal.trim_ledger().await?);
        }
        Ok(self.ledger.clone().expect("it was just put there"))
    }

    async fn claim(&mut self, ledger: &TrimLedger) -> anyhow::Result<Option<(TrimRecord, u64)>> {
        let (mut record, revision) = ledger.load().await?;
        if !self.lease.may_claim(&record, &self.me, Instant::now()) {
            return Ok(None);
        }
        if record.owner.as_ref() != Some(&self.me) {
            tracing::info!(before = record.owner, "this process trims the journal from now on");
            record.owner = Some(self.me.clone());
        }
        record.beat += 1;
        match ledger.write(&record, revision).await {
            Ok(revision) => Ok(Some((record, revision))),
            Err(WriteError::Stale) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Every shard's stored positions; `None` for one that cannot be read.
    async fn read(&self, shards: Vec<ShardEntry>) -> BTreeMap<String, Option<Positions>> {
        futures::stream::iter(shards).map(|shard| self.read_one(shard)).buffer_unordered(READERS).collect().await
    }

    async fn read_one(&self, shard: ShardEntry) -> (String, Option<Positions>) {
        let identity = Identity { shard: shard.name.clone(), journal_id: self.journal.id().to_owned() };
        let read = tokio::time::timeout(Lease::READ_LIMIT, positions(&shard, &identity)).await;
        let error: &dyn std::error::Error = match &read {
            Ok(Ok(positions)) => return (shard.name, Some(positions.clone())),
            Ok(Err(error)) => error,
            Err(late) => late,
        };
        tracing::warn!(shard = shard.name, error, "cannot be read: it holds the journal where it was last read");
        (shard.name, None)
    }

    /// What of a partition may go now.
    async fn floor(
        &self,
        partition: Partition,
        known: &BTreeMap<String, Positions>,
    ) -> anyhow::Result<Option<Position>> {
        let bounds = self.journal.bounds(partition).await?;
        let passed = match decision::passed(partition, &bounds, known) {
            Ok(passed) => passed,
            Err(held) => {
                tracing::warn!(%partition, %held, "is not trimmed");
                return Ok(None);
            }
        };
        if let Some(held) = self.parted(partition, known).await? {
            tracing::warn!(%partition, %held, "is not trimmed");
            return Ok(None);
        }
        let mut wishes = Vec::new();
        if !decision::is_nearly_full(&bounds, self.config.trim_full_percent) {
            wishes.extend(self.config.retain_bytes.map(|bytes| decision::first_of_bytes(&bounds, bytes)));
            wishes.push(self.first_young(&bounds, passed).await?);
        }
        Ok(decision::floor(&bounds, passed, wishes))
    }

    /// A shard that has read what the journal no longer holds, if there is one.
    async fn parted(&self, partition: Partition, known: &BTreeMap<String, Positions>) -> anyhow::Result<Option<Held>> {
        let repairs = self.journal.held_repairs(partition).await?;
        let mut sound = HashSet::new();
        for (shard, positions) in known {
            let Some(Stored { position, stamp }) = positions.get(&partition).copied() else { continue };
            // A repair that has to be completed copies what stands before the shard's stored position too.
            if let Err(why) = repairs.left_out(shard, position, stamp) {
                return Ok(Some(Held::Parted { shard: shard.clone(), how: why.to_string() }));
            }
            // Shards that have nothing to do stand where others stand.
            if !sound.insert((position, stamp)) {
                continue;
            }
            match self.journal.verify(Place { position, stamp }).await {
                Ok(_) => {}
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(how) => return Ok(Some(Held::Parted { shard: shard.clone(), how: how.to_string() })),
            }
        }
        Ok(None)
    }

    /// The first message that is too young to go, of those that every shard has passed.
    async fn first_young(&self, bounds: &Bounds, passed: Position) -> anyhow::Result<Position> {
        let now = system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let age = u128::from(self.config.retain_s) * 1_000_000_000;
        let moment = i64::try_from(now.saturating_sub(age)).unwrap_or(i64::MAX);
        Ok(search::first_since(bounds.first, passed, moment, |position| self.journal.stamp(position)).await?)
    }
}

async fn positions(entry: &ShardEntry, identity: &Identity) -> Result<Positions, ShardError> {
    let mut shard = Shard::connect(&entry.address, identity).await?;
    let stored = shard.positions().await?;
    shard.close().await;
    let read = |stored: StoredPosition| Stored { position: stored.position, stamp: stored.stamp };
    Ok(stored.into_iter().map(|(partition, stored)| (partition, read(stored))).collect())
}
