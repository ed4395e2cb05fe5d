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
const LOOK: Duration = Duration::from_millis(20);
/// From this part on rows are counted. A lane that gets none of the last few messages says so only at its next idle advance; counting
/// rows all the time would take what is measured.
const NEARLY: f64 = 0.99;
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

/// What draining took.
#[derive(Debug, Clone)]
pub struct Drained {
    /// For all events, at the rate of those that were counted.
    pub time: Duration,
    /// By process, for those that were counted.
    pub cpu: Cpu,
    /// How many were counted.
    pub counted: u64,
    /// The writer's memory at its most, in bytes.
    pub peak_bytes: u64,
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

    /// Lets the writer, which is stopped, bring these stretches of so many events into the shards, whose tables are empty. The clock runs
    /// from the first commit that is seen after this part of them (0.0: from the very first), so that the writer's start is not
    /// counted; what was committed then is not counted either.
    ///
    /// # Errors
    /// Where not every event becomes a row in time.
    pub async fn drain(&mut self, stretches: &[Stretch], events: u64, after: f64) -> anyhow::Result<Drained> {
        self.fleet.writer().restart_unready()?;
        let deadline = Instant::now() + DRAINED_WITHIN;
        let (mut begun, mut done) = (None, 0.0);
        while done < NEARLY {
            ensure!(Instant::now() < deadline, "the journal is drained to {:.1} % only", done * 100.0);
            tokio::time::sleep(LOOK).await;
            done = self.share_done(stretches).await;
            if done > after && begun.is_none() {
                begun = Some((Instant::now(), self.cpu()?, done));
            }
        }
        let (since, cpu, before) = begun.context("it was begun before it was done")?;
        self.reach(events).await?;
        let (elapsed, cpu) = (since.elapsed(), (self.cpu()? - cpu).without_bench());
        let peak_bytes = Memory::of(self.fleet.writer().pid())?.peak;
        // Where the very first look sees all, there is nothing to tell.
        let left = (1.0 - before).max(f64::EPSILON);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of it"
        )]
        let counted = (events as f64 * left) as u64;
        Ok(Drained { time: elapsed.div_f64(left), cpu, counted, peak_bytes })
    }

    /// Waits until there are so many rows; gives how long that took.
    ///
    /// # Errors
    /// Where there are not in time, or more.
    pub async fn reach(&self, rows: u64) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        loop {
            let found = self.rows().await?;
            ensure!(found <= rows, "{found} rows for {rows} events");
            if found == rows {
                return Ok(begun.elapsed());
            }
            ensure!(begun.elapsed() < DRAINED_WITHIN, "{found} of {rows} rows came");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Which part of the stretches all shards together have; 0 while the writer does not answer.
    async fn share_done(&self, stretches: &[Stretch]) -> f64 {
        let Ok(lanes) = self.fleet.lanes(0).await else { return 0.0 };
        let mut passed = 0;
        for (stretch, lane) in stretches.iter().flat_map(|stretch| lanes.iter().map(move |lane| (stretch, lane))) {
            // Of a partition that is another worker's, a lane says nothing.
            if let Some(stored) = lane.stored.get(&stretch.first.partition().to_string()) {
                passed += stored.get().min(stretch.last.get()).saturating_sub(stretch.first.previous().get());
            }
        }
        let all = stretches.iter().map(Stretch::messages).sum::<u64>() * self.fleet.shards().len() as u64;
        #[allow(clippy::cast_precision_loss, reason = "a part of it")]
        let share = passed as f64 / all as f64;
        share
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
