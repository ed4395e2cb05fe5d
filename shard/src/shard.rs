//! One connection to one shard: register, connect, append, read back.

use std::{collections::BTreeMap, time::Duration};

use futures::{Stream, StreamExt};
use sluice_model::{CustomerId, EventId, Partition};
use tokio::time::timeout;

use crate::{
    Appended, Batch, Class, Flavor, LastStored, Limits, Operation, ShardAddress, ShardError, StoredPosition, append,
    engine::Engine, fault::Fault, rebinding, registration,
};

/// How long a database may take to let us in and say who it is. Too short: a busy server is taken
/// for a dead one. Too long: a lane learns late that its shard's host is gone, and others
/// (trimmers, at 10 s) give up before they can say why.
const CONNECT_LIMIT: Duration = Duration::from_secs(8);

/// Who a database says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The shard's name in the directory.
    pub shard: String,
    /// The journal that its positions belong to.
    pub journal_id: String,
}

/// How much a shard holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Rows of `person`.
    pub rows: u64,
    /// Distinct customers among them.
    pub customers: u64,
}

/// About how much a shard holds, by the database's own statistics: cheap to ask, whatever its size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// About how many rows. PostgreSQL counts what was committed, within about a second; MySQL and MariaDB look at some pages of
    /// a table every now and then (after a tenth of it has changed), and may be far off until then; SQLite knows the greatest row number,
    /// which does not shrink when rows are deleted.
    pub rows: u64,
    /// Bytes of the rows and their index; in SQLite of the whole file.
    pub bytes: u64,
}

/// A row, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// Whose it is.
    pub customer_id: String,
    /// The event that it came from.
    pub id: EventId,
    /// The person's name.
    pub name: String,
    /// The person's address.
    pub address: String,
}

/// Makes a database a shard: schema, identity, and a position row for each of `positions`, in one transaction.
///
/// A position with the stamp of its message lets writers find out later that the journal has lost it.
///
/// Doing it again with the same identity adds only what is missing; a position that exists is never touched.
///
/// # Errors
/// [`Class::Configuration`] where the database already bears another identity, or has a `person` table of other columns.
pub async fn register(
    address: &ShardAddress,
    identity: &Identity,
    positions: &[impl Copy + Into<StoredPosition>],
) -> Result<(), ShardError> {
    let positions: Vec<StoredPosition> = positions.iter().map(|position| (*position).into()).collect();
    let mut engine = connect(address, Limits::default(), true).await?;
    let registered = registration::register(&mut engine, identity, &positions, &address.customer_column).await;
    registered.map_err(|fault| fault.during(Operation::Register))?;
    close(engine).await;
    Ok(())
}

/// Gives a shard over from one journal to another, and lets it go on after each of `positions` where it has stored less, in one
/// transaction. The rows stay.
///
/// Only for a journal that holds nothing between a stored position and the one it is moved to: what is left out is left out for
/// good. No position is ever lowered. Done again, it does nothing. With `from` equal to `to` only positions move.
///
/// # Errors
/// [`Class::Configuration`] where the database is neither shard `from` nor `to`, or lacks a position row. Then nothing was changed.
pub async fn rebind(
    address: &ShardAddress,
    from: &Identity,
    to: &Identity,
    positions: &[StoredPosition],
) -> Result<(), ShardError> {
    let mut engine = connect(address, Limits::default(), false).await?;
    let rebound = rebinding::rebind(&mut engine, from, to, positions).await;
    rebound.map_err(|fault| fault.during(Operation::Rebind))?;
    close(engine).await;
    Ok(())
}

/// Which journal's positions a database holds, if it is the shard of that name.
///
/// # Errors
/// [`Class::Configuration`] where it is another shard, or none; [`Class::Transient`] where it does not answer.
pub async fn journal_of(address: &ShardAddress, shard: &str) -> Result<String, ShardError> {
    let mut engine = connect(address, Limits::default(), false).await?;
    let found = within_limit(engine.identities()).await;
    let journal_id = found.and_then(|found| registration::journal_of(&found, shard));
    let journal_id = journal_id.map_err(|fault| fault.during(Operation::VerifyIdentity))?;
    close(engine).await;
    Ok(journal_id)
}

/// One connection to a shard whose identity has been verified. After any error it is to be dropped.
pub struct Shard {
    engine: Engine,
    limits: Limits,
    /// By it a wrong table is told from wrong rows. Whoever connects again takes it along.
    pub last_stored: LastStored,
}

impl Shard {
    /// Connects, and makes sure that the database is the shard it is taken for. With the default [`Limits`].
    ///
    /// # Errors
    /// [`Class::Configuration`] where it is not, or lets us not in; [`Class::Transient`] where it does not answer.
    pub async fn connect(address: &ShardAddress, identity: &Identity) -> Result<Self, ShardError> {
        Self::connect_within(address, identity, Limits::default()).await
    }

    /// As [`Shard::connect`], with other limits for what follows.
    ///
    /// # Errors
    /// As [`Shard::connect`].
    pub async fn connect_within(
        address: &ShardAddress,
        identity: &Identity,
        limits: Limits,
    ) -> Result<Self, ShardError> {
        let mut engine = connect(address, limits, false).await?;
        let found = within_limit(engine.identities()).await;
        found
            .and_then(|found| registration::expect(&found, identity))
            .map_err(|fault| fault.during(Operation::VerifyIdentity))?;
        Ok(Self { engine, limits, last_stored: LastStored::default() })
    }

