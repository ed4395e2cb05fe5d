//! The two engines of the meta database: open one, and hold a connection or a transaction of it.
//!
//! What is said to them is the same SQL, in `statements.rs`; how they are opened, and how a writing transaction keeps others
//! out, is what differs, and stands here.

use std::{path::Path, str::FromStr, time::Duration};

use anyhow::{Context, bail};
use sluice_shard::{
    session::{Setting, UnfitSession},
    set_up_postgres_session,
};
use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// How long a statement waits for another process' write, and a task for a connection. Below the faces' time limits,
/// so that what went wrong can still be told.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// What PostgreSQL may take for a statement, and for how long a directory that fell silent in the middle of a transaction (stopped
/// by a signal, cut off) keeps the others out of it.
const SERVER_LIMIT_MS: &str = "10000";
/// See [`migrate_sqlite`].
const MIGRATION_TRIES: u32 = 4;
const MIGRATION_PAUSE: Duration = Duration::from_millis(100);
/// SQLite has one writer, and so has the table of routes; the others are for reads next to it.
const CONNECTIONS: u32 = 8;

/// The newest schema, and the way to it from every older one.
static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// The meta database's connections; clones share them.
#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// One connection out of the pool; what is done with it is committed statement by statement.
pub(super) enum Held {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A transaction that writes, one at a time; rolled back when dropped.
pub(super) enum Writing {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// Where statements go: see `statements.rs`.
pub(super) enum Session<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Database {
    /// Opens it and brings its schema up to date.
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => open_sqlite(url).await,
            Some("postgres" | "postgresql") => open_postgres(url).await,
            _ => bail!("the meta database's URL is sqlite://PATH or postgres://USER@HOST:PORT/DATABASE"),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    pub(super) async fn hold(&self) -> sqlx::Result<Held> {
        Ok(match self {
            Self::Sqlite(pool) => Held::Sqlite(pool.acquire().await?),
            Self::Postgres(pool) => Held::Postgres(pool.acquire().await?),
        })
    }

    /// Begins a transaction that no other writing one runs beside, in this process or another: what it reads stays true until
    /// it ends. Readers are not kept out.
    pub(super) async fn write(&self) -> sqlx::Result<Writing> {
        Ok(match self {
            Self::Sqlite(pool) => Writing::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => {
                let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
                // Alone with itself, and not with readers. Each statement after it sees all that was committed before.
                sqlx::query("LOCK TABLE shard IN SHARE ROW EXCLUSIVE MODE").execute(&mut *transaction).await?;
                Writing::Postgres(transaction)
            }
        })
    }
}

impl Held {
    pub(super) fn session(&mut self) -> Session<'_> {
        match self {
            Self::Sqlite(connection) => Session::Sqlite(connection),
            Self::Postgres(connection) => Session::Postgres(connection),
        }
    }
}

impl Writing {
    pub(super) fn session(&mut self) -> Session<'_> {
        match self {
            Self::Sqlite(transaction) => Session::Sqlite(transaction),
            Self::Postgres(transaction) => Session::Postgres(transaction),
        }
    }

    pub(super) async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await,
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}

async fn open_sqlite(url: &str) -> anyhow::Result<Database> {
    let options = SqliteConnectOptions::from_str(url).context("the meta database's URL is sqlite://PATH")?;
    let path = options.get_filename().to_owned();
    let named = || format!("cannot open the meta database {}", path.display());
    private_file(&path).with_context(named)?;
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // What is overwritten, such as an old password, is not left in the file.
        .pragma("secure_delete", "ON")
        .busy_timeout(BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(BUSY_TIMEOUT)
        .connect_with(options)
        .await
        .with_context(named)?;
    migrate_sqlite(&pool).await.with_context(|| format!("cannot bring {} up to date", path.display()))?;
    Ok(Database::Sqlite(pool))
}

/// The migrator takes no lock on SQLite: where several directories start at once, all but the first fail in the middle of the
/// same step, and find it done when they try again.
async fn migrate_sqlite(pool: &SqlitePool) -> Result<(), sqlx::migrate::MigrateError> {
    for _ in 0..MIGRATION_TRIES {
        if SQLITE_MIGRATIONS.run(pool).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(MIGRATION_PAUSE).await;
    }
    SQLITE_MIGRATIONS.run(pool).await
}

async fn open_postgres(url: &str) -> anyhow::Result<Database> {
    // Its own error would repeat the URL, and with it the password.
    let options = PgConnectOptions::from_str(url);
    let options = options.map_err(|_| anyhow::anyhow!("the meta database's URL cannot be read"))?;
    let place = format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default());
    let options = options.application_name("sluice-directory").extra_float_digits(None);
    let named = || format!("cannot open the meta database at {place}");
    // The pool itself would only say that it waited in vain.
    let mut first = PgConnection::connect_with(&options).await.with_context(named)?;
    set_up(&mut first).await.with_context(named)?;
    first.close().await.with_context(named)?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(BUSY_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move {
                set_up(connection).await.map_err(|unfit| match unfit {
                    UnfitSession::Database(error) => error,
                    other => sqlx::Error::Configuration(other.into()),
                })
            })
        })
        .connect_with(options)
        .await
        .with_context(named)?;
    // Several that start at once take turns: the migrator locks the database.
    POSTGRES_MIGRATIONS.run(&pool).await.with_context(|| format!("cannot bring {place} up to date"))?;
    Ok(Database::Postgres(pool))
}

/// Limits, and commits that survive a power failure: whatever is answered was committed before.
/// Each is set by a statement and read back, as a connection pooler may drop what a client asks for
/// when it connects.
async fn set_up(connection: &mut PgConnection) -> Result<(), UnfitSession> {
    let settings = [
        Setting::new("lock_timeout", BUSY_TIMEOUT.as_millis()),
        Setting::new("statement_timeout", SERVER_LIMIT_MS),
        Setting::new("idle_in_transaction_session_timeout", SERVER_LIMIT_MS),
    ];
    set_up_postgres_session(connection, &settings).await.map(drop)
}

/// Makes the file if it is missing, with passwords in mind: SQLite gives its side files the same permissions.
fn private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}
