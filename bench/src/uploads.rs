//! Scenario D: uploads of 1,000 lines, compared with a bare client that stores the same messages.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_model::CustomerId;

use crate::{
    args::Plan,
    cpu::Cpu,
    events::Events,
    finding::{Finding, Goal, Round},
    post::{self, Posted},
    publish::publish,
    singles::{ingest, stage},
    stage::Stage,
};

/// Lines of a request.
const LINES: u64 = 1_000;
/// Requests at once: as many uploads as ingest lets in.
const CONNECTIONS: usize = 16;
/// Different uploads.
const UPLOADS: u64 = 64;
/// Messages that the bare client has on their way: four times what the uploads make.
const IN_FLIGHT: usize = 64;

/// The uploads of a scenario.
pub struct Uploads {
    events: Events,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { events: Events { customers: 1_000, per_message: LINES, messages: UPLOADS } }
    }
}

impl Uploads {
    /// Uploads for that time, and waits until every row is there. Gives what was answered, and processor time.
    ///
    /// # Errors
    /// Where a line is refused, or a row missing.
    pub async fn upload(&self, stage: &Stage, time: Duration) -> anyhow::Result<(Posted, Cpu)> {
        let address = ingest(stage)?;
        let (before, cpu) = (stage.rows().await?, stage.cpu()?);
        let requests = self
            .messages()
            .map(|(customer, payload)| post::request(address, &customer, "application/x-ndjson", &payload));
        let posted = post::post(address, &Arc::new(requests.collect()), CONNECTIONS, time).await?;
        let cpu = stage.cpu()? - cpu;
        stage.reach(before + posted.requests * LINES).await?;
        Ok((posted, cpu))
    }

    /// A bare client stores as many messages.
    async fn bare(&self, stage: &Stage, count: u64) -> anyhow::Result<Posted> {
        let different: Vec<_> = self.messages().collect();
        let count_of = usize::try_from(count)?;
        let messages = different.iter().cloned().cycle().take(count_of);
        let before = stage.rows().await?;
        let time = publish(&stage.nats, stage.partitions(), messages, IN_FLIGHT).await?;
        stage.reach(before + count * LINES).await?;
        Ok(Posted { requests: count, time })
    }

    fn messages(&self) -> impl Iterator<Item = (CustomerId, bytes::Bytes)> + '_ {
        (0..UPLOADS).map(|number| (self.events.customer(number), self.events.payload(number).into_payload().into()))
    }
}

/// Events a second.
#[allow(clippy::cast_precision_loss, reason = "a thousand")]
pub fn events_per_s(posted: &Posted) -> f64 {
    posted.rate() * LINES as f64
}

/// Scenario D.
///
/// # Errors
/// Where something fails, or a row is missing.
pub async fn compare(plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    let (stage, uploads) = (stage(plan, true).await?, Uploads::default());
    uploads.upload(&stage, plan.seconds(2)).await?;
    let (mut rounds, mut cpu) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        let step = plan.progress.step(&format!("  round {round} of {}", plan.rounds));
        let (posted, took) = uploads.upload(&stage, plan.seconds(5)).await?;
        let bare = uploads.bare(&stage, posted.requests).await?;
        step.done();
        rounds.push(Round::ratio(events_per_s(&posted), events_per_s(&bare)));
        cpu.push((took, posted.requests * LINES));
    }
    stage.fleet.stop();
    let (cpu, events) = &cpu[cpu.len() / 2];
    Ok(vec![Finding {
        scenario: 'D',
        what: format!("uploads of {LINES} lines, {CONNECTIONS} at once, always"),
        against: "a bare client storing the same messages".to_owned(),
        unit: "events/s",
        goal: Goal::AtLeast(0.7),
        rounds,
        cpu_us: cpu.per_event_us(*events),
        other_cpu_us: BTreeMap::new(),
    }])
}
