//! The whole pipeline with PostgreSQL shards.

mod pipeline;

use sluice_shard::Flavor;

#[tokio::test]
async fn what_is_posted_and_what_is_published_become_rows_of_the_right_postgres_shard() {
    pipeline::what_is_posted_and_what_is_published_become_rows_of_the_right_shard(Flavor::Postgres).await;
}
