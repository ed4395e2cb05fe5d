//! A table that takes no row is not taken for bad rows, nor are bad rows for a wrong table.

use sluice_journal::{Journal, Settings};
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, FleetShard, rows, wait};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::{LIMIT, fleet, run};

const ADA: &str = r#"{"name":"Ada Lovelace","address":"12 St James's Square"}"#;
const POISON: &str = r#"{"name":"Odd","address":"poison"}"#;
/// Customers of the shard whose table is changed.
const CUSTOMERS: [&str; 5] = ["1", "2", "3", "4", "5"];
/// Made-up customers of a hostile publisher.
const HOSTILE: usize = 300;

/// Changes a shard's tables, as its operator.
async fn change(address: &ShardAddress, sql: &str) {
    if address.flavor != Flavor::Sqlite {
        return run(address, sql).await;
    }
    let mut connection = SqliteConnectOptions::new().filename(&address.database).connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Adds a column that nobody fills, if it is not there, with a default or without.
async fn add_region(address: &ShardAddress, default: bool) {
    let (clause, set) = if default { ("DEFAULT 'eu'", "SET DEFAULT 'eu'") } else { ("", "DROP DEFAULT") };
    let sql = match address.flavor {
        Flavor::Postgres | Flavor::Mysql => format!(
            "ALTER TABLE person ADD COLUMN IF NOT EXISTS region VARCHAR(9) NOT NULL DEFAULT 'eu';
             ALTER TABLE person ALTER COLUMN region {set}"
        ),
        // SQLite changes no column of a table that is there.
        Flavor::Sqlite => format!(
            "BEGIN IMMEDIATE; ALTER TABLE person RENAME TO former;
             CREATE TABLE person (customer_id TEXT NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
                 address TEXT NOT NULL, region TEXT NOT NULL {clause}, PRIMARY KEY (customer_id, id));
             INSERT INTO person SELECT customer_id, id, name, address, 'eu' FROM former;
             DROP TABLE former; COMMIT"
        ),
    };
    change(address, &sql).await;
}

async fn post(fleet: &Fleet, customer: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/person/{customer}", fleet.ingest_url());
    let answer = client.post(url).header("X-Customer-ID", customer).body(ADA).send().await.unwrap();
    assert_eq!(answer.status(), 202);
}

/// The answer of the writer's `/readyz`, and all of its metrics.
async fn readiness(fleet: &Fleet) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| client.get(format!("{}{path}", fleet.writer_url(0))).send().await.unwrap();
    (get("/readyz").await.status().as_u16(), get("/metrics").await.text().await.unwrap())
}

/// The shard's lane says that somebody has to mend its tables, and why; and so do `/readyz` and the
/// metrics.
async fn is_misconfigured(fleet: &Fleet, shard: &str, why: &str) {
    let says = async || {
        let lanes = fleet.lanes(0).await.unwrap_or_default();
        let mut of_it = lanes.iter().filter(|lane| lane.shard == shard);
        of_it.any(|lane| lane.state == "misconfigured" && lane.detail.as_ref().is_some_and(|told| told.contains(why)))
    };
    wait::until(&format!("a lane of {shard} that says {why:?}"), LIMIT, says).await.unwrap();
    let counted = async || {
        let (status, metrics) = readiness(fleet).await;
        let is_it = |line: &str| line.contains(&format!("shard=\"{shard}\"")) && line.contains("\"misconfigured\"");
        status == 503 && metrics.lines().any(|line| is_it(line) && line.ends_with(" 1"))
    };
    wait::until("readiness and metrics that say it", LIMIT, counted).await.unwrap();
}

async fn is_well(fleet: &Fleet, shard: &ShardAddress, expected: i64) {
    let there = async || rows::count(shard).await.is_ok_and(|found| found.rows == expected);
    wait::until(&format!("{expected} rows"), LIMIT, there).await.unwrap();
    let live = async || {
        let lanes = fleet.lanes(0).await.unwrap_or_default();
        lanes.iter().all(|lane| lane.state == "live" && lane.detail.is_none()) && readiness(fleet).await.0 == 200
    };
    wait::until("lanes that are live", LIMIT, live).await.unwrap();
}

async fn dead_letters(fleet: &Fleet) -> usize {
    let journal = Journal::open(fleet.nats_client().await.unwrap(), &Settings::default()).await.unwrap();
    journal.dead_letters().list().await.unwrap().len()
}

fn options(shard_count: u16) -> FleetOptions {
    FleetOptions { shard_count, workers: 1, ..FleetOptions::default() }
}

