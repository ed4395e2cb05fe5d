//! Scenario C: single posts over 100 connections, compared with the same server doing nothing.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use sluice_shard::Flavor;
use sluice_testbed::FleetOptions;

use crate::{
    args::Plan,
    cpu::Cpu,
    events::Events,
    finding::{Finding, Goal, Round, middle},
    nothing,
    post::{self, Posted, Requests},
    stage::Stage,
};

const CONNECTIONS: usize = 100;
/// Different persons, or as many customers.
const REQUESTS: u64 = 10_000;

/// What ingest did.
pub struct Accepted {
    /// What it answered.
    pub posted: Posted,
    /// Rows a second, from the first request to the last row.
    pub committed: f64,
    /// Of all processes.
    pub cpu: Cpu,
}

/// Three PostgreSQL shards, and a server that acknowledges what the disk has, or not.
///
/// # Errors
/// Where it does not start.
pub async fn stage(plan: &Plan, sync_always: bool) -> anyhow::Result<Stage> {
    Stage::start(FleetOptions { sync_always, ..options(plan) }).await
}

/// Three PostgreSQL shards.
pub fn options(plan: &Plan) -> FleetOptions {
    FleetOptions { shards: Flavor::Postgres.into(), journal_max_bytes: 4 << 30, ..plan.fleet() }
}

/// Posts of so many customers, in turn.
pub fn requests(address: SocketAddr, customers: u64) -> Requests {
    let events = Events { customers, per_message: 1, messages: REQUESTS };
    let request = |number| {
        let payload = events.payload(number).into_payload();
        post::request(address, &events.customer(number), "application/json", &payload)
    };
    Arc::new((0..REQUESTS).map(request).collect())
}

/// Posts for that time, and waits until every row is there.
///
/// # Errors
/// Where a post is refused, or a row missing.
pub async fn accept(stage: &Stage, requests: &Requests, time: Duration) -> anyhow::Result<Accepted> {
    let address = ingest(stage)?;
    let (rows, before, cpu) = (stage.rows().await?, stage.committed().await?, stage.cpu()?);
    let posted = post::post(address, requests, CONNECTIONS, time).await?;
    let cpu = stage.cpu()? - cpu;
    let late = stage.commits(before + posted.requests).await?;
    stage.reach(rows + posted.requests).await?;
    #[allow(clippy::cast_precision_loss, reason = "a count of rows is far below 2^53")]
    let committed = posted.requests as f64 / (posted.time + late).as_secs_f64();
    Ok(Accepted { posted, committed, cpu })
}

/// Where ingest of a stage listens.
///
/// # Errors
/// Never: it is an address.
pub fn ingest(stage: &Stage) -> anyhow::Result<SocketAddr> {
    Ok(stage.fleet.ingest_url().trim_start_matches("http://").parse()?)
}

/// Scenario C.
///
/// # Errors
/// Where something fails, or a row is missing.
pub async fn compare(plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for customers in [3, plan.small(10_000)] {
        let stage = stage(plan, true).await?;
        let (nothing, address) = nothing::start(stage.fleet.folder()).await?;
        let (ours, theirs) = (requests(ingest(&stage)?, customers), requests(address, customers));
        // Every customer is placed, and everything warm.
        accept(&stage, &ours, plan.seconds(3)).await?;
        let (mut rates, mut commits, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=plan.rounds {
            let step = plan.progress.step(&format!("  {customers} customers, round {round} of {}", plan.rounds));
            let accepted = accept(&stage, &ours, plan.seconds(5)).await?;
            let other = post::post(address, &theirs, CONNECTIONS, plan.seconds(5)).await?;
            step.done();
            rates.push(Round::ratio(accepted.posted.rate(), other.rate()));
            commits.push(Round::ratio(accepted.committed, accepted.posted.rate()));
            cpu.push((accepted.cpu, accepted.posted.requests));
        }
        drop(nothing);
        stage.fleet.stop();
        let (cpu, requests) = &cpu[middle(&rates)];
        let finding = |what: &str, against: &str, goal, rounds| Finding {
            scenario: 'C',
            what: what.to_owned(),
            against: against.to_owned(),
            unit: "/s",
            goal,
            rounds,
            cpu_us: cpu.per_event_us(*requests),
            other_cpu_us: BTreeMap::new(),
        };
        let what = format!("single posts, {customers} customers, {CONNECTIONS} connections, always");
        findings.push(finding(&what, "the same server doing nothing", Goal::AtLeast(0.5), rates));
        findings.push(finding("rows of these, until the last is there", "accepted", Goal::AtLeast(0.95), commits));
    }
    Ok(findings)
}
