//! PostgreSQL: all its SQL, over one connection in READ COMMITTED.
//!
//! The lane's transaction takes four round trips: `BEGIN` with the positions, `COPY`, its end, `COMMIT`; that of a small batch one.

mod abandoned;
mod at_once;
mod class;
mod copy;
mod session;
mod tables;

use std::{collections::BTreeMap, fmt::Write, ops::Range};

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use sluice_model::{CustomerId, Partition, Rows};
use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgRow};

pub(crate) use self::class::class_of;
pub use self::session::set_up;
use self::{
    copy::{COPY, CopyBuffer},
    session::MARK,
    tables::Way,
};
use crate::{
    Advance, Batch, Class, Counts, CustomerColumn, Identity, Limits, ShardAddress, Size, StoredPosition,
    customers::CustomerPages,
    engine::{position_i64, stored_positions},
    fault::Fault,
    schema::{Column, Kind},
    session::Mark,
};

/// The SQLSTATE of a statement that waited for a lock in vain.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What `COPY` is refused with on a table that has got row-level security since the connection was
/// made.
const FEATURE_NOT_SUPPORTED: &str = "0A000";

/// The lock lets one registration at a time into a database ("sluice" in ASCII): `IF NOT EXISTS` alone may still
/// collide, and two identity rows would be possible.
const BEGIN_REGISTRATION: &str = "BEGIN; SELECT pg_advisory_xact_lock(126909663503205)";
/// The tables. One that exists is not made: that alone would ask for the right to create. `COLLATE
/// "C"` compares customers as bytes. `{customer}` stands for the customer's column here and below.
const CREATE: [(&str, &str); 3] = [
    (
        "person",
        r#"CREATE TABLE IF NOT EXISTS person (
            {customer} TEXT COLLATE "C" NOT NULL,
            id BIGINT NOT NULL,
            name TEXT NOT NULL,
            address TEXT NOT NULL,
            PRIMARY KEY ({customer}, id))"#,
    ),
    (
        "journal_position",
        "CREATE TABLE IF NOT EXISTS journal_position (
            journal_partition INT PRIMARY KEY,
            position BIGINT NOT NULL,
            stamp BIGINT NOT NULL)",
    ),
    (
        "sluice_shard",
        "CREATE TABLE IF NOT EXISTS sluice_shard (
            name TEXT NOT NULL,
            journal_id TEXT NOT NULL)",
    ),
];
/// `indkey` counts from 0. A domain counts as the type beneath it. The last two: whether a row that
/// does not name the column can be stored (also where a trigger may see to it), and whether no row
/// may name it.
const PERSON_COLUMNS: &str = "
    SELECT a.attname::text, coalesce(b.typname, t.typname)::text, array_position(i.indkey::int2[], a.attnum)::int8,
        a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL OR NOT (a.attnotnull OR t.typnotnull)
            OR EXISTS (SELECT 1 FROM pg_trigger AS g WHERE g.tgrelid = a.attrelid AND NOT g.tgisinternal
                AND g.tgenabled <> 'D' AND g.tgtype & 7 = 7),
        a.attgenerated <> ''
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'
    LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
    WHERE a.attrelid = to_regclass('person') AND a.attnum > 0 AND NOT a.attisdropped";
const IDENTITIES: &str = "SELECT name, journal_id FROM sluice_shard";
const WRITE_IDENTITY: &str = "INSERT INTO sluice_shard (name, journal_id) VALUES ($1, $2)";
const CHANGE_JOURNAL: &str = "UPDATE sluice_shard SET journal_id = $1 WHERE name = $2";
const GO_ON_AFTER: &str =
    "UPDATE journal_position SET position = $1, stamp = $2 WHERE journal_partition = $3 AND position < $1";
const ADD_POSITIONS: &str = "
    INSERT INTO journal_position (journal_partition, position, stamp)
    SELECT p, s, t FROM unnest($1::int4[], $2::int8[], $3::int8[]) AS new (p, s, t)
    ON CONFLICT (journal_partition) DO NOTHING";
/// The mark's row comes first.
const POSITIONS: &str = "SELECT {mark}; SELECT journal_partition::int8, position, stamp FROM journal_position";
/// Only a search sets savepoints. The lock keeps the table as it is until the search ends (any other
/// writer has the same one); a constraint that waits for the commit would not say which row it
/// refuses.
const SAVEPOINT: &str = "LOCK TABLE person IN ROW EXCLUSIVE MODE; SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT part";
const NEXT_SAVEPOINT: &str = "RELEASE SAVEPOINT part; SAVEPOINT part";
const UNDO_TO_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT part";
/// Reads all rows, which may take longer than a lane's statement ever should. One string, so that a stream dropped half
/// way leaves no transaction behind: the driver reads on to the end of it before anything else.
const COUNTS: &str = "
    BEGIN READ ONLY; SET LOCAL statement_timeout = 0;
    SELECT count(*), count(DISTINCT {customer}) FROM person;
    COMMIT";
