//! Rows from memory into the shards' databases, and nothing else: what a writer can be at most.
//!
//! They go into a table beside `person` that has the same columns and key. PostgreSQL takes one `COPY` that was put together
//! before; MariaDB and SQLite multi-row `INSERT`s of 1,000, prepared, in one transaction. All shards at once.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use sluice_model::Rows;
use sluice_shard::{Flavor, ShardAddress, copy_format};
use sluice_testbed::rows::{mysql_options, postgres_options};
use sqlx::{ConnectOptions, Connection, Executor, sqlite::SqliteConnectOptions};

/// Bytes of a piece of a `COPY`.
const PIECE_BYTES: usize = 128 << 10;
/// Rows of an `INSERT`.
const ROWS: usize = 1_000;

const COPY: &str = "COPY person_alone FROM STDIN (FORMAT binary)";

/// One shard's rows, ready to be sent.
pub enum Prepared {
    /// Pieces of a `COPY`.
    Copy(Vec<Vec<u8>>, usize),
    /// Rows to bind.
    Rows(Rows),
}

impl Prepared {
    /// Gets rows ready for an engine.
    pub fn new(flavor: Flavor, rows: Rows) -> Self {
        if flavor != Flavor::Postgres {
            return Self::Rows(rows);
        }
        let mut pieces = vec![copy_format::HEADER.to_vec()];
        for row in rows.iter() {
            let piece = pieces.last_mut().expect("there is one from the start");
            copy_format::encode(row, piece);
            if piece.len() >= PIECE_BYTES {
                pieces.push(Vec::with_capacity(PIECE_BYTES + 8_192));
            }
        }
        pieces.last_mut().expect("there is one from the start").extend_from_slice(&copy_format::TRAILER);
        Self::Copy(pieces, rows.len())
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Copy(_, rows) => *rows,
            Self::Rows(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Stores each shard's rows in its database, all at once, each in one transaction; gives how long that took.
///
/// # Errors
/// Where a database refuses, or stores fewer.
pub async fn insert(addresses: &[ShardAddress], prepared: &std::sync::Arc<Vec<Prepared>>) -> anyhow::Result<Duration> {
    for address in addresses {
        empty_table(address).await?;
    }
    let tasks = addresses.iter().cloned().enumerate().map(|(index, address)| {
        let prepared = std::sync::Arc::clone(prepared);
        let task = tokio::spawn(async move { insert_one(&address, &prepared[index]).await });
        async move { task.await? }
    });
    let took = try_join_all(tasks).await?;
    // The slowest: connecting is not counted, as a writer is connected.
    Ok(took.into_iter().max().unwrap_or_default())
}

/// The same, one shard after the other.
///
/// # Errors
/// As [`insert`].
pub async fn insert_in_turn(
    addresses: &[ShardAddress],
    prepared: &std::sync::Arc<Vec<Prepared>>,
) -> anyhow::Result<Duration> {
    let mut took = Duration::ZERO;
    for (index, address) in addresses.iter().enumerate() {
        empty_table(address).await?;
        took += insert_one(address, &prepared[index]).await?;
    }
    Ok(took)
}

async fn insert_one(address: &ShardAddress, prepared: &Prepared) -> anyhow::Result<Duration> {
    match prepared {
        Prepared::Copy(pieces, rows) => copy(address, pieces, *rows).await,
        Prepared::Rows(rows) if address.flavor == Flavor::Mysql => mysql(address, rows).await,
        Prepared::Rows(rows) => sqlite(address, rows).await,
    }
}

async fn copy(address: &ShardAddress, pieces: &[Vec<u8>], rows: usize) -> anyhow::Result<Duration> {
    let mut connection = postgres_options(address).connect().await?;
    let begun = Instant::now();
    let mut copy = connection.copy_in_raw(COPY).await?;
    for piece in pieces {
        copy.send(piece.as_slice()).await?;
    }
    let stored = copy.finish().await?;
    let took = begun.elapsed();
    ensure!(stored == rows as u64, "{stored} of {rows} rows were stored");
    connection.close().await?;
    Ok(took)
}

fn insert_of(rows: usize) -> String {
    format!("INSERT INTO person_alone VALUES {}", vec!["(?, ?, ?, ?)"; rows].join(", "))
}

/// Both drivers take the same, and share no type that would.
macro_rules! insert_prepared {
    ($connection:ident, $rows:ident) => {{
        let begun = Instant::now();
        let mut transaction = $connection.begin().await?;
        let mut start = 0;
        while start < $rows.len() {
            let end = $rows.len().min(start + ROWS);
            let sql = insert_of(end - start);
            let mut query = sqlx::query(&sql);
            for row in $rows.range(start..end) {
                query = query.bind(row.customer_id).bind(row.id.get()).bind(row.name).bind(row.address);
            }
            query.execute(&mut *transaction).await?;
            start = end;
        }
        transaction.commit().await?;
        let took = begun.elapsed();
        $connection.close().await?;
        Ok(took)
    }};
}

async fn mysql(address: &ShardAddress, rows: &Rows) -> anyhow::Result<Duration> {
    let mut connection = mysql_options(address).connect().await?;
    insert_prepared!(connection, rows)
}

async fn sqlite(address: &ShardAddress, rows: &Rows) -> anyhow::Result<Duration> {
    let mut connection = SqliteConnectOptions::new().filename(&address.database).connect().await?;
    insert_prepared!(connection, rows)
}

/// Makes the table, or empties it.
async fn empty_table(address: &ShardAddress) -> anyhow::Result<()> {
    match address.flavor {
        Flavor::Postgres => {
            let mut connection = postgres_options(address).connect().await?;
            let sql = "CREATE TABLE IF NOT EXISTS person_alone (LIKE person INCLUDING ALL); TRUNCATE person_alone";
            connection.execute(sqlx::raw_sql(sql)).await?;
            connection.close().await?;
        }
        Flavor::Mysql => {
            let mut connection = mysql_options(address).connect().await?;
            connection.execute(sqlx::raw_sql("CREATE TABLE IF NOT EXISTS person_alone LIKE person")).await?;
            connection.execute(sqlx::raw_sql("TRUNCATE TABLE person_alone")).await?;
            connection.close().await?;
        }
        Flavor::Sqlite => {
            let mut connection = SqliteConnectOptions::new().filename(&address.database).connect().await?;
            let sql: String = sqlx::query_scalar("SELECT sql FROM sqlite_master WHERE name = 'person'")
                .fetch_one(&mut connection)
                .await?;
            let sql = format!("DROP TABLE IF EXISTS person_alone; {}", sql.replacen("person", "person_alone", 1));
            connection.execute(sqlx::raw_sql(&sql)).await?;
            connection.close().await?;
        }
    }
    Ok(())
}

/// Lets PostgreSQL write what it has put off: else it does so in the middle of what is measured next, or not.
///
/// # Errors
/// Where a database does not answer.
pub async fn settle(addresses: &[ShardAddress]) -> anyhow::Result<()> {
    for address in addresses.iter().filter(|address| address.flavor == Flavor::Postgres) {
        let mut connection = postgres_options(address).connect().await?;
        connection.execute("CHECKPOINT").await?;
        connection.close().await?;
    }
    Ok(())
}

/// Empties the shard's own table: each round then begins with the same index. Positions stay.
///
/// # Errors
/// Where the database does not answer. No writer may be at work.
pub async fn empty_person(address: &ShardAddress) -> anyhow::Result<()> {
    match address.flavor {
        Flavor::Postgres => {
            let mut connection = postgres_options(address).connect().await?;
            connection.execute("TRUNCATE person").await?;
            connection.close().await?;
        }
        Flavor::Mysql => {
            let mut connection = mysql_options(address).connect().await?;
            connection.execute("TRUNCATE TABLE person").await?;
            connection.close().await?;
        }
        Flavor::Sqlite => {
            let mut connection = SqliteConnectOptions::new().filename(&address.database).connect().await?;
            connection.execute("DELETE FROM person").await?;
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
            connection.close().await?;
        }
    }
    Ok(())
}
