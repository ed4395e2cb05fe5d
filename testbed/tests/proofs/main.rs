//! What Sluice promises, each promise shown on real processes. A test's name is the sentence that it proves.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod added_shard;
mod crash;
mod dead;
mod journal;
mod network;
mod outage;
mod plain_publisher;
mod replay;
mod rewind;
mod trim;
mod verify;

use std::time::Duration;

use sluice_model::PartitionCount;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, rows};

/// How long anything here may take before it counts as failed.
const LIMIT: Duration = Duration::from_secs(60);

/// A fleet whose databases need not survive a power failure: no test here can cut the power.
async fn fleet(shards: Flavor, options: FleetOptions) -> Fleet {
    sluice_service::telemetry::init_for_test();
    Fleet::start(FleetOptions { shards, durable_shards: false, ..options }).await.unwrap()
}

/// One partition, so that all customers have the same reader, and lanes that are full after some hundred rows: a shard that is
/// away holds that reader up, and with it all the others, unless its lane goes behind.
fn one_full_partition() -> FleetOptions {
    let writer_args = ["--lane-queue-bytes", "50000", "--lane-patience-ms", "300"].map(str::to_owned).to_vec();
    FleetOptions {
        partitions: PartitionCount::try_from(1).unwrap(),
        workers: 1,
        writer_args,
        ..FleetOptions::default()
    }
}

/// All rows of all shards that answer.
async fn all_rows(fleet: &Fleet) -> i64 {
    let counts = fleet.shards().iter().map(|shard| rows::count(&shard.address));
    futures::future::join_all(counts).await.into_iter().flatten().map(|shard| shard.rows).sum()
}
