//! The soak: a fleet under mixed load, faults drawn at random from a seed, and an account of every event at the end.
//!
//! 1. [`fault`]: what can break, and for how long.
//! 2. [`schedule`]: which of it happens when; pure, and the same again for the same seed.
//! 3. [`load`]: events over HTTP and straight to NATS, good ones and bad ones; [`ledger`]: what became of each.
//! 4. [`stage`]: breaks it, and mends it; [`journal_room`]: the journal is full.
//!
//! The end is judged twice, by code that shares nothing: `loadgen verify` compares rows with the journal, position by position;
//! the ledger knows each event by a number in its name, and looks for exactly one row of each.

pub mod fault;
pub mod journal_room;
pub mod ledger;
pub mod load;
pub mod schedule;
pub mod stage;

use std::time::{Duration, Instant};

use serde::Serialize;
use sluice_shard::Flavor;

use crate::{Fleet, FleetOptions, Progress, Shards, loadgen::Verified, soak::ledger::Account};

use self::{
    load::Load,
    schedule::{Moment, Planned, Schedule},
    stage::Stage,
};

/// How long a copy of a shard may be put back after it was made, and longer than any fault lasts: what the journal keeps for that.
const RETAIN_S: u64 = 60;

/// What to do.
#[derive(Debug, Clone)]
pub struct SoakOptions {
    /// For how long faults are drawn.
    pub minutes: f64,
    /// Two soaks of one seed have the same faults at the same moments.
    pub seed: u64,
    /// The engines of the shards.
    pub shards: Shards,
    /// Events per second, all ways together.
    pub rate: u32,
    /// Faults per minute, on average.
    pub faults_per_minute: f64,
    /// NATS servers: see [`FleetOptions::nats_nodes`].
    pub nats_nodes: u16,
    /// Copies of each stream: see [`FleetOptions::replicas`].
    pub replicas: Option<u16>,
    /// Where faults and progress are shown.
    pub progress: Progress,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// How long it took, until the last row was there, in seconds.
    pub seconds: f64,
    /// How many faults there were of each kind.
    pub faults: std::collections::BTreeMap<String, usize>,
    /// The account of the events.
    pub account: Account,
    /// Whether `loadgen verify` found every row right.
    pub verified: bool,
    /// What it found wrong, if anything.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// Whether every event is accounted for.
    pub fn is_right(&self) -> bool {
        self.verified && self.account.is_right()
    }

    /// How many faults there were.
    pub fn fault_count(&self) -> usize {
        self.faults.values().sum()
    }
}

impl SoakOptions {
    /// The fleet that it breaks: two writers that take over quickly, shards behind proxies, a journal that is trimmed all the time.
    fn fleet(&self) -> FleetOptions {
        let retain = RETAIN_S.to_string();
        let writer_args = ["--takeover-ms", "2000", "--retain-s", &retain, "--trim-interval-ms", "1000"];
        FleetOptions {
            shards: self.shards,
            writers: 2,
            nats_nodes: self.nats_nodes,
            replicas: self.replicas,
            proxied: self.shards != Shards::All(Flavor::Sqlite),
            durable_shards: false,
            own_group: self.progress == Progress::Shown,
            writer_args: writer_args.map(str::to_owned).to_vec(),
            progress: self.progress,
            ..FleetOptions::default()
        }
    }

    /// What happens when.
    pub fn schedule(&self) -> Schedule {
        let time = Duration::from_secs_f64(self.minutes * 60.0);
        Schedule::draw(self.seed, time, self.faults_per_minute, &fault::catalogue(self.shards, self.nats_nodes))
    }
}

/// Runs it; the fleet is gone when this returns.
///
/// # Errors
/// Where something does not start, or does not come back.
pub async fn run(options: &SoakOptions) -> anyhow::Result<Outcome> {
    let schedule = options.schedule();
    let mut fleet = Fleet::start(options.fleet()).await?;
    let begun = Instant::now();
    let load = Load::start(&fleet, options.seed, options.rate).await?;
    let mut stage = Stage::new(&fleet).await?;
    for moment in schedule.moments() {
        tokio::time::sleep_until((begun + moment.at()).into()).await;
        say(options.progress, begun, &moment, &load);
        match moment {
            Moment::Begins(Planned { fault, .. }) => stage.begin(&mut fleet, fault).await?,
            Moment::Ends(Planned { fault, .. }) => stage.end(&mut fleet, fault).await?,
        }
    }
    for process in fleet.processes() {
        process.wait_ready().await?;
    }
    let step = options.progress.step("waiting for the last rows");
    let sent = load.stop().await;
    let (account, verified) = judge(&fleet, &sent).await?;
    step.done();
    let seconds = begun.elapsed().as_secs_f64();
    fleet.stop();
    let wrong = verified.wrong.iter().map(|wrong| format!("{wrong:?}")).collect();
    Ok(Outcome { seed: options.seed, seconds, faults: schedule.kinds(), account, verified: verified.ok, wrong })
}

async fn judge(fleet: &Fleet, sent: &ledger::Ledger) -> anyhow::Result<(Account, Verified)> {
    // It waits until the shards have stored all there is.
    let verified = fleet.verify().await?;
    let mut account = sent.account(verified.dead_letters);
    for shard in fleet.shards() {
        sent.look_into(&shard.address, &mut account).await?;
    }
    sent.close(&mut account);
    Ok((account, verified))
}

fn say(progress: Progress, begun: Instant, moment: &Moment, load: &Load) {
    let (accepted, unknown) = load.so_far();
    let at = begun.elapsed().as_secs_f64();
    progress.line(&format!("{at:7.1} s  {moment:<58} {accepted:>9} accepted, {unknown} unknown"));
}
