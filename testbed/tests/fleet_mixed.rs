//! The whole pipeline with shards of each engine: one of PostgreSQL, one of MariaDB, one of SQLite.

mod pipeline;

use sluice_testbed::Shards;

#[tokio::test]
async fn what_is_posted_and_what_is_published_become_rows_of_the_right_shard_of_each_engine() {
    pipeline::what_is_posted_and_what_is_published_become_rows_of_the_right_shard(Shards::Mixed).await;
}