    /// The stored positions, as of now.
    ///
    /// # Errors
    /// [`Class::Configuration`] where a row holds what is no position of its partition.
    pub async fn positions(&mut self) -> Result<BTreeMap<Partition, StoredPosition>, ShardError> {
        self.engine.positions().await.map_err(|fault| fault.during(Operation::ReadPositions))
    }

    /// Stores a batch in one transaction: positions compared and advanced, rows in, commit.
    ///
    /// Where the database refuses rows for their values, nothing is stored, and [`Appended`] names
    /// these rows. No more than a limited number of attempts is made to find them, within a limited
    /// time ([`Limits::search`]). Where it would refuse any other row as well, none is named.
    ///
    /// Never put a timeout or `select!` around it: a cancelled `COPY` leaves the connection one answer behind. Give it a
    /// task of its own; the server's own timeouts bound it.
    ///
    /// # Errors
    /// [`Class::PositionMoved`] where a stored position is not the expected one.
    /// [`Class::Configuration`] where the table takes no row: it has to be mended. After a
    /// [`Class::Transient`] error of the commit it is unknown whether it took place: connect anew
    /// and read the positions.
    pub async fn append(&mut self, batch: &Batch) -> Result<Appended, ShardError> {
        let Self { engine, limits, last_stored } = self;
        let appended = append::append(engine, batch, last_stored, limits.search()).await;
        appended.map_err(|fault| fault.during(Operation::Append))
    }

    /// About how much it holds; quick even where it is much.
    ///
    /// # Errors
    /// See [`ShardError::class`].
    pub async fn size(&mut self) -> Result<Size, ShardError> {
        let size = within_limit(self.engine.size()).await;
        size.map_err(|fault| fault.during(Operation::ReadRows))
    }

    /// Whose rows it holds: the next page of customers behind `after` in the order of the primary key, each once; the last page is
    /// empty. As text: rows made by hand may be anybody's. A page is quick, however many rows the customers have.
    ///
    /// # Errors
    /// See [`ShardError::class`].
    pub async fn customers(&mut self, after: Option<&str>) -> Result<Vec<String>, ShardError> {
        let page = within_limit(self.engine.customers(after)).await;
        page.map_err(|fault| fault.during(Operation::ReadRows))
    }

    /// All of [`Shard::customers`].
    ///
    /// # Errors
    /// See [`ShardError::class`].
    pub async fn all_customers(&mut self) -> Result<Vec<String>, ShardError> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let page = self.customers(all.last().map(String::as_str)).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// Counts rows and customers by reading all of them.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn counts(&mut self) -> Result<Counts, ShardError> {
        self.engine.counts().await.map_err(|fault| fault.during(Operation::ReadRows))
    }

    /// A page of a customer's rows in order of id: at most `limit` of those after `after`.
    ///
    /// # Errors
    /// [`Class::Configuration`] where a row's id is one that no journal gives.
    pub async fn customer_rows(
        &mut self,
        customer: &CustomerId,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<StoredRow>, ShardError> {
        let page = self.engine.customer_rows(customer, after, limit).await;
        page.map_err(|fault| fault.during(Operation::ReadRows))
    }

    /// Customer and id of every row, as they stand in the table (an id may be one that no journal gives), in no order,
    /// as of one moment. Nothing is collected.
    pub fn ids(&mut self) -> impl Stream<Item = Result<(String, i64), ShardError>> + Send + Unpin {
        self.engine.ids().map(|row| row.map_err(|fault| fault.during(Operation::ReadRows)))
    }

    /// Says goodbye to the database. Dropping does as well, only less politely.
    pub async fn close(self) {
        close(self.engine).await;
    }
}

/// Connects; where that takes too long, the error says what may be in the way.
async fn connect(address: &ShardAddress, limits: Limits, create: bool) -> Result<Engine, ShardError> {
    let connected = match timeout(CONNECT_LIMIT, Engine::connect(address, limits, create)).await {
        Ok(connected) => connected,
        Err(_) => Err(Fault::new(Class::Transient, no_answer(address.flavor))),
    };
    connected.map_err(|fault| fault.during(Operation::Connect))
}

fn no_answer(flavor: Flavor) -> String {
    let late = format!("no answer within {} s", CONNECT_LIMIT.as_secs());
    match flavor {
        Flavor::Sqlite => late,
        Flavor::Postgres | Flavor::Mysql => format!(
            "{late}: the server is away or busy, or the connections of a pooler before it are used up. Each worker of each \
             writer holds one; trimming, the directory, `writer dead` and `loadgen verify` want one more each (PgBouncer: \
             default_pool_size)"
        ),
    }
}

async fn close(engine: Engine) {
    if let Err(fault) = within_limit(engine.close()).await {
        tracing::debug!(error = %fault.source, "a shard's connection was not closed in order");
    }
}

/// Only for what never touches `COPY`, and whose connection is dropped where it fails.
async fn within_limit<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match timeout(CONNECT_LIMIT, work).await {
        Ok(done) => done,
        Err(_) => Err(Fault::new(Class::Transient, format!("no answer within {} s", CONNECT_LIMIT.as_secs()))),
    }
}
