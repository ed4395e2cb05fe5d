//! SQLite: all its SQL, over one connection to one file.
//!
//! WAL with `synchronous=NORMAL`: a power failure may take the last commits back, but rows and position together, and
//! the journal still holds what stood in them. That is the same as restoring an older copy, which heals itself; so
//! `FULL` would only cost an fsync for each batch.

mod class;
mod insert;

use std::{collections::BTreeMap, fs, ops::Range, os::unix::fs::MetadataExt, path::PathBuf};

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use sluice_model::{CustomerId, Partition, Rows};
use sqlx::{
    ConnectOptions, Connection, Executor, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

pub(crate) use self::class::class_of;
use crate::{
    Advance, Class, Counts, CustomerColumn, Identity, Limits, ShardAddress, Size, StoredPosition,
    chunks::Inserts,
    customers::CustomerPages,
    engine::{position_i64, stored_positions},
    fault::Fault,
    schema::{Column, Kind},
    session::{self, Setting, UnfitSession},
};

/// `IMMEDIATE` takes the write lock at once: one registration, or one batch, at a time.
const BEGIN: &str = "BEGIN IMMEDIATE";
/// TEXT compares as bytes (the collation BINARY) where nothing else is said. `{customer}` stands for the customer's column here
/// and below, between backticks: a name between `"` that no column has would be taken for a text.
const CREATE_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS person (
        {customer} TEXT NOT NULL,
        id BIGINT NOT NULL,
        name TEXT NOT NULL,
        address TEXT NOT NULL,
        PRIMARY KEY ({customer}, id));
    CREATE TABLE IF NOT EXISTS journal_position (
        journal_partition INT PRIMARY KEY,
        position BIGINT NOT NULL,
        stamp BIGINT NOT NULL);
    CREATE TABLE IF NOT EXISTS sluice_shard (
        name TEXT NOT NULL,
        journal_id TEXT NOT NULL)";
/// The last one: whether a row that does not name the column can be stored.
const PERSON_COLUMNS: &str = "
    SELECT name, type, NULLIF(pk, 0), \"notnull\" = 0 OR dflt_value IS NOT NULL FROM pragma_table_info('person')";
/// Whether rows have no numbers, and how the primary key compares customers.
const PERSON: &str = "
    SELECT (SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = 'person'),
        (SELECT x.coll FROM pragma_index_list('person') AS l, pragma_index_xinfo(l.name) AS x
         WHERE l.origin = 'pk' AND x.name = '{customer}')";
const IDENTITIES: &str = "SELECT name, journal_id FROM sluice_shard";
const WRITE_IDENTITY: &str = "INSERT INTO sluice_shard (name, journal_id) VALUES (?, ?)";
const CHANGE_JOURNAL: &str = "UPDATE sluice_shard SET journal_id = ? WHERE name = ?";
const GO_ON_AFTER: &str =
    "UPDATE journal_position SET position = ?1, stamp = ?2 WHERE journal_partition = ?3 AND position < ?1";
const ADD_POSITION: &str = "
    INSERT INTO journal_position (journal_partition, position, stamp) VALUES (?, ?, ?)
    ON CONFLICT (journal_partition) DO NOTHING";
const POSITIONS: &str = "SELECT journal_partition, position, stamp FROM journal_position";
const ADVANCE: &str =
    "UPDATE journal_position SET position = ?, stamp = ? WHERE journal_partition = ? AND position = ? AND stamp = ?";
const SAVEPOINT: &str = "SAVEPOINT part";
const NEXT_SAVEPOINT: &str = "RELEASE part; SAVEPOINT part";
const UNDO_TO_SAVEPOINT: &str = "ROLLBACK TO part";
const INSERT: &str = "INSERT INTO person ({customer}, id, name, address)";
const COUNTS: &str = "SELECT count(*), count(DISTINCT {customer}) FROM person";
const SIZE: &str = "SELECT ({rows}),
    (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)";
const LAST_NUMBER: &str = "SELECT ifnull(max(rowid), 0) FROM person";
/// Rows without numbers are counted, up to a million: that takes some 0.1 s.
const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM person LIMIT 1000000)";
const IDS: &str = "SELECT {customer}, id FROM person";
const CUSTOMER_ROWS: &str = "SELECT id, name, address FROM person WHERE {customer} = ? AND id > ? ORDER BY id LIMIT ?";

/// The statements that name the customer's column.
struct Sql {
    create_tables: String,
    inserts: Inserts,
    counts: String,
    customers: CustomerPages,
    size: String,
    ids: String,
    customer_rows: String,
}

