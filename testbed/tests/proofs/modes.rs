//! Where a customer belongs, told by nobody, by somebody else's directory, or by ours.

use std::sync::Arc;

use axum::{Json, Router, extract::Path, routing::get};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, FleetShard, NatsUser, Process, admin::Admin, rows, wait};

use crate::{LIMIT, connect, fleet, start_load};

/// A fleet of one shard, which takes nobody, and of no writer.
async fn bare(shards: Flavor) -> Fleet {
    let fleet = fleet(shards, FleetOptions { shard_count: 1, writers: 0, ..FleetOptions::default() }).await;
    fleet.admin().unwrap().change("shard1", &json!({"state": "closed"})).await.unwrap();
    fleet
}

/// An empty database beside the fleet's shards.
async fn database(fleet: &mut Fleet, name: &str) -> FleetShard {
    let folder = fleet.folder().to_owned();
    let Some(server) = fleet.servers().first() else { return FleetShard::sqlite(name, &folder) };
    server.create_database(name).await.unwrap();
    FleetShard { name: name.to_owned(), address: server.address(name) }
}

/// What the original's variables say of a database.
fn standalone(address: &ShardAddress) -> Vec<(&'static str, String)> {
    let ShardAddress { flavor, host, user, password, database, .. } = address;
    let mut env = vec![
        ("SHARDING_MODE", "standalone".to_owned()),
        ("SHARDING_FLAVOR", flavor.to_string()),
        ("SHARDING_DATABASE", database.clone()),
    ];
    if *flavor != Flavor::Sqlite {
        env.push(("SHARDING_HOST", host.clone()));
        env.push(("SHARDING_PORT", address.port.to_string()));
        env.push(("SHARDING_USER", user.clone()));
        env.push(("SHARDING_PASSWORD", password.expose_secret().to_owned()));
    }
    env
}

