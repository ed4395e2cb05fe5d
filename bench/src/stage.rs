//! A fleet to measure on, and what the scenarios ask of it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::jetstream;
use futures::future::try_join_all;
use sluice_journal::subject::stream_name;
use sluice_model::{PartitionCount, Position};
use sluice_shard::ShardAddress;
use sluice_testbed::{Fleet, FleetOptions, memory::Memory, rows};

use crate::{
    cpu::{Cpu, Processes, Role},
    events::Events,
    insert,
    publish::publish,
    read::Stretch,
};

/// How often one looks how far the writer is. More often: the looking takes what is measured.
const LOOK: Duration = Duration::from_millis(10);
/// A journal that is not drained by then never will be.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);
/// Messages on their way while a journal is filled.
const FILL_IN_FLIGHT: usize = 5_000;

/// A fleet, and a connection of the operator's.
pub struct Stage {
    /// The fleet.
    pub fleet: Fleet,
    /// Who may do all.
    pub nats: async_nats::Client,
}

/// Which part of draining is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// From the last look at which the writer, which is connected by then, did not read yet, to the last commit.
    All,
    /// From 55 to 95 percent of the rows: in between there is always as much under way.
    Later,
}

/// What draining took.
#[derive(Debug, Clone)]
pub struct Drained {
    /// How long the measured part took.
    pub time: Duration,
    /// By process, over that part.
    pub cpu: Cpu,
    /// How many events it was.
    pub counted: u64,
    /// The writer's memory at its most, in bytes.
    pub peak_bytes: u64,
}

/// A look at the clock, at the processes, and at the rows that are committed.
#[derive(Clone)]
struct Moment {
    at: Instant,
    cpu: Cpu,
    rows: u64,
}

impl Stage {
    /// Starts one.
    ///
    /// # Errors
    /// Where something does not start.
    pub async fn start(options: FleetOptions) -> anyhow::Result<Self> {
        let fleet = Fleet::start(options).await?;
        let nats = fleet.nats_client().await?;
        Ok(Self { fleet, nats })
    }

    /// How many partitions its journal has.
    pub fn partitions(&self) -> PartitionCount {
        self.fleet.partitions()
    }

    /// Where its shards are.
    pub fn addresses(&self) -> Vec<ShardAddress> {
        self.fleet.shards().iter().map(|shard| shard.address.clone()).collect()
    }

    /// Who takes processor time here.
    pub fn processes(&self) -> Processes {
        let pids = self.fleet.describe().pids;
        let roles = [
            (Role::Nats, pids.nats_servers),
            (Role::Databases, [pids.postgres, pids.mysql].concat()),
            (Role::Writer, pids.writer),
            (Role::Directory, vec![pids.directory]),
            (Role::Ingest, vec![pids.ingest]),
            (Role::Bench, vec![std::process::id()]),
        ];
        roles.into_iter().flat_map(|(role, pids)| pids.into_iter().map(move |pid| (role, pid))).collect()
    }

