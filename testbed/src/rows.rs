//! A look into a shard from outside: the original's query, asked without any of the code that wrote
//! the rows.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use secrecy::ExposeSecret;
use sluice_shard::{Flavor, ShardAddress};
use sqlx::{
    ColumnIndex, ConnectOptions, Connection, Decode, MySqlConnection, PgConnection, Row, SqliteConnection,
    mysql::MySqlConnectOptions, postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};

const QUERY: &str = "SELECT COUNT(*), COUNT(DISTINCT customer_id) FROM person";
const IDS: &str = "SELECT id FROM person";
const ALL: &str = "SELECT customer_id, name, address FROM person";

/// What a shard holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Its rows.
    pub rows: i64,
    /// Of how many customers.
    pub customers: i64,
}

/// How a PostgreSQL shard is connected to.
pub fn postgres_options(address: &ShardAddress) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass().host(&address.host).port(address.port);
    options.username(&address.user).password(address.password.expose_secret()).database(&address.database)
}

/// How a MariaDB shard is connected to.
pub fn mysql_options(address: &ShardAddress) -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new().host(&address.host).port(address.port);
    options.username(&address.user).password(address.password.expose_secret()).database(&address.database)
}

/// Counts the rows of one shard.
///
/// # Errors
/// Where the database does not answer.
pub async fn count(address: &ShardAddress) -> anyhow::Result<Rows> {
    let (rows, customers): (i64, i64) = match address.flavor {
        Flavor::Sqlite => {
            let mut connection = sqlite(address).await?;
            let row = sqlx::query_as(QUERY).fetch_one(&mut connection).await?;
            connection.close().await?;
            row
        }
        Flavor::Mysql => {
            let mut connection = mysql(address).await?;
            let row = sqlx::query_as(QUERY).fetch_one(&mut connection).await?;
            connection.close().await?;
            row
        }
        Flavor::Postgres => {
            let mut connection = postgres(address).await?;
            let row = sqlx::query_as(QUERY).fetch_one(&mut connection).await?;
            connection.close().await?;
            row
        }
    };
    Ok(Rows { rows, customers })
}

/// The ids of all rows of one shard.
///
/// # Errors
/// Where the database does not answer.
pub async fn ids(address: &ShardAddress) -> anyhow::Result<BTreeSet<i64>> {
    let ids: Vec<i64> = match address.flavor {
        Flavor::Sqlite => sqlx::query_scalar(IDS).fetch_all(&mut sqlite(address).await?).await?,
        Flavor::Mysql => sqlx::query_scalar(IDS).fetch_all(&mut mysql(address).await?).await?,
        Flavor::Postgres => sqlx::query_scalar(IDS).fetch_all(&mut postgres(address).await?).await?,
    };
    Ok(ids.into_iter().collect())
}

/// One row's columns, without its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person<'a> {
    /// The customer.
    pub customer: &'a str,
    /// The name.
    pub name: &'a str,
    /// The address.
    pub address: &'a str,
}

/// Shows every row of one shard, and keeps none in memory.
///
/// # Errors
/// Where the database does not answer.
pub async fn for_each(address: &ShardAddress, mut show: impl FnMut(Person<'_>)) -> anyhow::Result<()> {
    match address.flavor {
        Flavor::Sqlite => {
            let mut connection = sqlite(address).await?;
            let mut rows = sqlx::query(ALL).fetch(&mut connection);
            while let Some(row) = rows.try_next().await? {
                show(person(&row)?);
            }
        }
        Flavor::Mysql => {
            let mut connection = mysql(address).await?;
            let mut rows = sqlx::query(ALL).fetch(&mut connection);
            while let Some(row) = rows.try_next().await? {
                show(person(&row)?);
            }
        }
        Flavor::Postgres => {
            let mut connection = postgres(address).await?;
            let mut rows = sqlx::query(ALL).fetch(&mut connection);
            while let Some(row) = rows.try_next().await? {
                show(person(&row)?);
            }
        }
    }
    Ok(())
}

/// Unchecked, since MariaDB names the type of a column with a binary collation as bytes.
fn person<'r, R: Row>(row: &'r R) -> sqlx::Result<Person<'r>>
where
    usize: ColumnIndex<R>,
    &'r str: Decode<'r, R::Database>,
{
    let column = |index: usize| row.try_get_unchecked(index);
    Ok(Person { customer: column(0)?, name: column(1)?, address: column(2)? })
}

async fn sqlite(address: &ShardAddress) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new().filename(&address.database).connect().await
}

async fn mysql(address: &ShardAddress) -> sqlx::Result<MySqlConnection> {
    mysql_options(address).connect().await
}

async fn postgres(address: &ShardAddress) -> sqlx::Result<PgConnection> {
    postgres_options(address).connect().await
}
