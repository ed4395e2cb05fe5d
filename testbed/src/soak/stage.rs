//! Breaks the parts of a fleet, and mends them.

use std::{collections::BTreeMap, time::Duration};

use sluice_shard::ShardAddress;
use tokio::task::JoinHandle;

use super::{
    fault::{Fault, GUEST, Kind, Target},
    journal_end::JournalCopy,
    journal_room::JournalRoom,
    load::Load,
    operator::Operator,
    person::STREET,
};
use crate::{Fleet, Process, lock::Lock, proxy::Cut, read_only, set_back::Older};

/// Commits whose answers are lost, of one fault.
const LOST_COMMITS: u64 = 5;
/// How late a slow shard answers.
const LATE: Duration = Duration::from_millis(150);
/// What a file of a PostgreSQL server without room may have: its log's segments fit, and larger tables do not.
const TABLE_BYTES: u64 = (16 << 20) + 4096;

/// Within the statement that carries rows, whichever it is: each has their addresses in plain.
const IN_THE_ROWS: Cut = Cut { after: STREET, bytes: 20 };

/// What has to be remembered from a fault's beginning to its end.
pub struct Stage {
    shards: Vec<ShardAddress>,
    /// Being taken, or held. Nobody waits for one: a lane that is frozen may hold it, and who waits here does not thaw that.
    locks: BTreeMap<usize, JoinHandle<anyhow::Result<Lock>>>,
    copies: BTreeMap<usize, Older>,
    journal_room: JournalRoom,
    journal_copy: Option<JournalCopy>,
    operator: Operator,
}

impl Stage {
    /// Nothing is broken yet.
    ///
    /// # Errors
    /// Where NATS does not answer.
    pub async fn new(fleet: &Fleet) -> anyhow::Result<Self> {
        let shards = fleet.shards().iter().map(|shard| shard.address.clone()).collect();
        let journal_room = JournalRoom::of(fleet).await?;
        let (locks, copies, operator) = (BTreeMap::new(), BTreeMap::new(), Operator::default());
        Ok(Self { shards, locks, copies, journal_room, journal_copy: None, operator })
    }

    /// Breaks it.
    ///
    /// # Errors
    /// Where that does not work: then the soak would show nothing.
    pub async fn begin(&mut self, fleet: &mut Fleet, fault: Fault) -> anyhow::Result<()> {
        let Target::Shard(index) = fault.target else {
            match fault.kind {
                Kind::Kill => drop(process(fleet, fault.target).kill()),
                // Not waited for: what it has in hand may not be taken.
                Kind::Stop => process(fleet, fault.target).tell_to_stop(),
                Kind::JoinAndStop | Kind::JoinAndDie => process(fleet, fault.target).restart_unready()?,
                Kind::Full => self.journal_room.fill().await?,
                Kind::SetBack => self.journal_copy = Some(JournalCopy::take(fleet)?),
                _ => process(fleet, fault.target).freeze(),
            }
            return Ok(());
        };
        match fault.kind {
            Kind::Kill => fleet.servers()[index].kill(),
            Kind::Stop => fleet.servers()[index].stop(),
            Kind::Hang | Kind::Freeze => fleet.proxies()[index].hold(),
            Kind::LoseCommits => fleet.proxies()[index].lose_commit_answers(LOST_COMMITS),
            Kind::Cut => fleet.proxies()[index].cut(IN_THE_ROWS),
            Kind::Slow => fleet.proxies()[index].delay(LATE),
            Kind::Full => fleet.servers()[index].limit_files(Some(TABLE_BYTES))?,
            Kind::ReadOnly => read_only::set(&self.shards[index], true).await?,
            Kind::Lock => {
                let shard = self.shards[index].clone();
                self.locks.insert(index, tokio::spawn(async move { Lock::take(&shard).await }));
            }
            Kind::SetBack => drop(self.copies.insert(index, Older::copy(&self.shards[index]).await?)),
            // Only writers do.
            Kind::JoinAndStop | Kind::JoinAndDie => {}
        }
        Ok(())
    }

    /// Mends it, as far as it does not mend itself.
    ///
    /// # Errors
    /// Where that does not work.
    pub async fn end(&mut self, fleet: &mut Fleet, fault: Fault, load: &Load) -> anyhow::Result<()> {
        let Target::Shard(index) = fault.target else {
            match fault.kind {
                // Not waited for: what it needs may be broken too.
                Kind::Kill | Kind::Stop => process(fleet, fault.target).restart_unready()?,
                Kind::JoinAndStop => process(fleet, fault.target).tell_to_stop(),
                Kind::JoinAndDie => drop(process(fleet, fault.target).kill()),
                Kind::Full => self.journal_room.empty().await?,
                Kind::SetBack => {
                    if let Some(copy) = self.journal_copy.take() {
                        copy.put_back(fleet, load.ledger(), load.publisher()).await?;
                    }
                    self.operator.repair(fleet);
                }
                _ => process(fleet, fault.target).thaw(),
            }
            return Ok(());
        };
        match fault.kind {
            Kind::Kill | Kind::Stop => fleet.servers()[index].restart().await?,
            Kind::Hang | Kind::Freeze => fleet.proxies()[index].release(),
            Kind::LoseCommits => fleet.proxies()[index].lose_commit_answers(0),
            Kind::Cut => fleet.proxies()[index].cut(Cut { after: "UPDATE", bytes: 10 }),
            Kind::Slow => fleet.proxies()[index].delay(Duration::ZERO),
            Kind::Full => {
                let server = &mut fleet.servers()[index];
                // Without room for its log it may have given up.
                if server.has_ended() { server.restart().await? } else { server.limit_files(None)? }
            }
            Kind::ReadOnly => read_only::set(&self.shards[index], false).await?,
            Kind::Lock => {
                match self.locks.remove(&index) {
                    Some(lock) if lock.is_finished() => lock.await??.release().await?,
                    // A lane had it all the time: dropped, its connection is closed.
                    Some(lock) => lock.abort(),
                    None => {}
                }
            }
            Kind::SetBack => {
                if let Some(older) = self.copies.remove(&index) {
                    older.put_back().await?;
                }
                // What it has now may be of a history that the journal has lost since.
                self.operator.repair(fleet);
            }
            Kind::JoinAndStop | Kind::JoinAndDie => {}
        }
        Ok(())
    }

    /// Once no fault lasts: repairs what there is to repair, and lets every process do its work.
    ///
    /// # Errors
    /// Where one does not, or the journal cannot be repaired.
    pub async fn settle(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        self.operator.repair(fleet);
        self.operator.done().await?;
        fleet.writers()[GUEST].restart_unready()?;
        for process in fleet.processes() {
            process.wait_ready().await?;
        }
        Ok(())
    }
}

fn process(fleet: &mut Fleet, target: Target) -> &mut Process {
    match target {
        Target::Writer(index) => &mut fleet.writers()[index],
        Target::Directory => fleet.directory(),
        Target::Ingest => fleet.ingest(),
        Target::Nats(index) | Target::Shard(index) => &mut fleet.nats_nodes()[index],
    }
}
