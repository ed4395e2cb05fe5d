//! Scenario F: more shards, and more customers: what an event takes should stay what it is.
//!
//! The journal holds each case's events twice. The writer is measured over most of the second half, when it knows its customers
//! as it does when it runs for days.

use std::collections::{BTreeMap, BTreeSet};

use sluice_testbed::FleetOptions;

use crate::{
    args::Plan,
    cpu::Role,
    events::Events,
    finding::{Finding, Goal, Round, middle},
    insert, singles,
    stage::{Drained, Part, Stage},
};

/// Shards and customers, the smallest first.
const MORE_SHARDS: [(u16, u64); 3] = [(3, 10_000), (12, 10_000), (48, 10_000)];
const MORE_CUSTOMERS: [(u16, u64); 3] = [(3, 100), (3, 10_000), (3, 1_000_000)];
/// Half of a case's events.
const EVENTS: u64 = 1_000_000;

/// Scenario F.
///
/// # Errors
/// Where something fails, or a row is missing.
pub async fn compare(plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    let all: BTreeSet<_> = MORE_SHARDS.into_iter().chain(MORE_CUSTOMERS).collect();
    let mut fleets = BTreeMap::new();
    for case in all {
        fleets.insert(case, Case::start(plan, case).await?);
    }
    // All cases once, then all again: a machine that gets slower meanwhile does so for all of them.
    let mut cases: BTreeMap<_, Vec<Drained>> = BTreeMap::new();
    for round in 1..=plan.rounds {
        for ((shards, customers), fleet) in &mut fleets {
            let step = plan.progress.step(&format!("  {shards} shards, {customers} customers, round {round}"));
            cases.entry((*shards, *customers)).or_default().push(fleet.measure().await?);
            step.done();
        }
    }
    fleets.into_values().for_each(|fleet| fleet.stage.fleet.stop());
    let mut findings = Vec::new();
    for series in [MORE_SHARDS, MORE_CUSTOMERS] {
        for case in series {
            let goal = if case == series[0] { Goal::Known } else { Goal::AtMost(1.3) };
            findings.push(cpu(case, &cases[&case], &cases[&series[0]], series[0], goal));
        }
    }
    let (case, most) = (MORE_CUSTOMERS[2], &cases[&MORE_CUSTOMERS[2]]);
    #[allow(clippy::cast_precision_loss, reason = "a number of bytes is far below 2^53")]
    let mib = |drained: &Drained| drained.peak_bytes as f64 / f64::from(1 << 20);
    findings.push(Finding {
        scenario: 'F',
        what: format!("memory of the writer at its most, {} customers", case.1),
        against: "-".to_owned(),
        unit: "MiB",
        goal: Goal::AtMost(256.0),
        rounds: most.iter().map(|drained| Round { ours: mib(drained), other: 0.0, figure: mib(drained) }).collect(),
        cpu_us: BTreeMap::new(),
        other_cpu_us: BTreeMap::new(),
    });
    Ok(findings)
}

/// A fleet of one case.
struct Case {
    stage: Stage,
    events: Events,
}

impl Case {
    /// Starts it and places its customers.
    async fn start(plan: &Plan, (shards, customers): (u16, u64)) -> anyhow::Result<Self> {
        let options = FleetOptions { shard_count: shards, sync_always: false, ..singles::options(plan) };
        let customers = plan.small(customers);
        let step = plan.progress.step(&format!("  {shards} shards, {customers} customers: starting, and placing them"));
        let mut stage = Stage::start(options).await?;
        let events = Events { customers, per_message: 1, messages: plan.small(EVENTS) };
        let once = Events { messages: customers, ..events };
        let already = stage.rows().await?;
        stage.fill(&once).await?;
        stage.reach(already + customers).await?;
        // It takes nothing from the others while it is not measured.
        stage.fleet.writer().stop();
        step.done();
        Ok(Self { stage, events })
    }

    async fn measure(&mut self) -> anyhow::Result<Drained> {
        self.stage.clear().await?;
        let twice = Events { messages: 2 * self.events.messages, ..self.events };
        self.stage.fill(&twice).await?;
        insert::settle(&self.stage.addresses()).await?;
        let drained = self.stage.drain(twice.count(), Part::Later).await?;
        self.stage.fleet.writer().stop();
        Ok(drained)
    }
}

fn us(drained: &Drained) -> BTreeMap<Role, f64> {
    drained.cpu.per_event_us(drained.counted)
}

fn cpu(case: (u16, u64), ours: &[Drained], least: &[Drained], smallest: (u16, u64), goal: Goal) -> Finding {
    let total = |drained: &Drained| us(drained).values().sum::<f64>();
    let rounds = ours.iter().zip(least).map(|(ours, least)| Round::ratio(total(ours), total(least)));
    let rounds: Vec<Round> = rounds.collect();
    let name = |(shards, customers): (u16, u64)| format!("{shards} shards, {customers} customers");
    Finding {
        scenario: 'F',
        what: format!("processor time of all processes for an event: {}", name(case)),
        against: name(smallest),
        unit: "µs",
        goal,
        cpu_us: us(&ours[middle(&rounds)]),
        rounds,
        other_cpu_us: BTreeMap::new(),
    }
}
