//! The meta database: shards, routes and refusals, in one SQLite file or in PostgreSQL.
//!
//! Whatever is answered from here was committed, with fsync, before: a placement or refusal that a power failure could
//! take back would change what is true of positions already passed. Whatever changes something is one transaction, so a
//! directory that is killed leaves all of it or nothing. Read in this order:
//!
//! 1. this file: [`Store`]: open it, and answer a batch of questions.
//! 2. `shards.rs`: the shards in it, with their sealed passwords; `adoption.rs`: customers that came with their rows.
//! 3. `statements.rs`: all SQL; `database.rs`: the two engines.

mod adoption;
mod database;
mod shards;
mod statements;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use adoption::{Adopted, Earlier};
use anyhow::{Context, ensure};
use secrecy::ExposeSecret;
pub(crate) use shards::read_password;
pub use shards::{Measured, PasswordError, Removal, StoredPassword, StoredShard};
use sluice_model::{CustomerId, Position};
use tokio::sync::Mutex;

use self::database::{Database, Session, Writing};
use crate::{
    api::{Route, RouteAnswer, ShardState},
    placement::{Changes, Known, Load, NoOpenShard, Policy, Question, resolve},
    seal::Key,
};

/// What the key seals when a meta database is made, to be known by ever after.
const PROOF: &str = "sluice";

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
    /// The shard takes new customers only once it is known whose rows other shards hold.
    Held,
    /// The shard is dedicated, and this one lives there.
    Taken(CustomerId),
}

/// A handle on the meta database; clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    key: Arc<Key>,
    /// Whose turn it is to write: a queue in the order of arrival, where SQLite itself would only poll.
    turn: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the database and brings its schema up to date. A SQLite file is made if missing, readable for its owner only.
    ///
    /// Passwords are sealed by the key of `key_file`; without one, of the file beside a SQLite database. The key is made
    /// together with a new database. Passwords that an older version left in clear are sealed now.
    ///
    /// # Errors
    /// Where the URL is none, or the database cannot be opened, or is newer than this program, or the key is another one than
    /// its passwords were sealed with.
    pub async fn open(url: &str, key_file: Option<&Path>) -> anyhow::Result<Self> {
        let database = Database::open(url).await?;
        let key_file = key_file.map(Path::to_owned).or_else(|| key_beside(url)).context(
            "a meta database in PostgreSQL needs --key-file (DIRECTORY_KEY_FILE): the key that its passwords are sealed \
             with, the same for all directories. Where there is none yet, the first directory makes it",
        )?;
        let mut write = database.write().await.map_err(doing("begin to write"))?;
        let key = known_key(&mut write, &key_file).await?;
        let sealed = write.session().seal_clear(&key).await.map_err(doing("seal passwords"))?;
        write.commit().await.map_err(doing("commit the key's proof"))?;
        if sealed > 0 {
            tracing::info!(shards = sealed, "passwords that stood in clear are sealed now");
            database.forget_old_pages().await.map_err(doing("forget the passwords in clear"))?;
        }
        Ok(Self { database, key: Arc::new(key), turn: Arc::default() })
    }

    /// Makes sure that the meta database answers.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn answers(&self) -> Result<(), StoreError> {
        let mut held = self.database.hold().await.map_err(doing("be reached"))?;
        held.session().proof().await.map(drop).map_err(doing("answer"))
    }

    /// Ends the connections; what was answered is stored already.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Answers a batch of questions, placing and refusing by policy, in one transaction.
    ///
    /// Writing transactions run one after the other, so two directories on one database agree: the second one finds what the
    /// first one did.
    ///
    /// # Errors
    /// See [`ResolveError`]; nothing was stored then.
    pub async fn resolve(&self, questions: &[Question], policy: Policy) -> Result<Vec<RouteAnswer>, ResolveError> {
        // Nearly always all are placed: one statement, next to any number of others, is enough. A route once made is never
        // taken back.
        let mut known = HashMap::new();
        let customers = || questions.iter().map(|question| &question.customer);
        let mut held = self.database.hold().await.map_err(doing("be reached"))?;
        routes(&mut held.session(), customers(), &mut known).await?;
        drop(held);
        if customers().all(|customer| known.contains_key(customer)) {
            return Ok(resolve(questions, &mut known, &mut [], policy)?.0);
        }
        let _turn = self.turn.lock().await;
        let mut write = self.begin().await?;
        let mut session = write.session();
        let mut known = known_of(&mut session, customers()).await?;
        let mut open = open_shared(&mut session).await?;
        let (answers, changes) = resolve(questions, &mut known, &mut open, policy)?;
        if changes.is_empty() {
            return Ok(answers);
        }
        let Changes { placements, refusals } = &changes;
        for (customer, route) in placements {
            session.add_route(customer, route).await.map_err(doing("store a route"))?;
        }
        for (customer, through) in refusals {
            session.refuse(customer, *through).await.map_err(doing("note a refusal"))?;
        }
        write.commit().await.map_err(doing("commit placements"))?;
        Ok(answers)
    }

    /// What is known of each of these customers; one of whom nothing is known is not in it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn known(&self, customers: &[CustomerId]) -> Result<HashMap<CustomerId, Known>, StoreError> {
        let mut held = self.database.hold().await.map_err(doing("be reached"))?;
        known_of(&mut held.session(), customers.iter()).await
    }

    /// Places a customer that is nowhere yet, or confirms that it is there already.
    ///
    /// # Errors
    /// Where the database fails; nothing was stored then.
    pub async fn place(&self, customer: &CustomerId, shard: &str) -> Result<Placing, StoreError> {
        let _turn = self.turn.lock().await;
        let mut write = self.begin().await?;
        let mut session = write.session();
        let known = known_of(&mut session, [customer].into_iter()).await?.remove(customer).unwrap_or_default();
        if let Some(newest) = known.routes.last() {
            let there = newest.shard == shard;
            return Ok(if there { Placing::There(newest.clone()) } else { Placing::Elsewhere(newest.clone()) });
        }
        if let Some(obstacle) = shards::obstacle(&mut session, shard).await? {
            return Ok(obstacle);
        }
        let route = Route { shard: shard.to_owned(), from: known.counts_from() };
        session.add_route(customer, &route).await.map_err(doing("store a route"))?;
        write.commit().await.map_err(doing("commit a placement"))?;
        Ok(Placing::There(route))
    }

    async fn begin(&self) -> Result<Writing, StoreError> {
        self.database.write().await.map_err(doing("begin to write"))
    }
}