    /// What they have taken so far.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub fn cpu(&self) -> anyhow::Result<Cpu> {
        Cpu::of(&self.processes())
    }

    /// The position that each partition gives next.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn ends(&self) -> anyhow::Result<Vec<Position>> {
        let context = jetstream::new(self.nats.clone());
        let mut ends = Vec::new();
        for partition in self.partitions().all() {
            let stream = context.get_stream(stream_name(partition)).await?;
            let last = stream.cached_info().state.last_sequence;
            let last = last.max(Position::before_first(partition).get());
            ends.push(Position::new(last + 1).context("a journal's sequences are positions")?);
        }
        Ok(ends)
    }

    /// Stores the events; gives where they are.
    ///
    /// # Errors
    /// Where one is not stored.
    pub async fn fill(&self, events: &Events) -> anyhow::Result<Vec<Stretch>> {
        let before = self.ends().await?;
        let messages = (0..events.messages)
            .map(|message| (events.customer(message), events.payload(message).into_payload().into()));
        publish(&self.nats, self.partitions(), messages, FILL_IN_FLIGHT).await?;
        let after = self.ends().await?;
        let stretches = before.into_iter().zip(after).filter(|(first, next)| first < next);
        let stretches: Vec<_> = stretches.map(|(first, next)| Stretch { first, last: next.previous() }).collect();
        let stored: u64 = stretches.iter().map(Stretch::messages).sum();
        ensure!(stored == events.messages, "{stored} of {} messages are in the journal", events.messages);
        Ok(stretches)
    }

    /// Lets the writer, which is stopped, bring what was stored meanwhile into the shards, whose tables are empty: so many events. Afterwards
    /// the rows are counted.
    ///
    /// # Errors
    /// Where not every event becomes a row in time.
    pub async fn drain(&mut self, events: u64, part: Part) -> anyhow::Result<Drained> {
        self.fleet.writer().restart_unready()?;
        let deadline = Instant::now() + DRAINED_WITHIN;
        let (begin_at, end_at) = match part {
            Part::All => (0, events),
            Part::Later => (events * 55 / 100, events * 95 / 100),
        };
        let (mut begun, mut ended) = (self.moment(0)?, None);
        let mut rows = 0;
        while rows < events {
            ensure!(Instant::now() < deadline, "{rows} of {events} events are committed");
            tokio::time::sleep(LOOK).await;
            // It does not answer before it has begun.
            rows = self.committed().await.unwrap_or(0);
            let now = self.moment(rows)?;
            let before = match part {
                Part::All => rows == 0 && self.fleet.reading(0).await.map_or(true, |reading| reading.is_empty()),
                Part::Later => begun.rows < begin_at,
            };
            if before {
                begun = now.clone();
            }
            if rows >= end_at && ended.is_none() {
                ended = Some(now);
            }
        }
        let ended = ended.context("all are more than a part of them")?;
        let peak_bytes = Memory::of(self.fleet.writer().pid())?.peak;
        self.reach(events).await?;
        Ok(Drained {
            time: ended.at - begun.at,
            cpu: (ended.cpu - begun.cpu).without_bench(),
            counted: ended.rows - begun.rows,
            peak_bytes,
        })
    }

    fn moment(&self, rows: u64) -> anyhow::Result<Moment> {
        Ok(Moment { at: Instant::now(), cpu: self.cpu()?, rows })
    }

    /// How many rows the writer has committed since it was started, as it says itself.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn committed(&self) -> anyhow::Result<u64> {
        Ok(self.fleet.committed(0).await?.values().sum())
    }

    /// Waits until the writer has committed so many rows since it was started; gives how long that took.
    ///
    /// # Errors
    /// Where it has not in time.
    pub async fn commits(&self, rows: u64) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        while self.committed().await? < rows {
            ensure!(begun.elapsed() < DRAINED_WITHIN, "{} of {rows} rows are committed", self.committed().await?);
            tokio::time::sleep(LOOK).await;
        }
        Ok(begun.elapsed())
    }

    /// Counts the rows until there are so many. That takes what is measured: only before and after.
    ///
    /// # Errors
    /// Where there are not in time, or more.
    pub async fn reach(&self, rows: u64) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let found = self.rows().await?;
            ensure!(found <= rows, "{found} rows for {rows} events");
            if found == rows {
                return Ok(());
            }
            ensure!(begun.elapsed() < DRAINED_WITHIN, "{found} of {rows} rows came");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Rows of all shards.
    ///
    /// # Errors
    /// Where one does not answer.
    pub async fn rows(&self) -> anyhow::Result<u64> {
        let addresses = self.addresses();
        let counted = try_join_all(addresses.iter().map(rows::count)).await?;
        Ok(counted.iter().map(|rows| rows.rows.unsigned_abs()).sum())
    }

    /// Stops the writer and empties the shards' tables.
    ///
    /// # Errors
    /// Where a shard does not answer.
    pub async fn clear(&mut self) -> anyhow::Result<()> {
        self.fleet.writer().stop();
        let addresses = self.addresses();
        try_join_all(addresses.iter().map(insert::empty_person)).await?;
        Ok(())
    }
}
