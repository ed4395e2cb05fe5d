//! `loadgen verify` finds what somebody did by hand. A verifier that finds nothing proves nothing.

use secrecy::ExposeSecret;
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, loadgen::Verified, rows};
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

use crate::fleet;

/// A fleet with 60 rows of customer 1 on shard 1, and a verifier that is content with them.
async fn with_rows(shards: Flavor) -> Fleet {
    let fleet = fleet(shards, FleetOptions::default()).await;
    let admin = fleet.admin().unwrap();
    admin.place("1", "shard1").await.unwrap();
    admin.place("2", "shard2").await.unwrap();
    assert_eq!(fleet.load(&["--customers", "1,2", "--count", "120"]).await.unwrap().accepted, 120);
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && verified.wrong.is_empty(), "{verified:?}");
    fleet
}

/// Does something to a shard's tables by hand, and gives the id that a query of the same connection answers.
async fn by_hand(address: &ShardAddress, select: &str, change: &str) -> i64 {
    match address.flavor {
        Flavor::Sqlite => {
            let mut connection = SqliteConnectOptions::new().filename(&address.database).connect().await.unwrap();
            let id = sqlx::query_scalar(select).fetch_one(&mut connection).await.unwrap();
            sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            id
        }
        Flavor::Mysql => {
            let mut connection = rows::mysql_options(address).connect().await.unwrap();
            let id = sqlx::query_scalar(select).fetch_one(&mut connection).await.unwrap();
            sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            id
        }
        Flavor::Postgres => {
            let options = PgConnectOptions::new_without_pgpass().host(&address.host).port(address.port);
            let options = options.username(&address.user).password(address.password.expose_secret());
            let mut connection = options.database(&address.database).connect().await.unwrap();
            let id = sqlx::query_scalar(select).fetch_one(&mut connection).await.unwrap();
            sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            id
        }
    }
}

const FIRST: &str = "SELECT MIN(id) FROM person";

fn only_wrong(verified: &Verified, kind: &str, shard: &str, id: i64) {
    assert!(!verified.ok);
    let wrong: Vec<_> = verified.wrong.iter().map(|w| (w.kind.as_str(), w.shard.as_deref(), w.id.as_str())).collect();
    assert_eq!(wrong, [(kind, Some(shard), id.to_string().as_str())], "{verified:?}");
}

async fn deleted(shards: Flavor) {
    let fleet = with_rows(shards).await;
    let shard1 = &fleet.shards()[0].address;
    let id = by_hand(shard1, FIRST, "DELETE FROM person WHERE id = (SELECT MIN(id) FROM person)").await;
    let verified = fleet.verify().await.unwrap();
    only_wrong(&verified, "missing", "shard1", id);
    assert_eq!(verified.shards[0].missing, 1);
}

async fn inserted_twice(shards: Flavor) {
    let fleet = with_rows(shards).await;
    let shard1 = &fleet.shards()[0].address;
    let twice = "INSERT INTO person SELECT customer_id, id + 1000000000, name, address FROM person
                 WHERE id = (SELECT MIN(id) FROM person)";
    let id = by_hand(shard1, FIRST, twice).await;
    let verified = fleet.verify().await.unwrap();
    only_wrong(&verified, "doubled", "shard1", id + 1_000_000_000);
    assert_eq!(verified.shards[0].doubled, 1);
}

async fn moved(shards: Flavor) {
    let fleet = with_rows(shards).await;
    let (shard1, shard2) = (&fleet.shards()[0].address, &fleet.shards()[1].address);
    let id = by_hand(shard1, FIRST, "DELETE FROM person WHERE id = (SELECT MIN(id) FROM person)").await;
    let insert = format!("INSERT INTO person VALUES ('1', {id}, 'moved', 'by hand')");
    by_hand(shard2, FIRST, &insert).await;
    let verified = fleet.verify().await.unwrap();
    only_wrong(&verified, "misplaced", "shard2", id);
    assert_eq!((verified.shards[0].missing, verified.shards[1].misplaced), (0, 1));
}

#[tokio::test]
async fn a_row_deleted_by_hand_is_named_as_missing() {
    deleted(Flavor::Sqlite).await;
}

#[tokio::test]
async fn a_row_inserted_twice_by_hand_under_another_id_is_named_as_doubled() {
    inserted_twice(Flavor::Sqlite).await;
}

#[tokio::test]
async fn a_row_moved_by_hand_to_another_shard_is_named_as_misplaced() {
    moved(Flavor::Sqlite).await;
}

#[tokio::test]
async fn the_same_three_are_found_on_postgres() {
    tokio::join!(deleted(Flavor::Postgres), inserted_twice(Flavor::Postgres), moved(Flavor::Postgres));
}

#[tokio::test]
async fn the_same_three_are_found_on_mysql() {
    tokio::join!(deleted(Flavor::Mysql), inserted_twice(Flavor::Mysql), moved(Flavor::Mysql));
}
