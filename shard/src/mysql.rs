//! MySQL 8 and MariaDB: all their SQL, over one connection in READ COMMITTED.
//!
//! The lane's transaction takes a round trip for `BEGIN` with the positions, one for each chunk of rows, and one for `COMMIT`.
//!
//! **A transaction that is gone.** After a deadlock (error 1213) the server has ended the whole transaction by itself, without a
//! word in any later answer: what follows would commit at once, each statement for itself, rows without their position. So each
//! transaction begins with the savepoint `stands`. It lives and dies with the transaction, and `RELEASE SAVEPOINT` of one that is
//! not there is an error (1305) on every version. Before each further savepoint and before the commit it is released (and made
//! again), in the same round trip: a string of statements ends at its first error.

mod class;
mod insert;
mod session;
mod tables;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    ops::Range,
};

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use sluice_model::{CustomerId, Partition, Rows};
use sqlx::{
    Connection, Executor, MySqlConnection, Row,
    mysql::{MySqlDatabaseError, MySqlRow},
};

pub(crate) use self::class::class_of;
use self::{session::MARK, tables::text};
use crate::{
    Advance, Class, Counts, CustomerColumn, Identity, Limits, ShardAddress, Size, StoredPosition,
    chunks::Inserts,
    customers::CustomerPages,
    engine::{position_i64, stored_positions},
    fault::Fault,
    schema::Column,
    session::Mark,
};

/// Begins a transaction with the savepoint that says that it stands. `BEGIN` within a transaction would commit that one; one that
/// should have been rolled back and was not ends here.
const BEGIN: &str = "ROLLBACK; BEGIN; SAVEPOINT stands";
const COMMIT: &str = "RELEASE SAVEPOINT stands; COMMIT";
/// Having been read, the table stays as it is until the search ends.
const SAVEPOINT: &str =
    "RELEASE SAVEPOINT stands; SAVEPOINT stands; SELECT 1 FROM `person` WHERE FALSE; SAVEPOINT part";
const NEXT_SAVEPOINT: &str = "RELEASE SAVEPOINT stands; SAVEPOINT stands; SAVEPOINT part";
const UNDO_TO_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT part";
/// What is said of a prepared statement that is not there.
pub(crate) const UNKNOWN_STATEMENT: u16 = 1243;
/// What is said of a savepoint that is not there.
const NO_SUCH_SAVEPOINT: u16 = 1305;
/// One registration at a time in a database. The lock is this connection's, and ends with it.
const REGISTRATION_LOCK: &str = "SELECT CAST(GET_LOCK(CONCAT('sluice.', MD5(DATABASE())), {seconds}) AS SIGNED)";
const IDENTITIES: &str = "SELECT `name`, `journal_id` FROM `sluice_shard`";
const WRITE_IDENTITY: &str = "INSERT INTO `sluice_shard` (`name`, `journal_id`) VALUES (?, ?)";
const CHANGE_JOURNAL: &str = "UPDATE `sluice_shard` SET `journal_id` = ? WHERE `name` = ?";
const GO_ON_AFTER: &str =
    "UPDATE `journal_position` SET `position` = ?, `stamp` = ? WHERE `journal_partition` = ? AND `position` < ?";
const PARTITIONS: &str = "SELECT `journal_partition` FROM `journal_position`";
/// The mark's row comes first.
const POSITIONS: &str = "SELECT {mark}; SELECT `journal_partition`, `position`, `stamp` FROM `journal_position`";
/// Estimates that the server keeps; some of them lag behind.
const SIZE: &str = "
    SELECT CAST(table_rows AS SIGNED), CAST(data_length + index_length AS SIGNED) FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name = 'person'";

