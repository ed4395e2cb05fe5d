//! A shard that nothing is on is taken out of the directory.

use serde_json::json;
use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, rows, wait};

use crate::{
    LIMIT, connect, fleet,
    repair::{people, rows_are},
};

/// The sessions of lanes in the shard's database.
async fn lanes(shard: &sluice_shard::ShardAddress) -> i64 {
    let query = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'sluice-lane' AND datname = current_database()";
    sqlx::query_scalar(query).fetch_one(&mut connect(shard).await).await.unwrap()
}

/// Readers wait for the other shard, which answers nothing: the lane has partitions, and nothing
/// has been read yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_whose_shard_is_taken_out_before_any_reader_has_started_leaves_the_shard() {
    let options = FleetOptions {
        shard_count: 2,
        workers: 1,
        proxied: true,
        writer_args: ["--start-patience-ms", "300000"].map(str::to_owned).to_vec(),
        ..FleetOptions::default()
    };
    let mut fleet = fleet(Flavor::Postgres, options).await;
    let [first, second] = [0, 1].map(|shard| fleet.shards()[shard].address.clone());
    fleet.writer().stop();
    fleet.proxies()[1].hold();
    fleet.writer().restart_unready().unwrap();
    wait::until("a lane in its shard", LIMIT, async || lanes(&first).await == 1).await.unwrap();
    let admin = fleet.admin().unwrap();
    admin.change("shard1", &json!({"state": "closed"})).await.unwrap();
    admin.remove("shard1").await.unwrap();
    wait::until("no lane in the shard that was taken out", LIMIT, async || lanes(&first).await == 0).await.unwrap();

    fleet.proxies()[1].release();
    people(&fleet, &[&"1".parse().unwrap()], "later", 10).await;
    rows_are(&fleet, 10).await;
    assert_eq!(rows::count(&second).await.unwrap().rows, 10);
}
