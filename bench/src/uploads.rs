//! Scenario D: uploads of 1,000 lines, compared with a bare client that stores the same messages.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sluice_model::CustomerId;

use crate::{
    args::Plan,
    cpu::Cpu,
    events::Events,
    finding::{Finding, Goal, Round, middle},
    insert,
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
        let (before, cpu) = (stage.rows().await?, stage.cpu()?);
        let posted = self.post(stage, time).await?;
        let cpu = stage.cpu()? - cpu;
        stage.reach(before + posted.requests * LINES).await?;
        Ok((posted, cpu))
    }

    async fn post(&self, stage: &Stage, time: Duration) -> anyhow::Result<Posted> {
        let address = ingest(stage)?;
        let requests = self
            .messages()
            .map(|(customer, payload)| post::request(address, &customer, "application/x-ndjson", &payload));
        post::post(address, &Arc::new(requests.collect()), CONNECTIONS, time).await
    }

    /// A bare client stores as many messages.
    async fn bare(&self, stage: &Stage, requests: u64) -> anyhow::Result<Posted> {
        let different: Vec<_> = self.messages().collect();
        let messages = different.iter().cloned().cycle().take(usize::try_from(requests)?);
        let time = publish(&stage.nats, stage.partitions(), messages, IN_FLIGHT).await?;
        Ok(Posted { requests, time })
    }

    /// Both, one after the other, with the writer at work.
    async fn with_writer(&self, stage: &Stage, time: Duration) -> anyhow::Result<(Round, Cpu, u64)> {
        let addresses = stage.addresses();
        insert::settle(&addresses).await?;
        let (posted, cpu) = self.upload(stage, time).await?;
        insert::settle(&addresses).await?;
        let before = stage.rows().await?;
        let bare = self.bare(stage, posted.requests).await?;
        stage.reach(before + bare.requests * LINES).await?;
        Ok((Round::ratio(events_per_s(&posted), events_per_s(&bare)), cpu, posted.requests * LINES))
    }

    /// Both, one after the other, while the writer is stopped: what is between is ingest alone.
    async fn without_writer(&self, stage: &mut Stage, time: Duration) -> anyhow::Result<(Round, Cpu, u64)> {
        stage.fleet.writer().stop();
        let (before, cpu) = (stage.rows().await?, stage.cpu()?);
        let posted = self.post(stage, time).await?;
        let cpu = stage.cpu()? - cpu;
        let bare = self.bare(stage, posted.requests).await?;
        stage.fleet.writer().restart().await?;
        stage.reach(before + (posted.requests + bare.requests) * LINES).await?;
        Ok((Round::ratio(events_per_s(&posted), events_per_s(&bare)), cpu, posted.requests * LINES))
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
    let (mut stage, uploads) = (stage(plan, true).await?, Uploads::default());
    uploads.upload(&stage, plan.seconds(2)).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        let step = plan.progress.step(&format!("  round {round} of {}", plan.rounds));
        with.push(uploads.with_writer(&stage, plan.seconds(5)).await?);
        without.push(uploads.without_writer(&mut stage, plan.seconds(3)).await?);
        step.done();
    }
    stage.fleet.stop();
    let finding = |what: &str, rounds: &[(Round, Cpu, u64)]| {
        let figures: Vec<Round> = rounds.iter().map(|(round, ..)| *round).collect();
        let (_, cpu, events) = &rounds[middle(&figures)];
        Finding {
            scenario: 'D',
            what: format!("uploads of {LINES} lines, {CONNECTIONS} at once, always, {what}"),
            against: "a bare client storing the same messages".to_owned(),
            unit: "events/s",
            goal: Goal::AtLeast(0.7),
            cpu_us: cpu.per_event_us(*events),
            rounds: figures,
            other_cpu_us: BTreeMap::new(),
        }
    };
    Ok(vec![
        finding("while the writer brings them into the shards", &with),
        finding("while the writer is stopped", &without),
    ])
}
