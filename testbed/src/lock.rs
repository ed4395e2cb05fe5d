//! Another program's transaction, which holds a lock that every lane of a shard needs to write.
//! Reading the shard stays possible, so a lane that connects anew learns its stored positions, and
//! can store nothing.

use std::time::Duration;

use sluice_shard::{Flavor, ShardAddress};
use sqlx::{
    ConnectOptions, Connection, Executor, MySqlConnection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions,
};

use crate::rows::{mysql_options, postgres_options};

/// How long it waits itself, where a lane holds the lock.
const LIMIT: Duration = Duration::from_secs(30);

/// A lock. Dropping it closes its connection, which releases it too.
pub enum Lock {
    /// On `journal_position`.
    Postgres(PgConnection),
    /// On every row of `journal_position`.
    Mysql(MySqlConnection),
    /// On the file.
    Sqlite(SqliteConnection),
}

impl Lock {
    /// Takes it; the compiler can prove this future `Send`, as it could not with
    /// `raw_sql(..).execute(..)`.
    ///
    /// # Errors
    /// Where the database does not answer, or a lane holds it for too long.
    pub async fn take(shard: &ShardAddress) -> anyhow::Result<Self> {
        Ok(match shard.flavor {
            Flavor::Postgres => {
                let mut connection = postgres_options(shard).connect().await?;
                let limit = LIMIT.as_millis();
                let lock = format!("SET lock_timeout = {limit}; BEGIN; LOCK TABLE journal_position IN EXCLUSIVE MODE");
                connection.execute(sqlx::raw_sql(&lock)).await?;
                Self::Postgres(connection)
            }
            Flavor::Mysql => {
                let mut connection = mysql_options(shard).connect().await?;
                let limit = LIMIT.as_secs();
                let lock = format!(
                    "SET innodb_lock_wait_timeout = {limit}; BEGIN; SELECT count(*) FROM journal_position FOR UPDATE"
                );
                connection.execute(sqlx::raw_sql(&lock)).await?;
                Self::Mysql(connection)
            }
            Flavor::Sqlite => {
                let options = SqliteConnectOptions::new().filename(&shard.database).busy_timeout(LIMIT);
                let mut connection = options.connect().await?;
                connection.execute(sqlx::raw_sql("BEGIN IMMEDIATE")).await?;
                Self::Sqlite(connection)
            }
        })
    }

    /// Releases it.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn release(self) -> anyhow::Result<()> {
        match self {
            // The server ends the transaction with the connection.
            Self::Postgres(connection) => connection.close().await?,
            Self::Mysql(connection) => connection.close().await?,
            Self::Sqlite(mut connection) => {
                connection.execute(sqlx::raw_sql("ROLLBACK")).await?;
                connection.close().await?;
            }
        }
        Ok(())
    }
}
