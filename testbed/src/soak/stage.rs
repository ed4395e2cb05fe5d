//! Breaks the parts of a fleet, and mends them.

use std::{collections::BTreeMap, time::Duration};

use sluice_shard::{Flavor, ShardAddress};
use sqlx::{ConnectOptions, Connection};
use tokio::task::JoinHandle;

use super::{
    fault::{Fault, Kind, Target},
    journal_room::JournalRoom,
    load::STREET,
};
use crate::{
    Fleet, Process,
    lock::Lock,
    mariadb,
    proxy::Cut,
    rows::{mysql_options, postgres_options},
    set_back::Older,
};

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
    journal: JournalRoom,
}

impl Stage {
    /// Nothing is broken yet.
    ///
    /// # Errors
    /// Where NATS does not answer.
    pub async fn new(fleet: &Fleet) -> anyhow::Result<Self> {
        let shards = fleet.shards().iter().map(|shard| shard.address.clone()).collect();
        let journal = JournalRoom::of(fleet).await?;
        Ok(Self { shards, locks: BTreeMap::new(), copies: BTreeMap::new(), journal })
    }

    /// Breaks it.
    ///
    /// # Errors
    /// Where that does not work: then the soak would show nothing.
    pub async fn begin(&mut self, fleet: &mut Fleet, fault: Fault) -> anyhow::Result<()> {
        let Target::Shard(index) = fault.target else {
            let process = process(fleet, fault.target);
            match fault.kind {
                Kind::Kill => drop(process.kill()),
                Kind::Stop => drop(process.stop()),
                Kind::Full => self.journal.fill().await?,
                _ => process.freeze(),
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
            Kind::ReadOnly => read_only(&self.shards[index], true).await?,
            Kind::Lock => {
                let shard = self.shards[index].clone();
                self.locks.insert(index, tokio::spawn(async move { Lock::take(&shard).await }));
            }
            Kind::SetBack => drop(self.copies.insert(index, Older::copy(&self.shards[index]).await?)),
        }
        Ok(())
    }

    /// Mends it, as far as it does not mend itself.
    ///
    /// # Errors
    /// Where that does not work.
    pub async fn end(&mut self, fleet: &mut Fleet, fault: Fault) -> anyhow::Result<()> {
        let Target::Shard(index) = fault.target else {
            let process = process(fleet, fault.target);
            match fault.kind {
                // Not waited for: what it needs may be broken too.
                Kind::Kill | Kind::Stop => process.restart_unready()?,
                Kind::Full => self.journal.empty().await?,
                _ => process.thaw(),
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
            Kind::ReadOnly => read_only(&self.shards[index], false).await?,
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
            }
        }
        Ok(())
    }
}

/// As an operator does it: new sessions may only read, and the ones there are end; of MariaDB the whole server, at once.
async fn read_only(shard: &ShardAddress, on: bool) -> anyhow::Result<()> {
    if shard.flavor == Flavor::Mysql {
        let mut connection = mysql_options(shard).username(mariadb::OPERATOR).connect().await?;
        sqlx::raw_sql(&format!("SET GLOBAL read_only = {}", u8::from(on))).execute(&mut connection).await?;
        connection.close().await?;
        return Ok(());
    }
    let database = &shard.database;
    let set = if on { "SET default_transaction_read_only = on" } else { "RESET default_transaction_read_only" };
    // The operator's own session may write, or nothing could be mended.
    let own = postgres_options(shard).options([("default_transaction_read_only", "off")]);
    let mut connection = own.connect().await?;
    let sql = format!(
        "ALTER DATABASE {database} {set};
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice-lane'"
    );
    sqlx::raw_sql(&sql).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

fn process(fleet: &mut Fleet, target: Target) -> &mut Process {
    match target {
        Target::Writer(index) => &mut fleet.writers()[index],
        Target::Directory => fleet.directory(),
        Target::Ingest => fleet.ingest(),
        Target::Nats(index) | Target::Shard(index) => &mut fleet.nats_nodes()[index],
    }
}
