//! A process dies at each step that matters, just before it and just after it, many times.

use std::{
    os::unix::process::ExitStatusExt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream;
use sluice_model::PartitionCount;
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, Process, lock::Lock, wait};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{LIMIT, all_rows, fleet, run};

/// Which times a process comes to a point it dies at it: at its first chance, and later in its work.
const TIMES: [u32; 3] = [1, 2, 7];
/// What `abort` ends a process with.
const SIGABRT: i32 = 6;

/// The points of a writer that any load leads to.
const WRITER: [&str; 12] = [
    "lane.begin.before",
    "lane.positions.after",
    "lane.commit.before",
    "lane.commit.after",
    "bury.before",
    "bury.after",
    "idle.before",
    "idle.after",
    "trim.claimed",
    "trim.settle.before",
    "trim.settled",
    "trim.purged",
];
/// Those of a lane that was behind.
const JOIN: [&str; 2] = ["join.before", "join.after"];
/// Those that a database leads to which refuses a value.
const REFUSED: [&str; 3] = ["lane.savepoint.after", "lane.refused.before", "lane.refused.after"];
/// Those of a publisher.
const INGEST: [&str; 3] = ["publish.before", "publish.sent", "publish.acked"];

/// Trims all it may at once, stores positions of idle lanes at once, and goes behind at once.
fn hasty(shards: Flavor) -> FleetOptions {
    let writer_args = ["--retain-s", "0", "--trim-interval-ms", "50"];
    let queue = ["--lane-queue-bytes", "2000", "--lane-patience-ms", "10"];
    FleetOptions {
        shards: shards.into(),
        partitions: PartitionCount::try_from(2).unwrap(),
        idle_advance_ms: 20,
        writer_args: [writer_args, queue].concat().into_iter().map(str::to_owned).collect(),
        ..FleetOptions::default()
    }
}

/// Messages of a burst that hold one event.
const SINGLES: i64 = 60;
/// Events of its last message: more than PostgreSQL gets as one statement, so that its transaction takes all the steps.
const LARGE: i64 = 300;

/// Events in bursts, with pauses in which lanes are idle: good ones, malformed ones, and ones that a database may refuse.
struct Bursts {
    stored: Arc<AtomicI64>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Bursts {
    async fn start(fleet: &Fleet) -> Self {
        let context = jetstream::new(fleet.nats_client().await.unwrap());
        let (stored, stop) = (Arc::new(AtomicI64::new(0)), CancellationToken::new());
        let (counter, stopped) = (Arc::clone(&stored), stop.clone());
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                const GOOD: &str = r#"{"name":"Ada","address":"London"}"#;
                let burst = (0..=SINGLES).map(|n| {
                    let payload = match n % 20 {
                        _ if n == SINGLES => vec![GOOD; usize::try_from(LARGE).unwrap()].join("\n"),
                        7 => r#"{"name":"no address"}"#.to_owned(),
                        13 => r#"{"name":"poison","address":"x"}"#.to_owned(),
                        _ => GOOD.to_owned(),
                    };
                    context.publish(format!("person.create.{}", n % 9), payload.into())
                });
                for ack in futures::future::join_all(burst).await {
                    ack.unwrap().await.unwrap();
                }
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        });
        Self { stored, stop, task }
    }

    /// How many bursts are stored in all.
    async fn end(self) -> i64 {
        self.stop.cancel();
        self.task.await.unwrap();
        self.stored.load(Ordering::Relaxed)
    }
}

/// Lets a process die at each of the points, several times. `disturb` is what leads to them, beside the load.
async fn die_at(process: &mut Process, points: &[&str], disturb: impl AsyncFn()) {
    for point in points {
        for time in TIMES {
            process.restart_with(sluice_failpoint::VARIABLE, format!("{point}={time}")).unwrap();
            let since = std::time::Instant::now();
            let status = loop {
                if let Some(status) = process.ended() {
                    break status;
                }
                assert!(since.elapsed() < LIMIT, "{} never came to {point} for the {time}. time", process.name());
                disturb().await;
                tokio::time::sleep(wait::INTERVAL).await;
            };
            assert_eq!(status.signal(), Some(SIGABRT), "{point}: {status}; its log: {:?}", process.log());
        }
    }
    process.restart().await.unwrap();
}

/// Keeps everybody else from writing to a shard for so long that its lane goes behind.
async fn lock(address: &ShardAddress) {
    let lock = Lock::take(address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    lock.release().await.unwrap();
}

/// What is stored becomes a row or a dead letter, whatever the writer died at.
async fn writer_dies(shards: Flavor, points: &[&str]) {
    let mut fleet = fleet(shards, hasty(shards)).await;
    // SQLite adds no constraint to a table that is there.
    let refuses = shards != Flavor::Sqlite;
    for shard in fleet.shards().iter().filter(|_| refuses) {
        run(&shard.address, "ALTER TABLE person ADD CHECK (name <> 'poison')").await;
    }
    let bursts = Bursts::start(&fleet).await;
    die_at(fleet.writer(), points, async || {}).await;
    let address = fleet.shards()[0].address.clone();
    die_at(fleet.writer(), &JOIN, async || lock(&address).await).await;
    let bursts = bursts.end().await;
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    let dead = i64::try_from(verified.dead_letters).unwrap();
    let bad = SINGLES / 20 * if refuses { 2 } else { 1 };
    assert_eq!((dead, all_rows(&fleet).await), (bursts * bad, bursts * (SINGLES + LARGE - bad)));
}

#[tokio::test]
async fn a_writer_that_dies_at_any_step_neither_loses_nor_doubles_an_event_on_sqlite() {
    writer_dies(Flavor::Sqlite, &WRITER).await;
}

#[tokio::test]
async fn a_writer_that_dies_at_any_step_neither_loses_nor_doubles_an_event_on_postgres() {
    writer_dies(Flavor::Postgres, &[&WRITER[..], &REFUSED].concat()).await;
}

#[tokio::test]
async fn a_writer_that_dies_at_any_step_neither_loses_nor_doubles_an_event_on_mysql() {
    // The others have nothing to do with the engine.
    let lane = WRITER.iter().copied().filter(|point| point.starts_with("lane."));
    writer_dies(Flavor::Mysql, &lane.chain(REFUSED).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn an_ingest_that_dies_around_a_publish_has_promised_nothing_that_is_not_there() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    let (accepted, stop) = (Arc::new(AtomicI64::new(0)), CancellationToken::new());
    let posts: Vec<_> = (0..8)
        .map(|customer| {
            let url = format!("{}/person/{customer}", fleet.ingest_url());
            let (accepted, stop) = (Arc::clone(&accepted), stop.clone());
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                while !stop.is_cancelled() {
                    match client.post(&url).send().await {
                        Ok(answer) if answer.status() == 202 => _ = accepted.fetch_add(1, Ordering::Relaxed),
                        _ => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
            })
        })
        .collect();
    die_at(fleet.ingest(), &INGEST, async || {}).await;
    stop.cancel();
    futures::future::join_all(posts).await;
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    let (accepted, rows) = (accepted.load(Ordering::Relaxed), all_rows(&fleet).await);
    // One that died between the acknowledgement and the answer has stored what it could not promise any more.
    assert!(accepted > 0 && rows >= accepted, "{accepted} accepted, {rows} rows");
    assert!(rows - accepted <= 8 * 9 + 8, "{rows} rows, {accepted} accepted: each death leaves 8 in doubt at most");
}
