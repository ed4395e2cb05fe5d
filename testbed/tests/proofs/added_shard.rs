//! A shard that is registered while the fleet runs.

use secrecy::SecretString;
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{FleetOptions, FleetShard, rows, wait};

use crate::{LIMIT, fleet};

#[tokio::test]
async fn a_shard_added_later_joins_and_gets_its_customers_rows() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    assert_eq!(fleet.load(&["--customers", "20", "--count", "2000"]).await.unwrap().accepted, 2_000);
    let file = fleet.folder().join("added.db").to_string_lossy().into_owned();
    let address = ShardAddress {
        flavor: Flavor::Sqlite,
        host: String::new(),
        port: 0,
        user: String::new(),
        password: SecretString::default(),
        database: file,
    };
    let added = FleetShard { name: "added".to_owned(), address };
    let admin = fleet.admin().unwrap();
    admin.register(std::slice::from_ref(&added)).await.unwrap();
    admin.place("late", "added").await.unwrap();
    assert_eq!(fleet.load(&["--customers", "1,late", "--count", "200"]).await.unwrap().accepted, 200);
    let there = async || rows::count(&added.address).await.is_ok_and(|shard| shard.rows == 100);
    wait::until("100 rows on the new shard", LIMIT, there).await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
}
