//! An empty database of any engine for each test, and a way to change it behind the shard's back.

pub mod pooler;

use std::{
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use secrecy::ExposeSecret;
use sluice_model::{CustomerId, Partition, Person, Position, Rows};
use sluice_shard::{
    Advance, Appended, Batch, Class, CustomerColumn, Flavor, Identity, Operation, Shard, ShardAddress, StoredPosition,
    register,
};
use sqlx::{
    Connection, MySqlConnection, PgConnection, SqliteConnection, mysql::MySqlConnectOptions,
    postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{mariadb_server::Mariadb, postgres_server::Postgres};

/// An empty database, removed when dropped.
pub struct Fixture {
    pub address: ShardAddress,
    _keeps: Keeps,
}

#[expect(dead_code, reason = "held for what their drop does")]
enum Keeps {
    Postgres(Arc<Server<Postgres>>),
    Mariadb(Arc<Server<Mariadb>>),
    Folder(TempDir),
}

/// The one server of its kind in this test binary: it lives as long as some test holds it, since nothing drops a static.
struct Server<S> {
    // Before its folder, so that it is stopped first.
    server: S,
    _dir: TempDir,
}

static POSTGRES: Mutex<Weak<Server<Postgres>>> = Mutex::const_new(Weak::new());
static MARIADB: Mutex<Weak<Server<Mariadb>>> = Mutex::const_new(Weak::new());

async fn shared<S>(
    one: &Mutex<Weak<Server<S>>>,
    start: impl AsyncFnOnce(PathBuf) -> anyhow::Result<S>,
) -> Arc<Server<S>> {
    let mut one = one.lock().await;
    if let Some(server) = one.upgrade() {
        return server;
    }
    let dir = TempDir::new().unwrap();
    let server = start(dir.path().join("server")).await.unwrap();
    let server = Arc::new(Server { server, _dir: dir });
    *one = Arc::downgrade(&server);
    server
}

/// The name of a database that no other test has.
fn database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("shard_{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Fixture {
    /// A fresh database on the shared server.
    pub async fn postgres() -> Self {
        let shared = shared(&POSTGRES, async |dir| Postgres::start(dir, 0, false).await).await;
        let name = database();
        shared.server.create_database(&name).await.unwrap();
        Self { address: shared.server.address(&name), _keeps: Keeps::Postgres(shared) }
    }

    /// A fresh database on the shared server, whose default is latin1.
    pub async fn mysql() -> Self {
        let shared = shared(&MARIADB, async |dir| Mariadb::start(dir, 0, false).await).await;
        let name = database();
        shared.server.create_database(&name).await.unwrap();
        Self { address: shared.server.address(&name), _keeps: Keeps::Mariadb(shared) }
    }

    /// A file that does not exist yet.
    pub async fn sqlite() -> Self {
        let dir = TempDir::new().unwrap();
        let address = ShardAddress {
            flavor: Flavor::Sqlite,
            host: String::new(),
            port: 0,
            user: String::new(),
            password: String::new().into(),
            database: dir.path().join("shard.db").display().to_string(),
            customer_column: CustomerColumn::default(),
        };
        Self { address, _keeps: Keeps::Folder(dir) }
    }

    /// Registers the database for partitions 0 to 3, and connects.
    pub async fn shard(&self) -> Shard {
        let starts: Vec<_> = (0..4).map(|p| Position::before_first(Partition::new(p))).collect();
        register(&self.address, &identity(), &starts).await.unwrap();
        self.connect().await
    }

    pub async fn connect(&self) -> Shard {
        Shard::connect(&self.address, &identity()).await.unwrap()
    }

    /// Runs SQL over a connection that shares no code with the shard's.
    pub async fn admin(&self, sql: &str) {
        match self.address.flavor {
            Flavor::Postgres => {
                let options = PgConnectOptions::new_without_pgpass()
                    .host(&self.address.host)
                    .port(self.address.port)
                    .username(&self.address.user)
                    .password(self.address.password.expose_secret())
                    .database(&self.address.database);
                let mut connection = PgConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Flavor::Mysql => {
                let mut connection = self.mysql_connection().await;
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Flavor::Sqlite => {
                let options = SqliteConnectOptions::new().filename(&self.address.database).create_if_missing(true);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// A connection to a MariaDB server that shares no code with the shard's.
    pub async fn mysql_connection(&self) -> MySqlConnection {
        let options = MySqlConnectOptions::new()
            .host(&self.address.host)
            .port(self.address.port)
            .username(&self.address.user)
            .password(self.address.password.expose_secret())
            .database(&self.address.database);
        MySqlConnection::connect_with(&options).await.unwrap()
    }

    /// From now on the table has a column that nobody fills: it takes no row, or, with a default,
    /// takes them again.
    pub async fn add_unfilled_column(&self, default: bool) {
        let default = if default { "DEFAULT 'eu'" } else { "" };
        let set = if default.is_empty() { "DROP DEFAULT" } else { "SET DEFAULT 'eu'" };
        let sql = match self.address.flavor {
            Flavor::Postgres | Flavor::Mysql => format!(
                "ALTER TABLE person ADD COLUMN IF NOT EXISTS region VARCHAR(9) NOT NULL DEFAULT 'eu';
                 ALTER TABLE person ALTER COLUMN region {set}"
            ),
            // SQLite changes no column of a table that is there.
            Flavor::Sqlite => format!(
                "BEGIN; ALTER TABLE person RENAME TO former;
                 CREATE TABLE person (customer_id TEXT NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
                     address TEXT NOT NULL, region TEXT NOT NULL {default}, PRIMARY KEY (customer_id, id));
                 INSERT INTO person SELECT customer_id, id, name, address, 'eu' FROM former;
                 DROP TABLE former; COMMIT"
            ),
        };
        self.admin(&sql).await;
    }

    /// From now on a trigger refuses rows of which this holds, such as `NEW.name = 'poison'`.
    pub async fn refuse_by_trigger(&self, rows: &str) {
        let sql = match self.address.flavor {
            Flavor::Postgres => format!(
                "CREATE FUNCTION shut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     IF {rows} THEN RAISE EXCEPTION 'shut out' USING ERRCODE = 'U0001'; END IF;
                     RETURN NEW;
                 END $$;
                 CREATE TRIGGER shut BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION shut()"
            ),
            Flavor::Mysql => format!(
                "CREATE TRIGGER shut BEFORE INSERT ON person FOR EACH ROW
                 IF {rows} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'shut out'; END IF"
            ),
            Flavor::Sqlite => format!(
                "CREATE TRIGGER shut BEFORE INSERT ON person WHEN {rows} BEGIN SELECT RAISE(ABORT, 'shut out'); END"
            ),
        };
        self.admin(&sql).await;
    }

    /// From now on the database refuses people of this name.
    pub async fn refuse_name(&self, name: &str) {
        match self.address.flavor {
            Flavor::Postgres | Flavor::Mysql => {
                self.admin(&format!("ALTER TABLE person ADD CONSTRAINT refused CHECK (name <> '{name}')")).await;
            }
            // SQLite adds no constraint to a table that is there.
            Flavor::Sqlite => {
                self.admin(&format!(
                    "DROP TABLE person; CREATE TABLE person (customer_id TEXT NOT NULL, id BIGINT NOT NULL,
                     name TEXT NOT NULL CHECK (name <> '{name}'), address TEXT NOT NULL, PRIMARY KEY (customer_id, id))"
                ))
                .await;
            }
        }
    }
}

pub fn identity() -> Identity {
    Identity { shard: "alpha".into(), journal_id: "journal-1".into() }
}

pub fn customer(id: &str) -> CustomerId {
    id.parse().unwrap()
}

/// The `sequence`-th message of a partition; 0 is before the first.
pub fn at(partition: u16, sequence: u64) -> Position {
    Position::new(Position::before_first(Partition::new(partition)).get() + sequence).unwrap()
}

/// The stamp of the `sequence`-th message: there is none before the first.
pub fn stamp(sequence: u64) -> i64 {
    if sequence == 0 { 0 } else { 1_000 + i64::try_from(sequence).unwrap() }
}

pub fn step(partition: u16, from: u64, to: u64) -> Advance {
    let place = |n| StoredPosition { position: at(partition, n), stamp: stamp(n) };
    Advance { from: place(from), to: place(to) }
}

/// One row a message for customer 42: of partition 0, from `from` on, with these names.
pub fn named<'a>(from: u64, names: impl IntoIterator<Item = &'a str>) -> Batch {
    let mut rows = Rows::new();
    let mut to = from;
    for name in names {
        to += 1;
        rows.push(&customer("42"), at(0, to).event(0), &Person { name: name.into(), address: "there".into() });
    }
    Batch { rows, advances: vec![step(0, from, to)] }
}

/// One row of one customer: the message after `from` in partition 0.
pub fn of(customer_id: &str, from: u64, name: &str) -> Batch {
    let mut rows = Rows::new();
    let person = Person { name: name.into(), address: "there".into() };
    rows.push(&customer(customer_id), at(0, from + 1).event(0), &person);
    Batch { rows, advances: vec![step(0, from, from + 1)] }
}

/// `count` rows after `from`.
pub fn numbered(from: u64, count: u64) -> Batch {
    let names: Vec<_> = (0..count).map(|n| format!("person {n}")).collect();
    named(from, names.iter().map(String::as_str))
}

/// Stores a batch of which nothing is refused.
pub async fn append(shard: &mut Shard, batch: &Batch) {
    assert_eq!(shard.append(batch).await.unwrap(), Appended::Stored);
}

/// Appends a batch of which every row is refused for its values.
pub async fn refused(shard: &mut Shard, batch: &Batch) {
    let appended = shard.append(batch).await.unwrap();
    assert!(matches!(&appended, Appended::Refused(rows) if rows.len() == batch.rows.len()), "{appended:?}");
}

/// Appends a batch to a table that takes no row; gives what is said of it.
pub async fn takes_nothing(shard: &mut Shard, batch: &Batch) -> String {
    let error = shard.append(batch).await.unwrap_err();
    assert_eq!((error.class, error.operation), (Class::Configuration, Operation::Append), "{}", error.source);
    error.source.to_string()
}

/// The stored position of partition 0, as a message number.
pub async fn stored(shard: &mut Shard) -> u64 {
    let position = shard.positions().await.unwrap()[&Partition::new(0)].position;
    position.get() - at(0, 0).get()
}

/// Names of customer 42's rows, in order of id.
pub async fn names(shard: &mut Shard) -> Vec<String> {
    let rows = shard.customer_rows(&customer("42"), None, u32::MAX).await.unwrap();
    rows.into_iter().map(|row| row.name).collect()
}
