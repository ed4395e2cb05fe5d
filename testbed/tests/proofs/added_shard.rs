//! A shard that is registered while the fleet runs.

use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, FleetShard, rows, wait};

use crate::{LIMIT, fleet};

#[tokio::test]
async fn a_shard_added_later_joins_and_gets_its_customers_rows() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    assert_eq!(fleet.load(&["--customers", "20", "--count", "2000"]).await.unwrap().accepted, 2_000);
    let added = FleetShard::sqlite("added", fleet.folder());
    let admin = fleet.admin().unwrap();
    admin.register(std::slice::from_ref(&added)).await.unwrap();
    admin.place("late", "added").await.unwrap();
    assert_eq!(fleet.load(&["--customers", "1,late", "--count", "200"]).await.unwrap().accepted, 200);
    let there = async || rows::count(&added.address).await.is_ok_and(|shard| shard.rows == 100);
    wait::until("100 rows on the new shard", LIMIT, there).await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
}
