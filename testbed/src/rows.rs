//! A look into a shard from outside: the original's query, asked without any of the code that wrote the rows.

use secrecy::ExposeSecret;
use sluice_shard::{Flavor, ShardAddress};
use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};

const QUERY: &str = "SELECT COUNT(*), COUNT(DISTINCT customer_id) FROM person";

/// What a shard holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Its rows.
    pub rows: i64,
    /// Of how many customers.
    pub customers: i64,
}

/// Counts the rows of one shard.
///
/// # Errors
/// Where the database does not answer.
pub async fn count(address: &ShardAddress) -> anyhow::Result<Rows> {
    let (rows, customers): (i64, i64) = match address.flavor {
        Flavor::Sqlite => {
            let mut connection = SqliteConnectOptions::new().filename(&address.database).connect().await?;
            let row = sqlx::query_as(QUERY).fetch_one(&mut connection).await?;
            connection.close().await?;
            row
        }
        Flavor::Postgres => {
            let options = PgConnectOptions::new_without_pgpass().host(&address.host).port(address.port);
            let options = options.username(&address.user).password(address.password.expose_secret());
            let mut connection = options.database(&address.database).connect().await?;
            let row = sqlx::query_as(QUERY).fetch_one(&mut connection).await?;
            connection.close().await?;
            row
        }
    };
    Ok(Rows { rows, customers })
}
