//! Scenario F: more shards, and more customers: what an event takes should stay what it is.
//!
//! The journal holds each case's events twice. The writer is measured over the second half, when it knows its customers as it does
//! when it runs for days.

use std::collections::{BTreeMap, btree_map::Entry};

use sluice_testbed::FleetOptions;

use crate::{
    args::Plan,
    cpu::Role,
    events::Events,
    finding::{Finding, Goal, Round},
    singles,
    stage::{Drained, Stage},
};

/// Shards and customers, the smallest first.
const MORE_SHARDS: [(u16, u64); 3] = [(3, 10_000), (12, 10_000), (48, 10_000)];
const MORE_CUSTOMERS: [(u16, u64); 3] = [(3, 100), (3, 10_000), (3, 1_000_000)];
/// Events that are measured.
const EVENTS: u64 = 1_000_000;

/// Scenario F.
///
/// # Errors
/// Where something fails, or a row is missing.
pub async fn compare(plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    let mut cases: BTreeMap<(u16, u64), Vec<Drained>> = BTreeMap::new();
    for case in MORE_SHARDS.into_iter().chain(MORE_CUSTOMERS) {
        if let Entry::Vacant(unmeasured) = cases.entry(case) {
            unmeasured.insert(measure(plan, case).await?);
        }
    }
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

async fn measure(plan: &Plan, (shards, customers): (u16, u64)) -> anyhow::Result<Vec<Drained>> {
    let options = FleetOptions { shard_count: shards, sync_always: false, ..singles::options(plan) };
    let options = FleetOptions { journal_max_bytes: 4 << 30, ..options };
    let customers = plan.small(customers);
    let mut stage = Stage::start(options).await?;
    let events = Events { customers, per_message: 1, messages: plan.small(EVENTS) };
    // Places them.
    let once = Events { messages: customers, ..events };
    let already = stage.rows().await?;
    stage.fill(&once).await?;
    stage.reach(already + customers).await?;
    let mut rounds = Vec::new();
    for round in 1..=plan.rounds {
        let step = plan.progress.step(&format!("  {shards} shards, {customers} customers, round {round}"));
        stage.clear().await?;
        let twice = Events { messages: 2 * events.messages, ..events };
        let stretches = stage.fill(&twice).await?;
        rounds.push(stage.drain(&stretches, twice.count(), 0.5).await?);
        step.done();
    }
    stage.fleet.stop();
    Ok(rounds)
}

fn us(drained: &Drained) -> BTreeMap<Role, f64> {
    drained.cpu.per_event_us(drained.counted)
}

fn cpu(case: (u16, u64), ours: &[Drained], least: &[Drained], smallest: (u16, u64), goal: Goal) -> Finding {
    let total = |drained: &Drained| us(drained).values().sum::<f64>();
    let rounds = ours.iter().zip(least).map(|(ours, least)| Round::ratio(total(ours), total(least)));
    let name = |(shards, customers): (u16, u64)| format!("{shards} shards, {customers} customers");
    Finding {
        scenario: 'F',
        what: format!("processor time of all processes for an event: {}", name(case)),
        against: name(smallest),
        unit: "µs",
        goal,
        rounds: rounds.collect(),
        cpu_us: us(&ours[ours.len() / 2]),
        other_cpu_us: BTreeMap::new(),
    }
}
