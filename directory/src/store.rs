//! The meta database: shards, routes and refusals in one SQLite file.
//!
//! Whatever is answered from here was committed, with fsync, before: a placement or refusal that a power failure could
//! take back would change what is true of positions already passed.
//!
//! All SQL stands in this file (routes) and in `shards.rs`.

mod shards;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, str::FromStr, sync::Arc, time::Duration};

pub use shards::StoredShard;
use sluice_model::{CustomerId, Position};
use sqlx::{
    QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Mutex;

use crate::{
    api::{Route, RouteAnswer, ShardState},
    placement::{Changes, Known, Load, NoOpenShard, Policy, Question, resolve},
};

/// How long a statement waits for another process' write, and a task for a connection. Below the faces' time limits,
/// so that what went wrong can still be told.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// SQLite has one writer; the others are for reads next to it.
const CONNECTIONS: u32 = 8;
/// The newest schema, and the way to it from every older one.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// The meta database could not do it. Trying again may help: nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("the meta database cannot {operation}")]
pub struct StoreError {
    operation: &'static str,
    #[source]
    source: sqlx::Error,
}

/// For `map_err`: what was being done.
fn doing(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError { operation, source }
}

/// Why a batch of questions has no answers.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A new customer, and no shard that takes it.
    #[error(transparent)]
    NoOpenShard(#[from] NoOpenShard),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of placing a customer by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placing {
    /// It is there: since now, or since before.
    There(Route),
    /// It is on another shard.
    Elsewhere(Route),
    /// There is no such shard.
    NoSuchShard,
    /// The shard takes no new customers.
    NotOpen(ShardState),
    /// The shard is dedicated, and this one lives there.
    Taken(CustomerId),
}

/// A handle on the meta database; clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
    /// Whose turn it is to write: a queue in the order of arrival, where SQLite itself would only poll.
    turn: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the database (made if missing, readable for its owner only) and brings its schema up to date.
    ///
    /// # Errors
    /// Where the URL is not `sqlite://PATH`, or the file cannot be opened or is newer than this program.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        use anyhow::Context;
        anyhow::ensure!(
            url.starts_with("sqlite:"),
            "the meta database's URL is sqlite://PATH; other engines come later"
        );
        let options = SqliteConnectOptions::from_str(url).context("the meta database's URL is sqlite://PATH")?;
        let path = options.get_filename().to_owned();
        let named = || format!("cannot open the meta database {}", path.display());
        private_file(&path).with_context(named)?;
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(options)
            .await
            .with_context(named)?;
        MIGRATIONS.run(&pool).await.with_context(|| format!("cannot bring {} up to date", path.display()))?;
        Ok(Self { pool, turn: Arc::default() })
    }

    /// Ends the connections; what was answered is stored already.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Answers a batch of questions inside one transaction, placing and refusing by policy.
    ///
    /// The write lock is taken before anything is read, so two directories on one database agree: the second one finds
    /// what the first one did.
    ///
    /// # Errors
    /// See [`ResolveError`]; nothing was stored then.
    pub async fn resolve(&self, questions: &[Question], policy: Policy) -> Result<Vec<RouteAnswer>, ResolveError> {
        // Nearly always all is known: a read, next to any number of others, is enough.
        let mut read = self.pool.begin().await.map_err(doing("begin to read"))?;
        let (answers, changes) = decide(&mut read, questions, policy).await?;
        read.rollback().await.map_err(doing("end a reading"))?;
        if changes.is_empty() {
            return Ok(answers);
        }
        let _turn = self.turn.lock().await;
        let mut write = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(doing("begin to write"))?;
        let (answers, changes) = decide(&mut write, questions, policy).await?;
        for (customer, route) in &changes.placements {
            add_route(&mut write, customer, route).await?;
        }
        for (customer, through) in &changes.refusals {
            sqlx::query(
                "INSERT INTO refusal (customer, through) VALUES (?1, ?2)
                 ON CONFLICT (customer) DO UPDATE SET through = max(through, excluded.through)",
            )
            .bind(customer.as_str())
            .bind(number(*through))
            .execute(&mut *write)
            .await
            .map_err(doing("note a refusal"))?;
        }
        write.commit().await.map_err(doing("commit placements"))?;
        Ok(answers)
    }

    /// What is known of each of these customers; one of whom nothing is known is not in it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn known(&self, customers: &[CustomerId]) -> Result<HashMap<CustomerId, Known>, StoreError> {
        let mut read = self.pool.begin().await.map_err(doing("begin to read"))?;
        let known = known(&mut read, customers.iter()).await?;
        read.rollback().await.map_err(doing("end a reading"))?;
        Ok(known)
    }

    /// Places a customer that is nowhere yet, or confirms that it is there already.
    ///
    /// # Errors
    /// Where the database fails; nothing was stored then.
    pub async fn place(&self, customer: &CustomerId, shard: &str) -> Result<Placing, StoreError> {
        let _turn = self.turn.lock().await;
        let mut write = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(doing("begin to write"))?;
        let known = known(&mut write, [customer].into_iter()).await?.remove(customer).unwrap_or_default();
        if let Some(newest) = known.routes.last() {
            let there = newest.shard == shard;
            return Ok(if there { Placing::There(newest.clone()) } else { Placing::Elsewhere(newest.clone()) });
        }
        if let Some(obstacle) = shards::obstacle(&mut write, shard).await? {
            return Ok(obstacle);
        }
        let route = Route { shard: shard.to_owned(), from: known.counts_from() };
        add_route(&mut write, customer, &route).await?;
        write.commit().await.map_err(doing("commit a placement"))?;
        Ok(Placing::There(route))
    }
}

