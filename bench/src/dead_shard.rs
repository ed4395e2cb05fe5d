//! Scenario G: one of three shards is dead for a while under steady load. Compared with the same load without that.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sluice_shard::Flavor;
use sluice_testbed::{
    FleetOptions,
    traffic::{Load, Receiver, Traffic},
    wait,
};

use crate::{
    args::Plan,
    drain::Drain,
    events::Events,
    finding::{Finding, Goal, Round},
    stage::Stage,
};

/// Events a second.
const RATE: u32 = 20_000;
/// Events of each message, as ingest packs them under load.
const PACKED: u32 = 50;
/// Customers of each shard.
const CUSTOMERS: u16 = 10;
/// The shard that dies.
const DEAD: usize = 2;
/// Load before anything is measured.
const WARM_UP_S: u64 = 3;
/// The shard is level once it lacks no more than what is published in this time.
const LEVEL: Duration = Duration::from_millis(250);
/// A shard that is not level by then never will be.
const LEVEL_WITHIN: Duration = Duration::from_secs(300);

/// Scenario G.
///
/// # Errors
/// Where something fails that is not to be measured.
pub async fn compare(plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    let events = Events { customers: plan.small(10_000), per_message: 1, messages: plan.small(1_000_000) };
    let drain = Drain { events, flavor: Flavor::Postgres, shards: 3 };
    plan.progress.line("  scenario A's rate:");
    let drained = drain.measure(plan).await?;
    #[allow(clippy::cast_precision_loss, reason = "a count of events is far below 2^53")]
    let a_third = drained.iter().map(|round| events.count() as f64 / 3.0 / round.drained.time.as_secs_f64());
    let mut stage = Stage::start(FleetOptions { shards: Flavor::Postgres.into(), ..plan.fleet() }).await?;
    let traffic = traffic(&stage).await?;
    tokio::time::sleep(plan.seconds(WARM_UP_S)).await;
    let (mut throughput, mut catching_up) = (Vec::new(), Vec::new());
    for (round, a_third) in (1..=plan.rounds).zip(a_third) {
        let step = plan.progress.step(&format!("  round {round} of {}", plan.rounds));
        let well = others(&stage, plan.seconds(60)).await?;
        stage.fleet.servers()[DEAD].kill();
        let dead = others(&stage, plan.seconds(60)).await?;
        stage.fleet.servers()[DEAD].restart().await?;
        let rate = catch_up(&stage, &traffic).await?;
        step.done();
        throughput.push(Round::ratio(dead, well));
        catching_up.push(Round::ratio(rate, a_third));
    }
    let sent = traffic.stop().await?;
    anyhow::ensure!(sent.unknown == 0, "{} events were not acknowledged", sent.unknown);
    stage.reach(sent.total()).await?;
    stage.fleet.stop();
    let finding = |what: &str, against: &str, goal, rounds| Finding {
        scenario: 'G',
        what: what.to_owned(),
        against: against.to_owned(),
        unit: "rows/s",
        goal,
        rounds,
        cpu_us: BTreeMap::new(),
        other_cpu_us: BTreeMap::new(),
    };
    let what = "20,000 events/s, one of three shards dead for 60 s: rows of the other two";
    Ok(vec![
        finding(what, "the same without the fault", Goal::AtLeast(0.95), throughput),
        finding("the shard catches up", "scenario A's rate for one shard", Goal::AtLeast(1.0), catching_up),
    ])
}

fn customer(shard: usize, number: u16) -> String {
    format!("s{shard}-{number}")
}

async fn traffic(stage: &Stage) -> anyhow::Result<Traffic> {
    let admin = stage.fleet.admin()?;
    let mut receivers = Vec::new();
    for number in 0..CUSTOMERS {
        for (index, shard) in stage.fleet.shards().iter().enumerate() {
            admin.place(&customer(index, number), &shard.name).await?;
            receivers.push(Receiver::small(&customer(index, number)));
        }
    }
    let load = Load { receivers, messages_per_s: RATE / PACKED, events_per_message: PACKED };
    Traffic::start(&stage.fleet, load).await
}

/// Rows a second of the two other shards, over that time.
async fn others(stage: &Stage, time: Duration) -> anyhow::Result<f64> {
    let count = async || {
        let dead = &stage.fleet.shards()[DEAD].name;
        let committed = stage.fleet.committed(0).await?;
        let rows: u64 = committed.iter().filter(|(shard, _)| *shard != dead).map(|(_, rows)| rows).sum();
        anyhow::Ok((rows, Instant::now()))
    };
    let (before, begun) = count().await?;
    tokio::time::sleep(time).await;
    let (after, ended) = count().await?;
    #[allow(clippy::cast_precision_loss, reason = "a count of rows is far below 2^53")]
    Ok((after - before) as f64 / (ended - begun).as_secs_f64())
}

/// Rows a second of the shard that is back, until it lacks hardly anything.
async fn catch_up(stage: &Stage, traffic: &Traffic) -> anyhow::Result<f64> {
    let shard = &stage.fleet.shards()[DEAD].name;
    let committed = async || anyhow::Ok(stage.fleet.committed(0).await?.get(shard).copied().unwrap_or(0));
    let (begun, before) = (Instant::now(), committed().await?);
    let mine = |customer: &String| customer.starts_with(&format!("s{DEAD}-"));
    let near = f64::from(RATE) / 3.0 * LEVEL.as_secs_f64();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
    let near = near as u64;
    let mut now = before;
    let deadline = begun + LEVEL_WITHIN;
    loop {
        let sent = traffic.so_far().accepted;
        let sent: u64 = sent.iter().filter(|(customer, _)| mine(customer)).map(|(_, events)| events).sum();
        if now + near >= sent {
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "the shard does not catch up: {now} of {sent} rows");
        tokio::time::sleep(wait::INTERVAL).await;
        now = committed().await?;
    }
    #[allow(clippy::cast_precision_loss, reason = "a count of rows is far below 2^53")]
    Ok((now - before) as f64 / begun.elapsed().as_secs_f64())
}