impl Sql {
    fn new(customer: &CustomerColumn, has_row_numbers: bool) -> Self {
        let [create_tables, insert, counts, ids, customer_rows] =
            [CREATE_TABLES, INSERT, COUNTS, IDS, CUSTOMER_ROWS].map(|sql| customer.fill(sql, '`'));
        let customers = CustomerPages::by_descents(customer, '`', "?");
        let size = SIZE.replace("{rows}", if has_row_numbers { LAST_NUMBER } else { COUNT });
        Self { create_tables, inserts: Inserts::new(&insert), counts, customers, size, ids, customer_rows }
    }
}

/// One connection to a SQLite file.
pub(crate) struct Sqlite {
    connection: SqliteConnection,
    sql: Sql,
    path: PathBuf,
    /// Device and inode of the file that was opened.
    file: (u64, u64),
}

impl Sqlite {
    pub(crate) async fn connect(address: &ShardAddress, limits: Limits, create: bool) -> Result<Self, Fault> {
        let path = PathBuf::from(&address.database);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(limits.busy())
            .disable_statement_logging();
        let mut connection = SqliteConnection::connect_with(&options).await?;
        let file = file_at(&path)?;
        check_session(&mut connection, limits).await?;
        let customer = &address.customer_column;
        let has_row_numbers = look(&mut connection, customer).await?;
        Ok(Self { connection, sql: Sql::new(customer, has_row_numbers), path, file })
    }

    pub(crate) async fn begin_registration(&mut self) -> Result<(), Fault> {
        self.run(BEGIN).await?;
        self.connection.execute(sqlx::raw_sql(&self.sql.create_tables)).await?;
        Ok(())
    }

    pub(crate) async fn person_columns(&mut self) -> Result<Vec<Column>, Fault> {
        let found: Vec<(String, String, Option<i64>, bool)> =
            sqlx::query_as(PERSON_COLUMNS).fetch_all(&mut self.connection).await?;
        let column = |(name, kind, key, filled)| Column { name, kind: kind_of(kind), key, filled };
        Ok(found.into_iter().map(column).collect())
    }

    pub(crate) async fn identities(&mut self) -> Result<Vec<Identity>, Fault> {
        let found: Vec<(String, String)> = sqlx::query_as(IDENTITIES).fetch_all(&mut self.connection).await?;
        Ok(found.into_iter().map(|(shard, journal_id)| Identity { shard, journal_id }).collect())
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
        let query = sqlx::query(GO_ON_AFTER).bind(position_i64(later.position)).bind(later.stamp);
        let query = query.bind(later.position.partition().number());
        query.execute(&mut self.connection).await?;
        Ok(())
    }