/// Rows committed, as the statistics have them; after a crash they are lost, then the planner's own count.
const SIZE: &str = "
    SELECT sum(greatest(pg_stat_get_live_tuples(oid), CASE relkind WHEN 'p' THEN 0 ELSE reltuples::bigint END, 0))::int8,
        sum(pg_total_relation_size(oid))::int8
    FROM pg_class WHERE oid = 'person'::regclass OR oid IN (SELECT relid FROM pg_partition_tree('person'::regclass))";
const IDS: &str = "
    BEGIN READ ONLY; SET LOCAL statement_timeout = 0;
    SELECT {customer}, id FROM person;
    COMMIT";
const CUSTOMER_ROWS: &str =
    "SELECT id, name, address FROM person WHERE {customer} = $1 AND id > $2 ORDER BY id LIMIT $3";

/// The statements that name the customer's column.
struct Sql {
    positions: String,
    /// The end of what compares a position: only in the session that was set up.
    in_session: String,
    copy: String,
    store: String,
    insert: String,
    counts: String,
    customers: CustomerPages,
    ids: String,
    customer_rows: String,
}

impl Sql {
    fn new(customer: &CustomerColumn, mark: &Mark) -> Self {
        let in_session = format!("AND {MARK} = '{}'", mark.as_str());
        let [copy, store, insert, counts, ids, customer_rows] =
            [COPY, at_once::STORE, at_once::INSERT, COUNTS, IDS, CUSTOMER_ROWS].map(|sql| customer.fill(sql, '"'));
        let store = store.replace("{in_session}", &in_session);
        let positions = POSITIONS.replace("{mark}", MARK);
        let customers = CustomerPages::by_descents(customer, '"', "$1");
        Self { positions, in_session, copy, store, insert, counts, customers, ids, customer_rows }
    }
}

/// One connection to a PostgreSQL server.
pub(crate) struct Postgres {
    connection: PgConnection,
    limits: Limits,
    customer: CustomerColumn,
    mark: Mark,
    way: Way,
    warned: bool,
    sql: Sql,
    buffer: CopyBuffer,
}

impl Postgres {
    pub(crate) async fn connect(address: &ShardAddress, limits: Limits) -> Result<Self, Fault> {
        let (mut connection, mark) = session::open(address, limits).await?;
        let customer = address.customer_column.clone();
        let way = tables::look(&mut connection, &customer).await?.way;
        let (sql, buffer) = (Sql::new(&customer, &mark), CopyBuffer::default());
        Ok(Self { connection, limits, customer, mark, way, warned: false, sql, buffer })
    }

    pub(crate) async fn begin_registration(&mut self) -> Result<(), Fault> {
        self.run(BEGIN_REGISTRATION).await?;
        let present = tables::look(&mut self.connection, &self.customer).await?.names;
        for (name, create) in CREATE {
            if !present.iter().any(|table| table == name) {
                let created = self.run(&self.customer.fill(create, '"')).await;
                created.map_err(|fault| fault.at_creating(name))?;
            }
        }
        Ok(())
    }

    pub(crate) async fn person_columns(&mut self) -> Result<Vec<Column>, Fault> {
        let found: Vec<(String, String, Option<i64>, bool, bool)> =
            sqlx::query_as(PERSON_COLUMNS).fetch_all(&mut self.connection).await?;
        let column = |(name, kind, key, filled, generated): (String, String, Option<i64>, bool, bool)| {
            let kind = match kind.as_str() {
                _ if generated => Kind::Other(format!("{kind}, generated")),
                "text" | "varchar" => Kind::Text,
                "citext" if name != self.customer.as_str() => Kind::Text,
                "int8" => Kind::BigInt,
                _ => Kind::Other(kind),
            };
            Column { name, kind, key, filled }
        };
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
        query.bind(i32::from(later.position.partition().number())).execute(&mut self.connection).await?;
        Ok(())
    }

    pub(crate) async fn add_positions(&mut self, positions: &[StoredPosition]) -> Result<(), Fault> {
        let partitions: Vec<_> = positions.iter().map(|at| i32::from(at.position.partition().number())).collect();
        let sequences: Vec<_> = positions.iter().map(|at| position_i64(at.position)).collect();
        let stamps: Vec<_> = positions.iter().map(|at| at.stamp).collect();
        sqlx::query(ADD_POSITIONS).bind(partitions).bind(sequences).bind(stamps).execute(&mut self.connection).await?;
        Ok(())
    }

    pub(crate) async fn positions(&mut self) -> Result<BTreeMap<Partition, StoredPosition>, Fault> {
        let rows = self.connection.fetch_all(sqlx::raw_sql(&self.sql.positions)).await?;
        let (mark, rows) = rows.split_first().expect("the mark has a row");
        self.mark.expect(mark.try_get::<Option<String>, _>(0)?.as_deref())?;
        let position = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let positions: Result<_, sqlx::Error> = rows.iter().map(position).collect();
        stored_positions(positions?)
    }

