//! Scenarios A, B and H: a journal that is full of events is brought into the shards.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, Shards};

use crate::{
    args::Plan,
    cpu::Cpu,
    events::Events,
    finding::{Finding, Goal, Round},
    insert::{self, Prepared},
    read,
    stage::{Drained, Part, Stage},
};

/// A journal and the shards that it is drained into.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// What is in the journal.
    pub events: Events,
    /// Of which engine the shards are.
    pub flavor: Flavor,
    /// How many.
    pub shards: u16,
}

/// One round of it.
pub struct Measured {
    /// Reading and throwing away.
    pub read: Took,
    /// Storing the rows from memory.
    pub insert: Took,
    /// Both, in seconds, with one partition after the other, and one shard after the other.
    pub in_turn: f64,
    /// The writer.
    pub drained: Drained,
}

/// What a limit took.
#[derive(Debug, Clone, Serialize)]
pub struct Took {
    /// In seconds.
    pub seconds: f64,
    /// Of all processes.
    pub cpu: Cpu,
}

impl Drain {
    /// The fleet. What fills the journal is not measured, so its server need not wait for the disk; draining only reads it.
    fn options(&self, plan: &Plan) -> FleetOptions {
        FleetOptions {
            shards: Shards::All(self.flavor),
            shard_count: self.shards,
            sync_always: false,
            journal_max_bytes: 4 << 30,
            idle_advance_ms: 10_000,
            ..plan.fleet()
        }
    }

    /// So many rounds, each of all three, one after the other.
    ///
    /// # Errors
    /// Where something fails, or a row is missing.
    pub async fn measure(&self, plan: &Plan) -> anyhow::Result<Vec<Measured>> {
        let mut stage = Stage::start(self.options(plan)).await?;
        let rows = self.events.rows(usize::from(self.shards), stage.partitions());
        let prepared = Arc::new(rows.into_iter().map(|rows| Prepared::new(self.flavor, rows)).collect::<Vec<_>>());
        let addresses = stage.addresses();
        // Places every customer, which is the directory's work and not the writer's, and warms everything up.
        let each_once = self.events.customers.min(self.events.messages);
        let once = Events { per_message: 1, messages: each_once, ..self.events };
        stage.clear().await?;
        stage.fill(&once).await?;
        stage.drain(once.count(), Part::All).await?;
        let mut rounds = Vec::new();
        for round in 1..=plan.rounds {
            let step = plan.progress.step(&format!("  round {round} of {}", plan.rounds));
            stage.clear().await?;
            let stretches = stage.fill(&self.events).await?;
            let before = stage.cpu()?;
            let seconds = read::read(&stage.nats, &stretches).await?.as_secs_f64();
            let read = Took { seconds, cpu: stage.cpu()? - before };
            insert::settle(&addresses).await?;
            let before = stage.cpu()?;
            let seconds = insert::insert(&addresses, &prepared).await?.as_secs_f64();
            let insert = Took { seconds, cpu: stage.cpu()? - before };
            let in_turn = read::read_in_turn(&stage.nats, &stretches).await?;
            insert::settle(&addresses).await?;
            let in_turn = (in_turn + insert::insert_in_turn(&addresses, &prepared).await?).as_secs_f64();
            insert::settle(&addresses).await?;
            let drained = stage.drain(self.events.count(), Part::All).await?;
            step.done();
            rounds.push(Measured { read, insert, in_turn, drained });
        }
        stage.fleet.stop();
        Ok(rounds)
    }

    fn describe(&self) -> String {
        let Events { customers, per_message, .. } = self.events;
        let messages = match per_message {
            1 => "single events".to_owned(),
            many => format!("events in messages of {many}"),
        };
        let count = indicatif::HumanCount(self.events.count());
        format!("drain {count} {messages}, {customers} customers, {} {} shards", self.shards, self.flavor)
    }
}

