//! `testbed demo`: the original's test, checked row by row.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use sluice_testbed::{
    Fleet, FleetOptions, Progress,
    loadgen::{Load, Verified},
    rows, wait,
};
use tokio_util::sync::CancellationToken;

use crate::{args::DemoArgs, keep, report};

/// Each on a shard of its own.
const CUSTOMERS: [&str; 3] = ["1", "2", "3"];
const REQUESTS_EACH: u64 = 1_000;
/// 100 at a time for each of the three.
const CONCURRENCY: &str = "300";
/// How long the rows may take after the last answer.
const COMMITTED_WITHIN: Duration = Duration::from_secs(60);
const INTERRUPTED: u8 = 130;

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) load: Load,
    /// From the first request until the last row was seen in its shard; none where it never was.
    pub(crate) committed: Option<Duration>,
    pub(crate) verified: Verified,
}

impl Outcome {
    /// Every request became one row, each customer's on the one shard that is its own, and nothing else is there.
    pub(crate) fn is_right(&self) -> bool {
        let wanted = REQUESTS_EACH * CUSTOMERS.len() as u64;
        let one_each = |shards: &[sluice_testbed::loadgen::VerifiedShard]| {
            shards.len() == CUSTOMERS.len() && shards.iter().all(|s| (s.rows, s.customers) == (REQUESTS_EACH, 1))
        };
        self.load.accepted == wanted && self.load.failed == 0 && self.verified.ok && one_each(&self.verified.shards)
    }
}

/// Runs it. 0: all rows are right. 1: one is not.
pub(crate) async fn run(args: &DemoArgs, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    let Some(shown) = stop.run_until_cancelled(Box::pin(show(args.options()))).await else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let (mut fleet, outcome) = shown?;
    report::outcome(&outcome)?;
    if args.keep {
        report::addresses(&fleet)?;
        report::hints(&fleet)?;
        keep::until_stopped(&mut fleet, stop).await;
    }
    fleet.stop();
    Ok(if outcome.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show(options: FleetOptions) -> anyhow::Result<(Fleet, Outcome)> {
    let fleet = Fleet::start(options).await?;
    let admin = fleet.admin()?;
    for (customer, shard) in CUSTOMERS.iter().zip(fleet.shards()) {
        admin.place(customer, &shard.name).await?;
    }
    Progress::Shown.line("three customers at once, 1,000 requests each, 100 at a time:");
    let began = Instant::now();
    let (customers, count) = (CUSTOMERS.join(","), (REQUESTS_EACH * CUSTOMERS.len() as u64).to_string());
    let args = ["--via", "http", "--customers", &customers, "--count", &count, "--concurrency", CONCURRENCY];
    let load = fleet.load(&[&args[..], &["--empty-body"]].concat()).await?;
    let step = Progress::Shown.step("waiting for the rows");
    let accepted = i64::try_from(load.accepted).unwrap_or(i64::MAX);
    let all_there = wait::until("all rows", COMMITTED_WITHIN, || async { row_count(&fleet).await >= accepted });
    let committed = all_there.await.is_ok().then(|| began.elapsed());
    step.done();
    let step = Progress::Shown.step("checking every row against the journal");
    let verified = fleet.verify().await?;
    step.done();
    Ok((fleet, Outcome { load, committed, verified }))
}

/// A shard that does not answer counts for nothing: what is missing there is named by the check that follows.
async fn row_count(fleet: &Fleet) -> i64 {
    let counts = fleet.shards().iter().map(|shard| rows::count(&shard.address));
    futures::future::join_all(counts).await.into_iter().flatten().map(|count| count.rows).sum()
}
