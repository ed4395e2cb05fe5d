//! What Sluice promises, each promise shown on real processes. A test's name is the sentence that it proves.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod added_shard;
mod asked;
mod clients;
mod closed_pipes;
mod cluster;
mod crash;
mod cut;
mod dead;
mod directories;
mod directory;
mod disk;
mod fail_points;
mod flood;
mod front_door;
mod frozen;
mod group;
mod half_made;
mod identity;
mod journal;
mod letters;
mod modes;
mod nats;
mod network;
mod outage;
mod payload;
mod permissions;
mod plain_publisher;
mod poison;
mod posts;
mod readiness;
mod readonly;
mod refusals;
mod repair;
mod replay;
mod rewind;
mod rolling;
mod secrets;
mod services_api;
mod settings;
mod slow;
mod stalled;
mod starting;
mod stop;
mod taken_out;
mod trim;
mod under_load;
mod verify;
mod wrong_table;

use std::time::Duration;

use sluice_model::PartitionCount;
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, NatsUser, Shards, loadgen::PATIENCE_MS, rows, tool};
use sqlx::{ConnectOptions, PgConnection};

/// How long anything here may take before it counts as failed.
const LIMIT: Duration = Duration::from_secs(60);

/// A fleet whose databases need not survive a power failure: no test here can cut the power.
async fn fleet(shards: impl Into<Shards>, options: FleetOptions) -> Fleet {
    sluice_service::telemetry::init_for_test();
    Fleet::start(FleetOptions { shards: shards.into(), durable_shards: false, ..options }).await.unwrap()
}

/// See [`one_full_partition`].
const QUEUE_BYTES: usize = 50_000;

/// One partition, so that all customers have the same reader, and lanes that are full after some hundred rows: a shard that is
/// away holds that reader up, and with it all the others, unless its lane goes behind.
fn one_full_partition() -> FleetOptions {
    let queue_bytes = QUEUE_BYTES.to_string();
    let writer_args = ["--lane-queue-bytes", &queue_bytes, "--lane-patience-ms", "300"].map(str::to_owned).to_vec();
    FleetOptions {
        partitions: PartitionCount::try_from(1).unwrap(),
        workers: 1,
        writer_args,
        ..FleetOptions::default()
    }
}

/// Load beside the test, straight to NATS; an error with all that loadgen said where not every event was accepted.
fn start_load(fleet: &Fleet, customers: u32, count: i64) -> tokio::task::JoinHandle<anyhow::Result<()>> {
    let mut command = tokio::process::Command::new(fleet.program("loadgen"));
    command.args(["run", "--via", "nats", "--timeout-ms", PATIENCE_MS]);
    fleet.login(NatsUser::Publisher).give_to(&mut command);
    command.args(["--customers", &customers.to_string(), "--count", &count.to_string()]);
    tokio::spawn(async move { tool::quietly(&mut command).await })
}

/// Into a PostgreSQL shard, as its operator.
async fn connect(address: &ShardAddress) -> PgConnection {
    rows::postgres_options(address).connect().await.unwrap()
}

/// Statements on a server's shard, by its operator.
async fn run(address: &ShardAddress, sql: &str) {
    if address.flavor == Flavor::Mysql {
        sqlx::raw_sql(sql).execute(&mut rows::mysql_options(address).connect().await.unwrap()).await.unwrap();
    } else {
        sqlx::raw_sql(sql).execute(&mut connect(address).await).await.unwrap();
    }
}

/// All rows of all shards that answer.
async fn all_rows(fleet: &Fleet) -> i64 {
    let counts = fleet.shards().iter().map(|shard| rows::count(&shard.address));
    futures::future::join_all(counts).await.into_iter().flatten().map(|shard| shard.rows).sum()
}
