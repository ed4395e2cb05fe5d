//! The whole pipeline with SQLite shards.

mod pipeline;

use sluice_shard::Flavor;

#[tokio::test]
async fn what_is_posted_and_what_is_published_become_rows_of_the_right_sqlite_shard() {
    pipeline::what_is_posted_and_what_is_published_become_rows_of_the_right_shard(Flavor::Sqlite).await;
}

#[tokio::test]
async fn a_kept_fleet_goes_on_with_its_data() {
    pipeline::a_kept_fleet_goes_on_with_its_data().await;
}
