//! Something goes back in time: a shard that is restored from an older copy, or the journal itself.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, rows, wait};
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

use crate::{LIMIT, all_rows, fleet};

/// A fleet with customer 1 on shard1 and customer 2 on shard2.
async fn with_two_customers(shards: Flavor) -> Fleet {
    let fleet = fleet(shards, FleetOptions::default()).await;
    let admin = fleet.admin().unwrap();
    admin.place("1", "shard1").await.unwrap();
    admin.place("2", "shard2").await.unwrap();
    fleet
}

/// 1,000 events of each of the two, all of them stored.
async fn load(fleet: &Fleet, rows_before: i64) {
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "1,2", "--count", "2000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 2_000);
    let stored = async || all_rows(fleet).await == rows_before + 2_000;
    wait::until("all rows", LIMIT, stored).await.unwrap();
}

/// The shard has 2,000 rows again, and every one of them is right.
async fn healed(fleet: &Fleet) {
    let there = async || rows::count(&fleet.shards()[0].address).await.is_ok_and(|shard| shard.rows == 2_000);
    wait::until("the rows since the copy, written again", LIMIT, there).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

async fn copy_of(address: &ShardAddress, copy: &Path) {
    let mut connection = SqliteConnectOptions::new().filename(&address.database).connect().await.unwrap();
    sqlx::raw_sql(&format!("VACUUM INTO '{}'", copy.display())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// As an operator restores a file: the copy in its place, the side files of the lost one gone.
fn restore(address: &ShardAddress, copy: &Path) {
    std::fs::rename(copy, &address.database).unwrap();
    for side in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{side}", address.database));
    }
}

#[tokio::test]
async fn an_idle_sqlite_shard_restored_from_an_older_copy_is_filled_again() {
    let fleet = with_two_customers(Flavor::Sqlite).await;
    load(&fleet, 0).await;
    let address = &fleet.shards()[0].address;
    let copy = fleet.folder().join("copy.db");
    copy_of(address, &copy).await;
    load(&fleet, 2_000).await;
    restore(address, &copy);
    assert_eq!(rows::count(address).await.unwrap().rows, 1_000);
    healed(&fleet).await;
}

#[tokio::test]
async fn a_sqlite_shard_restored_while_its_writer_is_down_is_filled_again() {
    let mut fleet = with_two_customers(Flavor::Sqlite).await;
    load(&fleet, 0).await;
    let copy = fleet.folder().join("copy.db");
    copy_of(&fleet.shards()[0].address, &copy).await;
    load(&fleet, 2_000).await;
    fleet.writer().kill();
    restore(&fleet.shards()[0].address, &copy);
    fleet.writer().restart().await.unwrap();
    healed(&fleet).await;
}

async fn connect(address: &ShardAddress) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass().host(&address.host).port(address.port);
    let options = options.username(&address.user).password(address.password.expose_secret());
    options.database(&address.database).connect().await.unwrap()
}

/// A PostgreSQL shard brought back to the state it had when `journal_position` was copied: what a restored backup or a
/// lagging replica shows, at once and under the lane's open connection.
#[tokio::test]
async fn a_postgres_shard_that_goes_back_under_load_is_filled_again() {
    let fleet = with_two_customers(Flavor::Postgres).await;
    load(&fleet, 0).await;
    let mut shard = connect(&fleet.shards()[0].address).await;
    sqlx::raw_sql("CREATE TABLE older AS SELECT * FROM journal_position").execute(&mut shard).await.unwrap();
    load(&fleet, 2_000).await;
    let back = "BEGIN;
        LOCK TABLE journal_position, person;
        DELETE FROM person USING older WHERE id >> 54 = journal_partition AND id >> 10 > position;
        UPDATE journal_position p SET position = o.position, stamp = o.stamp FROM older o
            WHERE o.journal_partition = p.journal_partition;
        COMMIT";
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "2,3", "--count", "4000"];
    let (more, set_back) = tokio::join!(fleet.load(&args), sqlx::raw_sql(back).execute(&mut shard));
    set_back.unwrap();
    assert_eq!(more.unwrap().accepted, 4_000);
    let there = async || all_rows(&fleet).await == 8_000;
    wait::until("all rows, those since the copy again", LIMIT, there).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_journal_that_lost_its_end_stops_its_partitions_and_no_position_is_taken_for_covered() {
    let mut fleet = with_two_customers(Flavor::Sqlite).await;
    load(&fleet, 0).await;
    fleet.nats().stop();
    let (store, copy) = (fleet.folder().join("nats/jetstream"), fleet.folder().join("older"));
    copy_folder(&store, &copy);
    fleet.nats().restart().await.unwrap();
    load(&fleet, 2_000).await;
    fleet.nats().stop();
    std::fs::remove_dir_all(&store).unwrap();
    copy_folder(&copy, &store);
    fleet.nats().restart().await.unwrap();
    // The positions beyond the copy's end are given a second time now, to other events.
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "1,2", "--count", "4000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 4_000);
    let log = fleet.writer().log().to_owned();
    let told = async || {
        let said = std::fs::read_to_string(&log).unwrap();
        said.contains("has stopped") && (said.contains("lost its end") || said.contains("beyond its end"))
    };
    wait::until("the writer says that the journal lost its end", LIMIT, told).await.unwrap();
    assert_eq!(all_rows(&fleet).await, 4_000, "nothing of the second giving may come into the shards");
}