/// Makes the file if it is missing, with passwords in mind: SQLite gives its side files the same permissions.
fn private_file(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

async fn decide(
    connection: &mut SqliteConnection,
    questions: &[Question],
    policy: Policy,
) -> Result<(Vec<RouteAnswer>, Changes), ResolveError> {
    let mut known = known(connection, questions.iter().map(|question| &question.customer)).await?;
    let all_placed =
        questions.iter().all(|question| known.get(&question.customer).is_some_and(|known| !known.routes.is_empty()));
    let mut open = if all_placed { Vec::new() } else { open_shared(connection).await? };
    Ok(resolve(questions, &mut known, &mut open, policy)?)
}

/// The largest number of names in one statement; well below SQLite's 32,766 parameters.
const NAMES: usize = 1_000;

async fn known<'a>(
    connection: &mut SqliteConnection,
    customers: impl Iterator<Item = &'a CustomerId>,
) -> Result<HashMap<CustomerId, Known>, StoreError> {
    let customers: Vec<_> = customers.collect();
    let mut all = HashMap::<CustomerId, Known>::new();
    for names in customers.chunks(NAMES) {
        let mut query = named("SELECT customer, from_position, shard FROM route WHERE customer IN (", names);
        query.push(" ORDER BY customer, from_position");
        for row in query.build().fetch_all(&mut *connection).await.map_err(doing("read routes"))? {
            let (customer, from, shard) = read_route(&row).map_err(doing("read a route"))?;
            let routes = &mut all.entry(customer).or_default().routes;
            // A name that stands in two chunks brings its routes twice.
            if routes.last().is_none_or(|last| last.from < from) {
                routes.push(Route { shard, from });
            }
        }
        let mut query = named("SELECT customer, through FROM refusal WHERE customer IN (", names);
        for row in query.build().fetch_all(&mut *connection).await.map_err(doing("read refusals"))? {
            let through = read_position(&row, 1).map_err(doing("read a refusal"))?;
            let customer = read_customer(&row).map_err(doing("read a refusal"))?;
            all.entry(customer).or_default().refused_through = Some(through);
        }
    }
    Ok(all)
}

fn named<'a>(select: &str, customers: &[&'a CustomerId]) -> QueryBuilder<'a, Sqlite> {
    let mut query = QueryBuilder::new(select);
    let mut list = query.separated(", ");
    for customer in customers {
        list.push_bind(customer.as_str());
    }
    query.push(")");
    query
}

async fn open_shared(connection: &mut SqliteConnection) -> Result<Vec<Load>, StoreError> {
    let rows = sqlx::query_as::<_, (String, i64)>(
        "SELECT name, customers FROM shard WHERE pool = 'shared' AND state = 'open' ORDER BY name",
    )
    .fetch_all(connection)
    .await
    .map_err(doing("read the shards' loads"))?;
    Ok(rows.into_iter().map(|(shard, customers)| Load { shard, customers: customers.unsigned_abs() }).collect())
}

/// The only place where a route is made: the shard's count of customers moves with it.
async fn add_route(connection: &mut SqliteConnection, customer: &CustomerId, route: &Route) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO route (customer, from_position, shard) VALUES (?1, ?2, ?3)")
        .bind(customer.as_str())
        .bind(number(route.from))
        .bind(&route.shard)
        .execute(&mut *connection)
        .await
        .map_err(doing("store a route"))?;
    sqlx::query("UPDATE shard SET customers = customers + 1 WHERE name = ?1")
        .bind(&route.shard)
        .execute(connection)
        .await
        .map_err(doing("count a customer"))?;
    Ok(())
}

fn number(position: Position) -> i64 {
    i64::try_from(position.get()).expect("a position has 53 bits")
}

fn read_route(row: &sqlx::sqlite::SqliteRow) -> Result<(CustomerId, Position, String), sqlx::Error> {
    Ok((read_customer(row)?, read_position(row, 1)?, row.try_get(2)?))
}

fn read_customer(row: &sqlx::sqlite::SqliteRow) -> Result<CustomerId, sqlx::Error> {
    row.try_get::<&str, _>(0)?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn read_position(row: &sqlx::sqlite::SqliteRow, column: usize) -> Result<Position, sqlx::Error> {
    let position: i64 = row.try_get(column)?;
    let position = u64::try_from(position).ok().and_then(Position::new);
    position.ok_or_else(|| sqlx::Error::Decode("not a position".into()))
}
