//! An empty meta database of either engine for each test, and a way to look into it behind the store's back.

use std::{
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use secrecy::ExposeSecret;
use sluice_directory::{
    Pool, Route, RouteAnswer,
    api::{NewShard, ShardChange, ShardState},
    placement::Question,
    store::{Earlier, Store},
};
use sluice_model::{CustomerId, Position};
use sluice_shard::Flavor;
use sqlx::{Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::postgres_server::Postgres;

/// An empty database and a place for its key; removed when dropped.
pub struct Meta {
    pub url: String,
    pub folder: TempDir,
    _server: Option<Arc<Server>>,
}

/// The one server of this test binary: it lives as long as some test holds it, since nothing drops a static.
struct Server {
    // Before its folder, so that it is stopped first.
    postgres: Postgres,
    _dir: TempDir,
}

static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

async fn server() -> Arc<Server> {
    let mut shared = SERVER.lock().await;
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let dir = TempDir::new().unwrap();
    let postgres = Postgres::start(dir.path().join("postgres"), 0, false).await.unwrap();
    let server = Arc::new(Server { postgres, _dir: dir });
    *shared = Arc::downgrade(&server);
    server
}

impl Meta {
    pub async fn postgres() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = server().await;
        let name = format!("meta_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        server.postgres.create_database(&name).await.unwrap();
        let address = server.postgres.address(&name);
        let password = address.password.expose_secret();
        let url = format!("postgres://{}:{password}@{}:{}/{name}", address.user, address.host, address.port);
        Self { url, folder: TempDir::new().unwrap(), _server: Some(server) }
    }

    pub fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        Self { url: format!("sqlite://{}", folder.path().join("meta.db").display()), folder, _server: None }
    }

    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    pub async fn open(&self) -> Store {
        Store::open(&self.url, Some(&self.key_file())).await.unwrap()
    }

    /// The first column of what a statement finds, as text, over a connection that shares no code with the store.
    pub async fn column(&self, sql: &str) -> Vec<String> {
        if self.url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
        }
    }

    /// Runs SQL behind the store's back, and holds what it locks until the second value is dropped.
    pub async fn hold(&self, sql: &str) -> Box<dyn Send> {
        if self.url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            Box::new(connection)
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            Box::new(connection)
        }
    }
}

pub fn shard(name: &str, pool: Pool) -> NewShard {
    NewShard {
        name: name.to_owned(),
        flavor: Flavor::Sqlite,
        host: String::new(),
        port: 0,
        user: String::new(),
        password: "hunter2".into(),
        password_file: None,
        database: format!("/{name}.db"),
        pool,
        weight: 1,
    }
}

pub async fn add(store: &Store, name: &str, pool: Pool) {
    let new = shard(name, pool);
    assert!(store.add_shard(&new, &[], &Earlier::default()).await.unwrap().is_some());
    assert!(store.add_shard(&new, &[], &Earlier::default()).await.unwrap().is_none(), "a name was given twice");
}

pub async fn set_state(store: &Store, shard: &str, state: ShardState) {
    let change = ShardChange { state: Some(state), ..ShardChange::default() };
    assert!(store.change_shard(shard, &change).await.unwrap());
}

pub fn customer(name: impl ToString) -> CustomerId {
    name.to_string().parse().unwrap()
}

pub fn ask(name: impl ToString, at: u64) -> Question {
    Question { customer: customer(name), at: Position::new(at) }
}

pub fn route(shard: &str, from: u64) -> Route {
    Route { shard: shard.to_owned(), from: Position::new(from).unwrap() }
}

pub fn placed(shard: &str, from: u64) -> RouteAnswer {
    RouteAnswer::Placed(route(shard, from))
}

/// What `GET /shards` would say, and what the routes themselves say.
pub async fn assert_counts(meta: &Meta, store: &Store, wanted: &[(&str, u64)]) {
    let listed: Vec<_> = store.shards().await.unwrap().into_iter().map(|s| (s.name, s.customers)).collect();
    let wanted: Vec<_> = wanted.iter().map(|(name, customers)| ((*name).to_owned(), *customers)).collect();
    assert_eq!(listed, wanted);
    for (name, customers) in wanted {
        let routes = meta.column(&format!("SELECT customer FROM route WHERE shard = '{name}'")).await;
        assert_eq!(routes.len() as u64, customers, "routes of {name}");
    }
}