async fn a_column_that_nobody_fills(shards: Flavor) {
    let mut fleet = fleet(shards, options(2)).await;
    let admin = fleet.admin().unwrap();
    for customer in CUSTOMERS {
        admin.place(customer, "shard1").await.unwrap();
    }
    admin.place("other", "shard2").await.unwrap();
    let [shard, other] = [0, 1].map(|index| fleet.shards()[index].address.clone());
    // Before it has ever had a row, of several customers; and then of one alone.
    for (round, customers) in [(1, CUSTOMERS), (2, ["1"; 5])] {
        add_region(&shard, false).await;
        for customer in customers {
            post(&fleet, customer).await;
        }
        post(&fleet, "other").await;
        is_misconfigured(&fleet, "shard1", "region").await;
        // The other shard goes on.
        let there = async || rows::count(&other).await.is_ok_and(|found| found.rows == round);
        wait::until("the other shard's row", LIMIT, there).await.unwrap();
        assert_eq!((rows::count(&shard).await.unwrap().rows, dead_letters(&fleet).await), (5 * (round - 1), 0));
        // One line, however often it was tried.
        let log = std::fs::read_to_string(fleet.writer().log()).unwrap();
        let said = log.lines().filter(|line| line.contains("this shard takes no rows") && line.contains("ERROR"));
        assert_eq!(i64::try_from(said.count()).unwrap(), round);
        add_region(&shard, true).await;
        is_well(&fleet, &shard, 5 * round).await;
    }
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && verified.dead_letters == 0, "{verified:?}");
}

/// A shard whose table is made beforehand and has no partition for anybody: its registration says
/// nothing of that.
#[tokio::test]
async fn while_a_partition_is_missing_on_postgres_events_wait_and_none_becomes_a_dead_letter() {
    let mut fleet = fleet(Flavor::Postgres, options(1)).await;
    let server = &fleet.servers()[0];
    server.create_database("parted").await.unwrap();
    let shard = FleetShard { name: "parted".to_owned(), address: server.address("parted") };
    let table = "CREATE TABLE person (customer_id TEXT COLLATE \"C\" NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
        address TEXT NOT NULL, PRIMARY KEY (customer_id, id)) PARTITION BY LIST (customer_id)";
    run(&shard.address, table).await;
    let admin = fleet.admin().unwrap();
    admin.register(std::slice::from_ref(&shard)).await.unwrap();
    for customer in CUSTOMERS {
        admin.place(customer, "parted").await.unwrap();
        post(&fleet, customer).await;
    }
    is_misconfigured(&fleet, "parted", "no partition").await;
    assert_eq!((rows::count(&shard.address).await.unwrap().rows, dead_letters(&fleet).await), (0, 0));
    run(&shard.address, "CREATE TABLE everybody PARTITION OF person DEFAULT").await;
    is_well(&fleet, &shard.address, 5).await;
    assert_eq!(dead_letters(&fleet).await, 0);
}

async fn bad_rows_of_many_customers(shards: Flavor) {
    let fleet = fleet(shards, options(1)).await;
    let shard = fleet.shards()[0].address.clone();
    let check = "CHECK (address <> 'poison')";
    let sql = match shards {
        Flavor::Postgres | Flavor::Mysql => format!("ALTER TABLE person ADD {check}"),
        Flavor::Sqlite => format!(
            "DROP TABLE person; CREATE TABLE person (customer_id TEXT NOT NULL, id BIGINT NOT NULL,
             name TEXT NOT NULL, address TEXT NOT NULL {check}, PRIMARY KEY (customer_id, id))"
        ),
    };
    change(&shard, &sql).await;
    let lanes = fleet.watch_lanes(0);
    let client = fleet.nats_client().await.unwrap();
    // Many at once, before the shard has ever stored a row; then good ones among them.
    for n in 0..HOSTILE {
        client.publish(format!("person.create.evil{n}"), POISON.into()).await.unwrap();
    }
    for (n, customer) in CUSTOMERS.iter().enumerate() {
        client.publish(format!("person.create.{customer}"), ADA.into()).await.unwrap();
        client.publish(format!("person.create.evil{n}"), POISON.into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let there = async || rows::count(&shard).await.is_ok_and(|found| found.rows == 5);
    wait::until("the good rows", LIMIT, there).await.unwrap();
    let all = async || dead_letters(&fleet).await == HOSTILE + CUSTOMERS.len();
    wait::until("the dead letters", LIMIT, all).await.unwrap();
    assert!(!lanes.was("shard1", "misconfigured"), "{:?}", lanes.seen("shard1"));
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

#[tokio::test]
async fn while_a_column_is_not_filled_events_wait_and_none_becomes_a_dead_letter_on_postgres() {
    a_column_that_nobody_fills(Flavor::Postgres).await;
}

#[tokio::test]
async fn while_a_column_is_not_filled_events_wait_and_none_becomes_a_dead_letter_on_mysql() {
    a_column_that_nobody_fills(Flavor::Mysql).await;
}

#[tokio::test]
async fn while_a_column_is_not_filled_events_wait_and_none_becomes_a_dead_letter_on_sqlite() {
    a_column_that_nobody_fills(Flavor::Sqlite).await;
}

#[tokio::test]
async fn bad_rows_of_many_customers_become_dead_letters_and_hold_no_lane_up_on_postgres() {
    bad_rows_of_many_customers(Flavor::Postgres).await;
}

#[tokio::test]
async fn bad_rows_of_many_customers_become_dead_letters_and_hold_no_lane_up_on_mysql() {
    bad_rows_of_many_customers(Flavor::Mysql).await;
}

#[tokio::test]
async fn bad_rows_of_many_customers_become_dead_letters_and_hold_no_lane_up_on_sqlite() {
    bad_rows_of_many_customers(Flavor::Sqlite).await;
}