    pub(crate) async fn add_positions(&mut self, positions: &[StoredPosition]) -> Result<(), Fault> {
        for StoredPosition { position, stamp } in positions {
            let query = sqlx::query(ADD_POSITION).bind(position.partition().number()).bind(position_i64(*position));
            query.bind(stamp).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    pub(crate) async fn positions(&mut self) -> Result<BTreeMap<Partition, StoredPosition>, Fault> {
        self.still_the_same_file()?;
        stored_positions(sqlx::query_as(POSITIONS).fetch_all(&mut self.connection).await?)
    }

    pub(crate) async fn begin(&mut self, advances: &[Advance]) -> Result<bool, Fault> {
        self.still_the_same_file()?;
        self.run(BEGIN).await?;
        for advance in advances {
            let query = sqlx::query(ADVANCE)
                .bind(position_i64(advance.to.position))
                .bind(advance.to.stamp)
                .bind(advance.partition().number())
                .bind(position_i64(advance.from.position))
                .bind(advance.from.stamp);
            if query.execute(&mut self.connection).await?.rows_affected() != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) async fn insert(&mut self, rows: &Rows, range: Range<usize>) -> Result<(), Fault> {
        insert::insert(&mut self.connection, &self.sql.inserts, rows, range).await
    }

    pub(crate) async fn savepoint(&mut self) -> Result<(), Fault> {
        self.run(SAVEPOINT).await
    }

    pub(crate) async fn next_savepoint(&mut self) -> Result<(), Fault> {
        self.run(NEXT_SAVEPOINT).await.map_err(gone)
    }

    pub(crate) async fn undo_to_savepoint(&mut self) -> Result<(), Fault> {
        self.run(UNDO_TO_SAVEPOINT).await.map_err(gone)
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        self.run("COMMIT").await
    }

    pub(crate) async fn rollback(&mut self) -> Result<(), Fault> {
        self.run("ROLLBACK").await
    }

    pub(crate) async fn counts(&mut self) -> Result<Counts, Fault> {
        let (rows, customers): (i64, i64) = sqlx::query_as(&self.sql.counts).fetch_one(&mut self.connection).await?;
        Ok(Counts { rows: rows.unsigned_abs(), customers: customers.unsigned_abs() })
    }

    pub(crate) async fn customer_rows(
        &mut self,
        customer: &CustomerId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, String, String)>, Fault> {
        let query = sqlx::query_as(&self.sql.customer_rows).bind(customer.as_str()).bind(after).bind(limit);
        Ok(query.fetch_all(&mut self.connection).await?)
    }

    pub(crate) async fn size(&mut self) -> Result<Size, Fault> {
        let (rows, bytes): (i64, i64) = sqlx::query_as(&self.sql.size).fetch_one(&mut self.connection).await?;
        Ok(Size { rows: rows.unsigned_abs(), bytes: bytes.unsigned_abs() })
    }

    pub(crate) async fn customers(&mut self, after: Option<&str>) -> Result<Vec<String>, Fault> {
        let (sql, after) = self.sql.customers.after(after);
        Ok(sqlx::query_scalar(sql).bind(after).fetch_all(&mut self.connection).await?)
    }

    pub(crate) fn ids(&mut self) -> BoxStream<'_, Result<(String, i64), Fault>> {
        let rows = sqlx::query(&self.sql.ids).fetch(&mut self.connection).map_err(Fault::from);
        rows.and_then(async |row| Ok((row.try_get(0)?, row.try_get(1)?))).boxed()
    }

    pub(crate) async fn close(self) -> Result<(), Fault> {
        Ok(self.connection.close().await?)
    }

    /// A file put in the place of ours (a restored copy) leaves us with the old one, which nobody sees any more.
    fn still_the_same_file(&self) -> Result<(), Fault> {
        if file_at(&self.path)? == self.file {
            return Ok(());
        }
        Err(Fault::new(Class::Transient, format!("{} is another file than was opened", self.path.display())))
    }

    async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        // Not `raw_sql(..).execute(..)`: the compiler cannot prove that future `Send`.
        self.connection.execute(sqlx::raw_sql(sql)).await?;
        Ok(())
    }
}

/// Reads back what was asked for: a file system without shared memory, for one, has no WAL.
async fn check_session(connection: &mut SqliteConnection, limits: Limits) -> Result<(), Fault> {
    let settings = [
        Setting::new("journal_mode", "wal"),
        Setting::new("synchronous", 1),
        Setting::new("busy_timeout", limits.busy().as_millis()),
    ];
    let mut found = BTreeMap::new();
    for Setting { name, .. } in &settings {
        let row = connection.fetch_one(sqlx::raw_sql(&format!("PRAGMA {name}"))).await?;
        let value = row.try_get::<String, _>(0).or_else(|_| row.try_get::<i64, _>(0).map(|number| number.to_string()));
        found.insert((*name).to_owned(), value?);
    }
    session::check(&settings, &found).map_err(|unfit| match unfit {
        UnfitSession::NotInForce { name, wanted, found } => Fault::configuration(format!(
            "PRAGMA {name} is {found:?} although it was set to {wanted:?}: the file, its file system or another program \
             that has it open does not allow it. Keep the file on a local disk, and close it elsewhere"
        )),
        other => other.into(),
    })
}

/// Refuses a table that takes customers for one another. Gives whether rows have numbers.
async fn look(connection: &mut SqliteConnection, customer: &CustomerColumn) -> Result<bool, Fault> {
    let sql = PERSON.replace("{customer}", customer.as_str());
    let (without_numbers, collation): (Option<bool>, Option<String>) =
        sqlx::query_as(&sql).fetch_one(&mut *connection).await?;
    match collation.filter(|collation| collation != "BINARY") {
        Some(collation) => Err(Fault::configuration(format!(
            "the primary key of person takes customers for one another, by the collation {collation} of {customer}: make \
             the table without it, and move the rows there"
        ))),
        None => Ok(!without_numbers.unwrap_or_default()),
    }
}

/// Where the savepoint is gone, the whole transaction is: SQLite ends it on a full disk and the like.
fn gone(fault: Fault) -> Fault {
    Fault::new(Class::Transient, fault.source)
}

fn file_at(path: &std::path::Path) -> Result<(u64, u64), Fault> {
    let file = fs::metadata(path).map_err(|e| Fault::new(Class::Transient, e))?;
    Ok((file.dev(), file.ino()))
}

/// SQLite's own rules of affinity for declared types, as far as they matter here.
fn kind_of(declared: String) -> Kind {
    let upper = declared.to_ascii_uppercase();
    if upper.contains("INT") {
        Kind::BigInt
    } else if upper.contains("TEXT") || upper.contains("CHAR") {
        Kind::Text
    } else {
        Kind::Other(declared)
    }
}
