//! Scenario E: how long one event takes, at a rate that is no effort; compared with one fsync and one commit of this machine.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use sluice_shard::ShardAddress;
use sluice_testbed::{NatsUser, rows::postgres_options};
use sqlx::{ConnectOptions, Connection, Executor};

use crate::{
    args::Plan,
    finding::{Finding, Goal, Round},
    singles,
};

/// Events a second.
const RATE: u64 = 1_000;
/// How often the machine is asked before, and how often after.
const SAMPLES: usize = 500;
/// What a small message takes on the disk.
const BLOCK: [u8; 4_096] = [7; 4_096];

/// What an open loop saw, in milliseconds.
struct Seen {
    accepted_p99: f64,
    committed_p50: f64,
    committed_p99: f64,
}

/// What the machine takes for an fsync and for a commit, with nothing else to do.
#[derive(Default)]
struct Machine {
    fsyncs: Vec<Duration>,
    commits: Vec<Duration>,
}

impl Machine {
    async fn ask(&mut self, folder: &Path, address: &ShardAddress) -> anyhow::Result<()> {
        self.fsyncs.extend(fsyncs(folder)?);
        self.commits.extend(commits(address).await?);
        Ok(())
    }

    /// Of both together, in milliseconds.
    fn p99(self) -> f64 {
        p99(self.fsyncs) + p99(self.commits)
    }
}

/// Scenario E.
///
/// # Errors
/// Where something fails.
pub async fn compare(plan: &Plan) -> anyhow::Result<Vec<Finding>> {
    let stage = singles::stage(plan, true).await?;
    let address = stage.addresses().into_iter().next().context("there are three shards")?;
    let customers = plan.small(1_000);
    seen(&stage, customers, plan.seconds(3)).await?;
    let mut rounds: Vec<(Seen, f64)> = Vec::new();
    for round in 1..=plan.rounds {
        let step = plan.progress.step(&format!("  round {round} of {}", plan.rounds));
        // What the scenarios before have left for the disk is not to be waited for here.
        tokio::task::spawn_blocking(nix::unistd::sync).await?;
        let mut machine = Machine::default();
        machine.ask(stage.fleet.folder(), &address).await?;
        let seen = seen(&stage, customers, plan.seconds(20)).await?;
        machine.ask(stage.fleet.folder(), &address).await?;
        rounds.push((seen, machine.p99()));
        step.done();
    }
    stage.fleet.stop();
    let finding = |what: &str, against: &str, goal, round: fn(&(Seen, f64)) -> Round| Finding {
        scenario: 'E',
        what: what.to_owned(),
        against: against.to_owned(),
        unit: "ms",
        goal,
        rounds: rounds.iter().map(round).collect(),
        cpu_us: BTreeMap::new(),
        other_cpu_us: BTreeMap::new(),
    };
    let machine = "p99 of an fsync and p99 of a commit, idle";
    Ok(vec![
        finding("open loop 1,000/s, always: until committed, p99", machine, Goal::AtMost(5.0), |(seen, machine)| {
            Round::ratio(seen.committed_p99, *machine)
        }),
        finding("the same p99 in ms", "-", Goal::AtMost(25.0), |(seen, machine)| Round {
            ours: seen.committed_p99,
            other: *machine,
            figure: seen.committed_p99,
        }),
        finding("until committed, p50", machine, Goal::Known, |(seen, machine)| {
            Round::ratio(seen.committed_p50, *machine)
        }),
        finding("until accepted, p99", machine, Goal::Known, |(seen, machine)| {
            Round::ratio(seen.accepted_p99, *machine)
        }),
    ])
}

/// Every other event waits for its commit; the others only for being accepted.
async fn seen(stage: &crate::stage::Stage, customers: u64, time: Duration) -> anyhow::Result<Seen> {
    let (url, rate) = (stage.fleet.ingest_url(), RATE.to_string());
    let (seconds, customers) = (time.as_secs_f64().to_string(), customers.to_string());
    let args = ["run", "--json", "--url", &url, "--rate", &rate, "--duration-s", &seconds];
    let args = [&args[..], &["--customers", &customers, "--commit-every", "2"]].concat();
    let told = stage.fleet.loadgen(NatsUser::Publisher, &args).await?;
    anyhow::ensure!(told["failed"] == 0, "posts failed: {told}");
    let ms = |value: &serde_json::Value| value.as_f64().map(|us| us / 1e3).context("loadgen tells latencies");
    Ok(Seen {
        accepted_p99: ms(&told["latency_us"]["p99"])?,
        committed_p50: ms(&told["commits"]["latency_us"]["p50"])?,
        committed_p99: ms(&told["commits"]["latency_us"]["p99"])?,
    })
}

/// A block at the end of a file, and onto the disk, on the file system that the journal is on.
fn fsyncs(folder: &Path) -> anyhow::Result<Vec<Duration>> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let once = |_| {
        let begun = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        anyhow::Ok(begun.elapsed())
    };
    let took = (0..SAMPLES).map(once).collect();
    std::fs::remove_file(path)?;
    took
}

/// A row, and its commit.
async fn commits(address: &ShardAddress) -> anyhow::Result<Vec<Duration>> {
    let mut connection = postgres_options(address).connect().await?;
    connection.execute("CREATE TABLE IF NOT EXISTS commit_alone (id INT)").await?;
    let mut took = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        connection.execute("INSERT INTO commit_alone VALUES (1)").await?;
        took.push(begun.elapsed());
    }
    connection.close().await?;
    Ok(took)
}

/// In milliseconds.
fn p99(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took.get(took.len() * 99 / 100).copied().unwrap_or_default().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_the_last_but_one_is_the_p99() {
        let took = (1..=100).rev().map(Duration::from_millis).collect();
        assert!((p99(took) - 100.0).abs() < 1e-9);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(fsyncs(folder.path()).unwrap().len(), SAMPLES);
    }
}
