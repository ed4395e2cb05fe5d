//! The soak: a fleet under mixed load, faults drawn at random from a seed, and an account of every event at the end.
//!
//! 1. [`fault`]: what can break, and for how long.
//! 2. [`schedule`]: which of it happens when; pure, and the same again for the same seed.
//! 3. [`load`]: events over HTTP and straight to NATS, good ones and bad ones; `person`: what each says.
//! 4. [`stage`]: breaks it, and mends it; [`journal_room`]: the journal is full; [`journal_end`]: it loses its end; [`operator`]: repairs it.
//! 5. [`ledger`]: what became of each event; [`account`]: and of its row, at the end.
//!
//! The end is judged twice, by code that shares nothing: `loadgen verify` compares rows with the journal, position by position;
//! the ledger knows each event by a number in its name, and looks for exactly one row of each, with every column as it was sent.
//! Only events that were acknowledged and then lost with the journal's end may be missing: the ledger knows their positions.

pub mod account;
pub mod fault;
pub mod journal_end;
pub mod journal_room;
pub mod ledger;
pub mod load;
pub mod operator;
mod person;
pub mod schedule;
pub mod stage;

use std::time::{Duration, Instant};

use serde::Serialize;
use sluice_shard::Flavor;

use crate::{Fleet, FleetOptions, Progress, Shards, loadgen::Verified};

use self::{
    account::Account,
    fault::GUEST,
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
    /// How often a writer joined or left during an outage of a shard.
    pub writer_changes_during_outages: usize,
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
    /// The fleet that it breaks: two writers that take over quickly and a third that comes and goes, shards behind proxies, a journal that is trimmed all the time.
    fn fleet(&self) -> FleetOptions {
        let retain = RETAIN_S.to_string();
        let writer_args = [
            ["--takeover-ms", "2000"],
            ["--grace-ms", "1000"],
            ["--retain-s", &retain],
            ["--trim-interval-ms", "1000"],
        ];
        FleetOptions {
            shards: self.shards,
            writers: 3,
            nats_nodes: self.nats_nodes,
            replicas: self.replicas,
            proxied: self.shards != Shards::All(Flavor::Sqlite),
            durable_shards: false,
            own_group: self.progress == Progress::Shown,
            writer_args: writer_args.as_flattened().iter().map(|arg| (*arg).to_owned()).collect(),
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
    fleet.writers()[GUEST].stop();
    let begun = Instant::now();
    let load = Load::start(&fleet, options.seed, options.rate).await?;
    let mut stage = Stage::new(&fleet).await?;
    for moment in schedule.moments() {
        tokio::time::sleep_until((begun + moment.at()).into()).await;
        say(options.progress, begun, &moment, &load);
        match moment {
            Moment::Begins(Planned { fault, .. }) => stage.begin(&mut fleet, fault).await?,
            Moment::Ends(Planned { fault, .. }) => stage.end(&mut fleet, fault, &load).await?,
        }
    }
    let step = options.progress.step("repairing what there is to repair");
    stage.settle(&mut fleet).await?;
    step.done();
    let step = options.progress.step("waiting for the last rows");
    let sent = load.stop().await;
    let (account, verified) = judge(&fleet, &sent).await?;
    step.done();
    let seconds = begun.elapsed().as_secs_f64();
    fleet.stop();
    Ok(Outcome {
        seed: options.seed,
        seconds,
        faults: schedule.kinds(),
        writer_changes_during_outages: schedule.writer_changes_during_outages(),
        account,
        verified: verified.ok,
        wrong: verified.wrong.iter().map(|wrong| format!("{wrong:?}")).collect(),
    })
}

async fn judge(fleet: &Fleet, sent: &ledger::Ledger) -> anyhow::Result<(Account, Verified)> {
    // It waits until the shards have stored all there is.
    let verified = fleet.verify().await?;
    let shards = fleet.shards().iter().map(|shard| &shard.address);
    let account = sent.account(shards, verified.dead_letters).await?;
    Ok((account, verified))
}

fn say(progress: Progress, begun: Instant, moment: &Moment, load: &Load) {
    let (accepted, unknown) = load.so_far();
    let at = begun.elapsed().as_secs_f64();
    progress.line(&format!("{at:7.1} s  {moment:<58} {accepted:>9} accepted, {unknown} unknown"));
}