    /// See [`crate::engine::Engine::store_at_once`]. Whatever may be due to the batch, or to this statement, is looked at step by step: that
    /// tells it apart.
    pub(crate) async fn store_at_once(&mut self, batch: &Batch) -> Result<bool, Fault> {
        if !at_once::is_for(batch) {
            return Ok(false);
        }
        match at_once::store(&mut self.connection, &self.sql.store, batch).await {
            Ok(()) => Ok(true),
            Err(fault) if fault.class != Class::Transient => Ok(false),
            Err(fault) => {
                self.look_for_abandoned(&fault).await;
                Err(fault)
            }
        }
    }

    /// All in one round trip. The values are numbers, so they can stand in the text; each statement locks its row in
    /// the order given, and one that waited sees the row as it was committed (READ COMMITTED).
    pub(crate) async fn begin(&mut self, advances: &[Advance]) -> Result<bool, Fault> {
        let mut sql = String::from("BEGIN");
        for advance in advances {
            let (partition, Advance { from, to }) = (advance.partition(), advance);
            write!(
                sql,
                "; UPDATE journal_position SET position = {}, stamp = {} \
                 WHERE journal_partition = {partition} AND position = {} AND stamp = {} {}",
                to.position, to.stamp, from.position, from.stamp, self.sql.in_session
            )
            .expect("a string takes whatever is written to it");
        }
        let advanced = self.run(&sql).await;
        if let Err(fault) = &advanced {
            self.look_for_abandoned(fault).await;
        }
        Ok(advanced? == advances.len() as u64)
    }

    /// Where somebody held a position's lock for too long: if it was a session that nobody is behind any more, it ends here.
    async fn look_for_abandoned(&mut self, fault: &Fault) {
        if fault.code().is_none_or(|code| code != LOCK_NOT_AVAILABLE) {
            return;
        }
        let ended = async {
            self.rollback().await?;
            abandoned::end(&mut self.connection, self.limits).await
        };
        match ended.await {
            Ok(0) => {}
            Ok(sessions) => {
                tracing::warn!(sessions, "ended transactions whose writers have gone silent in the middle of them")
            }
            // Whoever sees the lock's error tries again, and so does this.
            Err(fault) => tracing::debug!(error = %fault.source, "cannot look for abandoned transactions"),
        }
    }

    pub(crate) async fn insert(&mut self, rows: &Rows, range: Range<usize>) -> Result<(), Fault> {
        let is_small = at_once::is_small(range.len());
        if !is_small && self.way == Way::Insert && !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                "rows go into person by INSERT, at about twice the cost of COPY: it is a view, or has row-level \
                 security or a rule on INSERT"
            );
        }
        if is_small || self.way == Way::Insert {
            return at_once::insert(&mut self.connection, &self.sql.insert, rows, range).await;
        }
        let copied = copy::copy_in(&mut self.connection, &self.sql.copy, &mut self.buffer, rows, range).await;
        copied.map_err(|fault| match fault.code().as_deref() {
            // The table was changed after it was looked at; the next connection looks again.
            Some(FEATURE_NOT_SUPPORTED) => Fault::new(Class::Transient, fault.source),
            _ => fault,
        })
    }

    pub(crate) async fn savepoint(&mut self) -> Result<(), Fault> {
        self.run(SAVEPOINT).await?;
        Ok(())
    }

    pub(crate) async fn next_savepoint(&mut self) -> Result<(), Fault> {
        self.run(NEXT_SAVEPOINT).await?;
        Ok(())
    }

    pub(crate) async fn undo_to_savepoint(&mut self) -> Result<(), Fault> {
        self.run(UNDO_TO_SAVEPOINT).await?;
        Ok(())
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        self.run("COMMIT").await?;
        Ok(())
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
        let query = sqlx::query_as(&self.sql.customer_rows).bind(customer.as_str()).bind(after).bind(i64::from(limit));
        Ok(query.fetch_all(&mut self.connection).await?)
    }

    pub(crate) async fn size(&mut self) -> Result<Size, Fault> {
        let (rows, bytes): (i64, i64) = sqlx::query_as(SIZE).fetch_one(&mut self.connection).await?;
        Ok(Size { rows: rows.unsigned_abs(), bytes: bytes.unsigned_abs() })
    }

    pub(crate) async fn customers(&mut self, after: Option<&str>) -> Result<Vec<String>, Fault> {
        let (sql, after) = self.sql.customers.after(after);
        Ok(sqlx::query_scalar(sql).bind(after).fetch_all(&mut self.connection).await?)
    }

    pub(crate) fn ids(&mut self) -> BoxStream<'_, Result<(String, i64), Fault>> {
        let rows = sqlx::raw_sql(&self.sql.ids).fetch(&mut self.connection).map_err(Fault::from);
        rows.and_then(async |row| Ok((row.try_get(0)?, row.try_get(1)?))).boxed()
    }

    pub(crate) async fn close(self) -> Result<(), Fault> {
        Ok(self.connection.close().await?)
    }

    /// Runs statements without parameters in one round trip, and gives the number of rows they changed.
    async fn run(&mut self, sql: &str) -> Result<u64, Fault> {
        // Not `raw_sql(..).execute(..)`: the compiler cannot prove that future `Send`.
        Ok(self.connection.execute(sqlx::raw_sql(sql)).await?.rows_affected())
    }
}