/// Where the key of a SQLite database is, unless somebody says otherwise.
fn key_beside(url: &str) -> Option<PathBuf> {
    use std::str::FromStr;
    let options = sqlx::sqlite::SqliteConnectOptions::from_str(url).ok()?;
    let mut path = options.get_filename().as_os_str().to_owned();
    path.push(".key");
    Some(path.into())
}

/// The key of the file, if it is the database's own; a new database's is made.
async fn known_key(write: &mut Writing, file: &Path) -> anyhow::Result<Key> {
    let mut session = write.session();
    let proof = session.proof().await.map_err(doing("read the key's proof"))?;
    if proof.is_none() && !file.exists() {
        Key::make_file(file)?;
        tracing::info!(file = %file.display(), "made the key of the shards' passwords; keep a copy of it elsewhere");
    }
    let key = Key::read(file).context("the shards' passwords cannot be opened without their key; see --key-file")?;
    match proof {
        None => {
            let proof = key.seal("", &PROOF.into());
            session.set_proof(&proof).await.map_err(doing("store the key's proof"))?;
        }
        Some(proof) => ensure!(
            key.open("", &proof).is_ok_and(|text| text.expose_secret() == PROOF),
            "{} holds another key than the shards' passwords were sealed with; see --key-file",
            file.display()
        ),
    }
    Ok(key)
}

async fn known_of<'a>(
    session: &mut Session<'_>,
    customers: impl Iterator<Item = &'a CustomerId> + Clone,
) -> Result<HashMap<CustomerId, Known>, StoreError> {
    let mut known = HashMap::new();
    routes(session, customers.clone(), &mut known).await?;
    let reading = doing("read refusals");
    for (customer, through) in session.refusals(&as_json(customers)).await.map_err(&reading)? {
        let customer = read_customer(&customer).map_err(&reading)?;
        known.entry(customer).or_default().refused_through = Some(read_position(through).map_err(&reading)?);
    }
    Ok(known)
}

/// Adds the customers' routes to what is known of them.
async fn routes<'a>(
    session: &mut Session<'_>,
    customers: impl Iterator<Item = &'a CustomerId>,
    known: &mut HashMap<CustomerId, Known>,
) -> Result<(), StoreError> {
    let reading = doing("read routes");
    for (customer, from, shard) in session.routes(&as_json(customers)).await.map_err(&reading)? {
        let customer = read_customer(&customer).map_err(&reading)?;
        let from = read_position(from).map_err(&reading)?;
        known.entry(customer).or_default().routes.push(Route { shard, from });
    }
    Ok(())
}

fn as_json<'a>(customers: impl Iterator<Item = &'a CustomerId>) -> String {
    let names: Vec<_> = customers.map(CustomerId::as_str).collect();
    serde_json::to_string(&names).expect("names are text")
}

async fn open_shared(session: &mut Session<'_>) -> Result<Vec<Load>, StoreError> {
    let reading = doing("read the shards' loads");
    let rows = session.shards().await.map_err(&reading)?;
    let shards = rows.into_iter().map(StoredShard::try_from).collect::<Result<Vec<_>, _>>().map_err(&reading)?;
    Ok(shards.into_iter().filter_map(StoredShard::load).collect())
}

fn read_customer(text: &str) -> Result<CustomerId, sqlx::Error> {
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn read_position(position: i64) -> Result<Position, sqlx::Error> {
    let position = u64::try_from(position).ok().and_then(Position::new);
    position.ok_or_else(|| sqlx::Error::Decode("not a position".into()))
}

/// Milliseconds since 1970 by this machine's clock: for people, and nothing is decided by it.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