/// Scenarios A and H: single events; compared with reading and storing, one after the other.
///
/// # Errors
/// As [`Drain::measure`].
pub async fn singles(plan: &Plan, scenario: char, flavor: Flavor) -> anyhow::Result<Vec<Finding>> {
    let events = Events { customers: plan.small(10_000), per_message: 1, messages: plan.small(1_000_000) };
    let drain = Drain { events, flavor, shards: 3 };
    let rounds = drain.measure(plan).await?;
    let way = if flavor == Flavor::Postgres { "COPY" } else { "INSERT" };
    let last = middle(&rounds);
    let time = |goal, against: String, other: fn(&Measured) -> f64| Finding {
        scenario,
        what: drain.describe(),
        against,
        unit: "s",
        goal,
        rounds: rounds.iter().map(|round| Round::ratio(round.drained.time.as_secs_f64(), other(round))).collect(),
        cpu_us: last.drained.cpu.per_event_us(last.drained.counted),
        other_cpu_us: BTreeMap::new(),
    };
    let reading = time(Goal::Known, "reading alone".to_owned(), |round| round.read.seconds);
    let storing = |goal| time(goal, format!("{way} alone"), |round| round.insert.seconds);
    let both = |goal| time(goal, format!("reading, then {way}"), |round| round.read.seconds + round.insert.seconds);
    if flavor != Flavor::Postgres {
        return Ok(vec![storing(Goal::AtMost(1.3)), both(Goal::Known), reading]);
    }
    let in_turn = "reading, then COPY, one partition and one shard at a time".to_owned();
    let in_turn = time(Goal::AtMost(0.7), in_turn, |round| round.in_turn);
    Ok(vec![both(Goal::AtMost(0.7)), in_turn, cpu(&drain, &rounds), storing(Goal::Known), reading])
}

/// Processor time for each event, against that of reading and storing together.
fn cpu(drain: &Drain, rounds: &[Measured]) -> Finding {
    let count = drain.events.count();
    let us = |cpu: &Cpu, events| cpu.per_event_us(events).values().sum::<f64>();
    let round = |round: &Measured| {
        let limits = us(&round.read.cpu, count) + us(&round.insert.cpu, count);
        Round::ratio(us(&round.drained.cpu, round.drained.counted), limits)
    };
    Finding {
        scenario: 'A',
        what: "the same: processor time of all processes for an event".to_owned(),
        against: "reading and COPY together".to_owned(),
        unit: "µs",
        goal: Goal::AtMost(1.2),
        rounds: rounds.iter().map(round).collect(),
        cpu_us: middle(rounds).drained.cpu.per_event_us(middle(rounds).drained.counted),
        other_cpu_us: (middle(rounds).read.cpu.clone() + middle(rounds).insert.cpu.clone()).per_event_us(count),
    }
}

/// Scenario B: messages of many events, compared with COPY alone.
///
/// # Errors
/// As [`Drain::measure`].
pub async fn packed(plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    let events = Events { customers: plan.small(10_000), per_message: 100, messages: plan.small(50_000) };
    let drain = Drain { events, flavor: Flavor::Postgres, shards: 3 };
    let rounds = drain.measure(plan).await?;
    let last = middle(&rounds);
    Ok(vec![Finding {
        scenario: 'B',
        what: drain.describe(),
        against: "COPY alone".to_owned(),
        unit: "s",
        goal: Goal::AtMost(1.25),
        rounds: rounds
            .iter()
            .map(|round| Round::ratio(round.drained.time.as_secs_f64(), round.insert.seconds))
            .collect(),
        cpu_us: last.drained.cpu.per_event_us(last.drained.counted),
        other_cpu_us: last.insert.cpu.per_event_us(drain.events.count()),
    }])
}

/// The round whose draining took neither longest nor shortest.
fn middle(rounds: &[Measured]) -> &Measured {
    let mut order: Vec<&Measured> = rounds.iter().collect();
    order.sort_by_key(|round| round.drained.time);
    order[(order.len() - 1) / 2]
}
