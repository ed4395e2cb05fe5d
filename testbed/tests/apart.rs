//! No shard's state delays another's rows, nor grows the writer's memory without bound: in figures. In a test program of its own,
//! so that nothing else runs beside it.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use sluice_shard::Flavor;
use sluice_testbed::{
    Fleet, FleetOptions,
    outage::{Outage, measure},
};

/// A busy machine is felt in single rows; a shard that holds a reader up until somebody loses patience is felt for a second.
const NOISE: Duration = Duration::from_millis(400);

/// A short one, with a queue that is full after a second or two. `testbed outage` does it for a minute, with what is the default, and
/// allows for no noise.
#[tokio::test]
async fn while_a_shard_is_down_the_others_commit_as_soon_as_before_memory_is_bounded_and_it_is_soon_level_again() {
    sluice_service::telemetry::init_for_test();
    let writer_args = ["--lane-queue-bytes", "50000"].map(str::to_owned).to_vec();
    let options = FleetOptions {
        shards: Flavor::Postgres.into(),
        shard_count: 3,
        durable_shards: false,
        writer_args,
        ..FleetOptions::default()
    };
    let mut fleet = Fleet::start(options.clone()).await.unwrap();
    let (before, down) = (Duration::from_secs(4), Duration::from_secs(10));
    let outage = Outage { rate: 3_000, events_per_message: 20, before, down };
    let figures = measure(&mut fleet, &options, &outage).await.unwrap();
    assert!(figures.complaints(NOISE).is_empty(), "{:?}\n{figures}", figures.complaints(NOISE));
    assert!(figures.down.rows > 500, "{figures}");
    tracing::info!("{figures}");
}