/// The statements that name the customer's column.
struct Sql {
    create: [(&'static str, String); 3],
    /// The end of what compares a position: only in the session that was set up.
    in_session: String,
    inserts: Inserts,
    customer_rows: String,
    customers: CustomerPages,
    counts: String,
    ids: String,
}

impl Sql {
    /// Reading all rows may take longer than a lane's statement ever should. One string each, so that a stream dropped half way
    /// leaves the limit as it was: the driver reads on to the end of it before anything else.
    fn new(customer: &CustomerColumn, limits: Option<Limits>, mark: &Mark) -> Self {
        let fill = |sql: &str| customer.fill(sql, '`');
        let unlimited = |sql: &str| match limits.map(|limits| limits.statement().as_secs_f64()) {
            Some(limit) => {
                fill(&format!("SET SESSION max_statement_time = 0; {sql}; SET SESSION max_statement_time = {limit}"))
            }
            None => fill(sql),
        };
        Self {
            create: tables::CREATE
                .map(|(name, sql)| (name, fill(&sql.replace("{length}", &CustomerId::MAX_BYTES.to_string())))),
            in_session: format!("AND {MARK} = '{}'", mark.as_str()),
            inserts: Inserts::new(&fill("INSERT INTO `person` ({customer}, `id`, `name`, `address`)")),
            customer_rows: fill(
                "SELECT `id`, `name`, `address` FROM `person` WHERE {customer} = ? AND `id` > ? ORDER BY `id` LIMIT ?",
            ),
            customers: CustomerPages::by_rows(customer, '`', "?"),
            counts: unlimited("SELECT count(*), count(DISTINCT {customer}) FROM `person`"),
            ids: unlimited("SELECT {customer}, `id` FROM `person`"),
        }
    }
}

/// One connection to a MySQL or MariaDB server.
pub(crate) struct Mysql {
    connection: MySqlConnection,
    customer: CustomerColumn,
    limits: Limits,
    mark: Mark,
    sql: Sql,
}

impl Mysql {
    /// Connects; `create` where the tables may still be missing, or be others.
    pub(crate) async fn connect(address: &ShardAddress, limits: Limits, create: bool) -> Result<Self, Fault> {
        let (mut connection, mark, limited) = session::open(address, limits).await?;
        let customer = address.customer_column.clone();
        tables::look(&mut connection).await?;
        if !create {
            tables::check_texts(&mut connection, &customer).await?;
        }
        let sql = Sql::new(&customer, limited.then_some(limits), &mark);
        Ok(Self { connection, customer, limits, mark, sql })
    }

    /// Creating a table commits, so the tables come first, and identity and positions then in one transaction. What a
    /// registration leaves behind that failed between the two is tables without an identity: no shard.
    pub(crate) async fn begin_registration(&mut self) -> Result<(), Fault> {
        let lock = REGISTRATION_LOCK.replace("{seconds}", &self.limits.lock().as_secs().to_string());
        let row = self.connection.fetch_one(sqlx::raw_sql(&lock)).await?;
        if row.try_get::<Option<i64>, _>(0)? != Some(1) {
            return Err(Fault::new(Class::Transient, "another registration of this database does not end"));
        }
        let present = tables::look(&mut self.connection).await?;
        let missing = self.sql.create.iter().filter(|(name, _)| !present.iter().any(|table| table == name));
        for (name, create) in missing {
            let created = self.connection.execute(sqlx::raw_sql(create)).await;
            created.map_err(|error| Fault::from(error).at_creating(name))?;
        }
        tables::look(&mut self.connection).await?;
        self.run(BEGIN).await?;
        Ok(())
    }

    pub(crate) async fn person_columns(&mut self) -> Result<Vec<Column>, Fault> {
        tables::person_columns(&mut self.connection, self.customer.as_str()).await
    }

    pub(crate) async fn identities(&mut self) -> Result<Vec<Identity>, Fault> {
        let found = self.connection.fetch_all(sqlx::raw_sql(IDENTITIES)).await?;
        found.iter().map(|row| Ok(Identity { shard: text(row, 0)?, journal_id: text(row, 1)? })).collect()
    }

    pub(crate) async fn write_identity(&mut self, identity: &Identity) -> Result<(), Fault> {
        let query = sqlx::query(WRITE_IDENTITY).bind(&identity.shard).bind(&identity.journal_id);
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    pub(crate) async fn change_journal(&mut self, identity: &Identity) -> Result<(), Fault> {
        let query = sqlx::query(CHANGE_JOURNAL).bind(&identity.journal_id).bind(&identity.shard);
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    pub(crate) async fn go_on_after(&mut self, later: StoredPosition) -> Result<(), Fault> {
        let position = position_i64(later.position);
        let query = sqlx::query(GO_ON_AFTER).bind(position).bind(later.stamp);
        let query = query.bind(later.position.partition().number()).bind(position);
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    /// Nobody else adds any meanwhile: registrations come one after the other.
    pub(crate) async fn add_positions(&mut self, positions: &[StoredPosition]) -> Result<(), Fault> {
        let present: BTreeSet<i64> =
            sqlx::query_scalar(PARTITIONS).fetch_all(&mut self.connection).await?.into_iter().collect();
        let missing = positions.iter().filter(|at| !present.contains(&i64::from(at.position.partition().number())));
        // The values are numbers, so they can stand in the text.
        let values = missing.map(|at| format!("({}, {}, {})", at.position.partition(), at.position, at.stamp));
        let values: Vec<_> = values.collect();
        if !values.is_empty() {
            let values = values.join(", ");
            self.run(&format!(
                "INSERT INTO `journal_position` (`journal_partition`, `position`, `stamp`) VALUES {values}"
            ))
            .await?;
        }
        Ok(())
    }

    pub(crate) async fn positions(&mut self) -> Result<BTreeMap<Partition, StoredPosition>, Fault> {
        let sql = POSITIONS.replace("{mark}", MARK);
        let rows = self.connection.fetch_all(sqlx::raw_sql(&sql)).await?;
        let (mark, rows) = rows.split_first().expect("the mark has a row");
        self.mark.expect(mark.try_get_unchecked::<Option<String>, _>(0)?.as_deref())?;
        let position = |row: &MySqlRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let positions: Result<_, sqlx::Error> = rows.iter().map(position).collect();
        stored_positions(positions?)
    }

    /// All in one round trip; see PostgreSQL's. The driver asks for the number of rows that were *found*
    /// (`CLIENT_FOUND_ROWS`): a step that changes nothing of its row counts as well.
    pub(crate) async fn begin(&mut self, advances: &[Advance]) -> Result<bool, Fault> {
        let mut sql = String::from(BEGIN);
        for advance in advances {
            let (partition, Advance { from, to }) = (advance.partition(), advance);
            write!(
                sql,
                "; UPDATE `journal_position` SET `position` = {}, `stamp` = {} \
                 WHERE `journal_partition` = {partition} AND `position` = {} AND `stamp` = {} {}",
                to.position, to.stamp, from.position, from.stamp, self.sql.in_session
            )
            .expect("a string takes whatever is written to it");
        }
        Ok(self.run(&sql).await? == advances.len() as u64)
    }

    pub(crate) async fn insert(&mut self, rows: &Rows, range: Range<usize>) -> Result<(), Fault> {
        insert::insert(&mut self.connection, &self.sql.inserts, rows, range).await
    }

    pub(crate) async fn savepoint(&mut self) -> Result<(), Fault> {
        self.within_transaction(SAVEPOINT).await
    }

    /// A savepoint takes the place of one of the same name.
    pub(crate) async fn next_savepoint(&mut self) -> Result<(), Fault> {
        self.within_transaction(NEXT_SAVEPOINT).await
    }

    pub(crate) async fn undo_to_savepoint(&mut self) -> Result<(), Fault> {
        self.within_transaction(UNDO_TO_SAVEPOINT).await
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        self.within_transaction(COMMIT).await
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Fault> {
        self.run("ROLLBACK").await?;
        Ok(())
    }

    pub(crate) async fn counts(&mut self) -> Result<Counts, Fault> {
        let row = self.connection.fetch_one(sqlx::raw_sql(&self.sql.counts)).await?;
        let count = |column: usize| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
        Ok(Counts { rows: count(0)?, customers: count(1)? })
    }

    pub(crate) async fn customer_rows(
        &mut self,
        customer: &CustomerId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String, String)>, Fault> {
        let query = sqlx::query(&self.sql.customer_rows).bind(customer.as_str()).bind(after).bind(limit);
        let rows = query.fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, text(row, 1)?, text(row, 2)?))).collect()
    }

    pub(crate) async fn size(&mut self) -> Result<Size, Fault> {
        let (rows, bytes): (i64, i64) = sqlx::query_as(SIZE).fetch_one(&mut self.connection).await?;
        Ok(Size { rows: rows.unsigned_abs(), bytes: bytes.unsigned_abs() })
    }

    pub(crate) async fn customers(&mut self, after: Option<&str>) -> Result<Vec<String>, Fault> {
        let (sql, after) = self.sql.customers.after(after);
        let rows = sqlx::query(sql).bind(after).fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| text(row, 0)).collect()
    }

    pub(crate) fn ids(&mut self) -> BoxStream<'_, Result<(String, i64), Fault>> {
        let rows = sqlx::raw_sql(&self.sql.ids).fetch(&mut self.connection).map_err(Fault::from);
        rows.and_then(async |row| Ok((text(&row, 0)?, row.try_get(1)?))).boxed()
    }

    pub(crate) async fn close(self) -> Result<(), Fault> {
        Ok(self.connection.close().await?)
    }

    /// A missing savepoint means that the server has ended the transaction: begin again.
    async fn within_transaction(&mut self, sql: &str) -> Result<(), Fault> {
        match self.connection.execute(sqlx::raw_sql(sql)).await {
            Ok(_) => Ok(()),
            Err(e) if number_of(&e) == Some(NO_SUCH_SAVEPOINT) => Err(Fault::new(Class::Transient, e)),
            Err(e) => Err(e.into()),
        }
    }

    /// Runs statements without parameters in one round trip, and gives the number of rows they found or stored.
    async fn run(&mut self, sql: &str) -> Result<u64, Fault> {
        // Not `raw_sql(..).execute(..)`: the compiler cannot prove that future `Send`.
        Ok(self.connection.execute(sqlx::raw_sql(sql)).await?.rows_affected())
    }
}

/// The database's own number of an error, where it was the database that failed.
fn number_of(error: &sqlx::Error) -> Option<u16> {
    Some(error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?.number())
}