async fn writer(fleet: &Fleet, name: &str, env: &[(&'static str, String)]) -> Process {
    let args = ["run", "--workers", "2", "--idle-advance-ms", "500"];
    fleet.start_further(name, NatsUser::Writer, &args, env).await.unwrap().0
}

async fn reaches(address: &ShardAddress, least: i64) {
    let there = async || rows::count(address).await.is_ok_and(|found| found.rows >= least);
    wait::until("rows in the database", LIMIT, there).await.unwrap();
}

async fn from_standalone_to_a_directory(flavor: Flavor) {
    let mut fleet = bare(flavor).await;
    let (main, extra) = (database(&mut fleet, "main").await, database(&mut fleet, "extra").await);
    // Nobody needs a directory.
    fleet.directory().stop();
    let alone = standalone(&main.address);
    let mut first = writer(&fleet, "alone", &alone).await;
    let load = start_load(&fleet, 40, 30_000);
    reaches(&main.address, 3_000).await;
    first.kill();
    first.restart().await.unwrap();
    reaches(&main.address, 8_000).await;

    // The directory comes, and knows the same database under the name that it bears; the writer still goes without.
    fleet.directory().restart().await.unwrap();
    let admin = fleet.admin().unwrap();
    admin.register(std::slice::from_ref(&main)).await.unwrap();
    reaches(&main.address, 12_000).await;
    first.kill();
    drop(first);
    let mut second = writer(&fleet, "asking", &[]).await;
    admin.register(std::slice::from_ref(&extra)).await.unwrap();
    load.await.unwrap().unwrap();
    let more = fleet.load(&["--via", "nats", "--customers", "120", "--count", "3000"]).await.unwrap();
    assert_eq!(more.accepted, 3_000);
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    // Whoever had rows stays; of those who came later, some are on the other one.
    let (main, extra) = (rows::count(&main.address).await.unwrap(), rows::count(&extra.address).await.unwrap());
    assert_eq!(main.rows + extra.rows, 33_000);
    assert!(
        main.customers >= 40 && extra.customers > 0 && main.customers + extra.customers == 120,
        "{main:?} {extra:?}"
    );
    second.stop();
}

#[tokio::test]
async fn going_from_one_database_to_a_directory_that_knows_it_loses_and_doubles_nothing_on_sqlite() {
    from_standalone_to_a_directory(Flavor::Sqlite).await;
}

#[tokio::test]
async fn going_from_one_database_to_a_directory_that_knows_it_loses_and_doubles_nothing_on_postgres() {
    from_standalone_to_a_directory(Flavor::Postgres).await;
}

#[tokio::test]
async fn going_from_one_database_to_a_directory_that_knows_it_loses_and_doubles_nothing_on_mysql() {
    from_standalone_to_a_directory(Flavor::Mysql).await;
}

#[tokio::test]
async fn the_customers_column_is_called_as_the_variable_says() {
    let mut fleet = bare(Flavor::Postgres).await;
    fleet.directory().stop();
    let main = database(&mut fleet, "main").await;
    let field = ("SHARDING_IDENTIFIER_FIELD", "tenant_id".to_owned());
    let env = [standalone(&main.address), vec![field.clone()]].concat();
    let writer = writer(&fleet, "tenants", &env).await;
    assert_eq!(fleet.load(&["--customers", "5", "--count", "100"]).await.unwrap().accepted, 100);
    let all = async || {
        let counts = "SELECT count(*), count(DISTINCT tenant_id) FROM person";
        let found = sqlx::query_as::<_, (i64, i64)>(counts).fetch_one(&mut connect(&main.address).await).await;
        found.is_ok_and(|found| found == (100, 5))
    };
    wait::until("every row under its tenant", LIMIT, all).await.unwrap();
    let verified = fleet.verify_by(&env).await.unwrap();
    assert!(verified.ok, "{verified:?}");
    // A directory that was told the same takes it over; one that was not says which column it misses.
    for (name, told) in [("telling", vec![]), ("told", vec![field])] {
        let meta = format!("sqlite://{}", fleet.folder().join(format!("{name}.db")).display());
        let env = [vec![("DIRECTORY_META", meta)], told].concat();
        let (directory, url) = fleet.start_further(name, NatsUser::Directory, &["serve"], &env).await.unwrap();
        let taken = Admin::new(&url, &fleet.tokens().admin).unwrap().register(std::slice::from_ref(&main)).await;
        match name {
            "told" => taken.unwrap(),
            _ => assert!(format!("{:#}", taken.unwrap_err()).contains("lacks the column customer_id")),
        }
        drop(directory);
    }
    drop(writer);
}

/// A directory of another make, in ten lines: it knows two databases, and nothing of positions, batches or names.
async fn foreign_directory(databases: [ShardAddress; 2]) -> String {
    let databases = Arc::new(databases);
    let write = async move |Path(id): Path<usize>| {
        let ShardAddress { flavor, host, port, user, password, database, .. } = &databases[id % 2];
        let password = password.expose_secret();
        let fields: Value = json!({"host": host, "port": port, "flavor": flavor, "user": user, "password": password, "database": database});
        Json(fields)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/write/{id}", get(write))).await });
    url
}

#[tokio::test]
async fn a_writer_works_against_a_directory_of_another_make_and_survives_a_crash() {
    let mut fleet = bare(Flavor::Postgres).await;
    fleet.directory().stop();
    let odd = FleetShard::sqlite("odd", fleet.folder());
    let even = database(&mut fleet, "even").await;
    let url = foreign_directory([even.address.clone(), odd.address.clone()]).await;
    let api = [("SHARDING_MODE", "api".to_owned()), ("SHARDING_API_ENDPOINT", url)];
    let mut writer = writer(&fleet, "asking-others", &api).await;
    let load = start_load(&fleet, 10, 20_000);
    for least in [1_000, 4_000] {
        reaches(&odd.address, least).await;
        writer.kill();
        writer.restart().await.unwrap();
    }
    load.await.unwrap().unwrap();
    let verified = fleet.verify_by(&api).await.unwrap();
    assert!(verified.ok, "{verified:?}");
    for shard in [&odd, &even] {
        assert_eq!(rows::count(&shard.address).await.unwrap(), rows::Rows { rows: 10_000, customers: 5 });
    }
}
