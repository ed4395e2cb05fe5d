//! What of a shard's rows is looked at, and when; and what waits for a shard that does not answer.

use serde_json::{Value, json};
use sluice_model::{Partition, Position};
use sluice_shard::{CustomerColumn, Flavor, Identity, ShardAddress, register};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use super::tests::{Served, code, sqlite};
use crate::placement::Policy;

/// A database of the folder that was written without a directory: it is a shard of this name already.
async fn used(served: &Served, name: &str, customers: &[&str]) {
    let database = served.folder.path().join(format!("{name}.db")).display().to_string();
    let address = ShardAddress {
        flavor: Flavor::Sqlite,
        host: String::new(),
        port: 0,
        user: String::new(),
        password: String::new().into(),
        database,
        customer_column: CustomerColumn::default(),
    };
    let identity = Identity { shard: name.to_owned(), journal_id: "j1".to_owned() };
    let positions: Vec<_> = (0..4).map(|p| Position::before_first(Partition::new(p))).collect();
    register(&address, &identity, &positions).await.unwrap();
    for customer in customers {
        by_hand(served, name, &format!("INSERT INTO person VALUES ('{customer}', 1, 'n', 'a')")).await;
    }
}

async fn by_hand(served: &Served, name: &str, sql: &str) {
    let options = SqliteConnectOptions::new().filename(served.folder.path().join(format!("{name}.db")));
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The shard's database is not there, or is there again.
fn take_away(served: &Served, name: &str, away: bool) {
    let (there, gone) = (served.folder.path().join(format!("{name}.db")), served.folder.path().join("gone"));
    let (from, to) = if away { (there, gone) } else { (gone, there) };
    std::fs::rename(from, to).unwrap();
}

async fn add(served: &Served, name: &str) -> (u16, Value) {
    served.send("POST", "/shards", Some(sqlite(&served.folder, name))).await
}

async fn home(served: &Served, path: &str) -> String {
    let (status, body) = served.get(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body["shard"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_shards_address_is_changed_by_its_identity_alone_whatever_is_the_matter_with_its_rows() {
    let served = Served::start(Policy::Auto).await;
    used(&served, "a", &["1", "2"]).await;
    assert_eq!(add(&served, "a").await.0, 201);
    // Nothing can be read of this table, as if it were locked, or took too long.
    by_hand(&served, "a", "ALTER TABLE person RENAME TO away").await;
    let moved = served.folder.path().join("moved.db");
    std::fs::rename(served.folder.path().join("a.db"), &moved).unwrap();
    let (status, body) = served.send("PATCH", "/shards/a", Some(json!({"database": moved}))).await;
    assert_eq!((status, &body["database"]), (200, &json!(moved)), "{body}");
    // Another shard is refused all the same.
    used(&served, "b", &[]).await;
    let other = served.folder.path().join("b.db");
    let (status, body) = served.send("PATCH", "/shards/a", Some(json!({"database": other}))).await;
    assert_eq!((status, code(&body)), (422, "shard_refused"), "{body}");
}

#[tokio::test]
async fn while_an_adopted_shard_is_down_others_are_registered_and_take_new_customers_once_it_has_answered() {
    let served = Served::start(Policy::Auto).await;
    used(&served, "old", &["known"]).await;
    assert_eq!(add(&served, "old").await.0, 201);
    assert_eq!(home(&served, "/read/known").await, "old");
    // Whoever wrote it without a directory did so until now.
    by_hand(&served, "old", "INSERT INTO person VALUES ('late', 1, 'n', 'a'), ('quiet', 1, 'n', 'a')").await;
    take_away(&served, "old", true);

    let (status, body) = add(&served, "new").await;
    assert_eq!((status, &body["held"], &body["state"]), (201, &json!(true), &json!("open")), "{body}");
    // As if it were not there: unknown customers go where they would have gone.
    assert_eq!(home(&served, "/write/late").await, "old");
    assert_eq!(home(&served, "/write/stranger").await, "old");
    let (status, body) = served.send("PUT", "/customers/7", Some(json!({"shard": "new"}))).await;
    assert_eq!((status, code(&body)), (409, "shard_held"), "{body}");
    // A customer might have rows on both: nothing is guessed.
    used(&served, "used", &["quiet"]).await;
    let (status, body) = add(&served, "used").await;
    assert!(status >= 400 && body["detail"].as_str().unwrap().contains("old.db"), "{status} {body}");
    served.directory.settle().await;
    let held = async || {
        let (_, listed) = served.get("/shards").await;
        let shards = listed["shards"].as_array().unwrap().clone();
        shards.iter().filter(|shard| shard["held"] == json!(true)).count()
    };
    assert_eq!(held().await, 1, "it is down still");

    take_away(&served, "old", false);
    served.directory.settle().await;
    assert_eq!(held().await, 0);
    assert_eq!(home(&served, "/read/quiet").await, "old", "whose rows have come is known now");
    let homes = [home(&served, "/write/8").await, home(&served, "/write/9").await];
    assert!(homes.contains(&"new".to_owned()), "{homes:?}");

    // It was asked since another was registered: nothing more waits for it.
    take_away(&served, "old", true);
    let (status, body) = add(&served, "newer").await;
    assert_eq!((status, body.get("held")), (201, None), "{body}");
    assert_eq!(add(&served, "used").await.0, 201);
}

#[tokio::test]
async fn with_the_next_registration_an_adopted_shard_is_asked_whose_rows_have_come_since() {
    let served = Served::start(Policy::Auto).await;
    used(&served, "old", &["known"]).await;
    assert_eq!(add(&served, "old").await.0, 201);
    by_hand(&served, "old", "INSERT INTO person VALUES ('quiet', 1, 'n', 'a')").await;
    let (status, body) = add(&served, "new").await;
    assert_eq!((status, body.get("held")), (201, None), "{body}");
    assert_eq!(home(&served, "/read/quiet").await, "old");
}
