use std::path::Path;

use sluice_shard::Flavor;

use super::*;
use crate::api::{NewShard, Pool};

async fn open(folder: &Path) -> Store {
    Store::open(&format!("sqlite://{}", folder.join("meta.db").display())).await.unwrap()
}

async fn add(store: &Store, name: &str, pool: Pool) {
    let new = NewShard {
        name: name.to_owned(),
        flavor: Flavor::Sqlite,
        host: String::new(),
        port: 0,
        user: String::new(),
        password: "hunter2".into(),
        database: format!("/{name}.db"),
        pool,
    };
    assert!(store.add_shard(&new).await.unwrap());
    assert!(!store.add_shard(&new).await.unwrap(), "a name was given twice");
}

async fn set_state(store: &Store, shard: &str, state: ShardState) {
    let update = sqlx::query("UPDATE shard SET state = ?1 WHERE name = ?2").bind(state.to_string()).bind(shard);
    assert_eq!(update.execute(&store.pool).await.unwrap().rows_affected(), 1);
}

fn customer(name: impl ToString) -> CustomerId {
    name.to_string().parse().unwrap()
}

fn ask(name: impl ToString, at: u64) -> Question {
    Question { customer: customer(name), at: Position::new(at) }
}

fn placed(shard: &str, from: u64) -> RouteAnswer {
    RouteAnswer::Placed(Route { shard: shard.to_owned(), from: Position::new(from).unwrap() })
}

/// What `GET /shards` would say, and what the routes themselves say.
async fn assert_counts(store: &Store, wanted: &[(&str, u64)]) {
    let listed: Vec<_> = store.shards().await.unwrap().into_iter().map(|s| (s.shard.name, s.customers)).collect();
    let counted: Vec<(String, i64)> = sqlx::query_as(
        "SELECT name, (SELECT COUNT(DISTINCT customer) FROM route WHERE shard = name) FROM shard ORDER BY name",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap();
    let counted: Vec<_> = counted.into_iter().map(|(name, customers)| (name, customers.unsigned_abs())).collect();
    let wanted: Vec<_> = wanted.iter().map(|(name, customers)| ((*name).to_owned(), *customers)).collect();
    assert_eq!((&listed, &counted), (&wanted, &wanted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_directories_that_place_the_same_customers_at_once_agree() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [open(folder.path()).await, open(folder.path()).await];
    for name in ["a", "b", "c"] {
        add(&stores[0], name, Pool::Shared).await;
    }
    let mut asking = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = stores[task % 2].clone();
        asking.spawn(async move {
            let mut routes = Vec::new();
            for batch in 0..10 {
                let questions: Vec<_> = (0..30).map(|index| ask(batch * 30 + index, 7)).collect();
                routes.extend(store.resolve(&questions, Policy::Auto).await.unwrap());
            }
            routes
        });
    }
    let answers = asking.join_all().await;
    assert!(answers.iter().all(|routes| routes == &answers[0]), "two askers got different routes");
    assert!(answers[0].iter().all(|answer| matches!(answer, RouteAnswer::Placed(_))));
    assert_counts(&stores[1], &[("a", 100), ("b", 100), ("c", 100)]).await;
}

#[tokio::test]
async fn a_refusal_outlives_the_process_and_a_later_placement_counts_from_beyond_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    add(&store, "a", Pool::Shared).await;
    let strict = [ask(1, 10), ask(1, 12), ask(1, 11)];
    assert_eq!(store.resolve(&strict, Policy::Strict).await.unwrap(), vec![RouteAnswer::Refused; 3]);
    assert_eq!(store.resolve(&[ask(1, 4)], Policy::Strict).await.unwrap(), [RouteAnswer::Refused]);
    store.close().await;

    let store = open(folder.path()).await;
    let route = Route { shard: "a".to_owned(), from: Position::new(13).unwrap() };
    assert_eq!(store.place(&customer(1), "a").await.unwrap(), Placing::There(route));
    let answers = store.resolve(&[ask(1, 12), ask(1, 13), ask(1, 14)], Policy::Strict).await.unwrap();
    assert_eq!(answers, [RouteAnswer::Refused, placed("a", 13), placed("a", 13)]);
    // Asked about now, an unknown customer is refused, but no event of it was: nothing is noted.
    let now = Question { customer: customer(2), at: None };
    assert_eq!(store.resolve(&[now], Policy::Strict).await.unwrap(), [RouteAnswer::Refused]);
    assert_eq!(store.resolve(&[ask(2, 1)], Policy::Auto).await.unwrap(), [placed("a", 0)]);
}

#[tokio::test]
async fn only_open_shards_of_the_shared_pool_are_chosen_and_a_batch_that_cannot_be_placed_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    add(&store, "a", Pool::Dedicated).await;
    for (name, state) in [("b", ShardState::Draining), ("c", ShardState::Closed)] {
        add(&store, name, Pool::Shared).await;
        set_state(&store, name, state).await;
    }
    let error = store.resolve(&[ask(1, 1), ask(2, 1)], Policy::Auto).await.unwrap_err();
    assert!(matches!(error, ResolveError::NoOpenShard(_)), "{error}");
    assert!(store.known(&[customer(1), customer(2)]).await.unwrap().is_empty());
    add(&store, "d", Pool::Shared).await;
    assert_eq!(store.resolve(&[ask(1, 1), ask(2, 1)], Policy::Auto).await.unwrap(), vec![placed("d", 0); 2]);
    assert_counts(&store, &[("a", 0), ("b", 0), ("c", 0), ("d", 2)]).await;
}

#[tokio::test]
async fn a_customer_is_placed_by_hand_once_where_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    add(&store, "ded", Pool::Dedicated).await;
    add(&store, "shut", Pool::Shared).await;
    add(&store, "open", Pool::Shared).await;
    let there = |shard: &str| Placing::There(Route { shard: shard.to_owned(), from: Position::new(0).unwrap() });
    assert_eq!(store.place(&customer(0), "shut").await.unwrap(), there("shut"));
    set_state(&store, "shut", ShardState::Closed).await;
    for (id, shard, wanted) in [
        (1, "none", Placing::NoSuchShard),
        (1, "shut", Placing::NotOpen(ShardState::Closed)),
        (1, "ded", there("ded")),
        (1, "ded", there("ded")),
        (2, "ded", Placing::Taken(customer(1))),
        (2, "open", there("open")),
        // Confirmed, although the shard takes no new ones.
        (0, "shut", there("shut")),
    ] {
        assert_eq!(store.place(&customer(id), shard).await.unwrap(), wanted, "customer {id} on {shard}");
    }
    let elsewhere = store.place(&customer(1), "open").await.unwrap();
    assert!(matches!(elsewhere, Placing::Elsewhere(route) if route.shard == "ded"));
    assert_counts(&store, &[("ded", 1), ("open", 1), ("shut", 1)]).await;
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_the_password_comes_back_but_is_never_shown() {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    add(&store, "a", Pool::Shared).await;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", file.path().display());
    }
    let stored = store.shard("a").await.unwrap().unwrap();
    assert_eq!(stored.shard.password.expose_secret(), "hunter2");
    assert!(!format!("{stored:?} {store:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_url_of_another_engine_is_refused() {
    let error = Store::open("postgres://localhost/meta").await.unwrap_err();
    assert!(error.to_string().contains("sqlite://PATH"), "{error}");
}
