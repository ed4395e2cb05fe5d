//! The shards in the meta database.

use secrecy::{ExposeSecret, SecretString};
use sluice_model::CustomerId;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{Placing, Store, StoreError, doing, read_customer};
use crate::api::{ListedShard, NewShard, Pool, ShardCredentials, ShardState};

/// A shard as it is stored.
#[derive(Debug, Clone)]
pub struct StoredShard {
    /// Name, place, credentials, pool and state.
    pub shard: ShardCredentials,
    /// How many customers are placed on it.
    pub customers: u64,
}

impl From<StoredShard> for ListedShard {
    fn from(stored: StoredShard) -> Self {
        stored.shard.listed(stored.customers)
    }
}

impl Store {
    /// Every shard, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn shards(&self) -> Result<Vec<StoredShard>, StoreError> {
        let rows = sqlx::query("SELECT * FROM shard ORDER BY name").fetch_all(&self.pool).await;
        rows.and_then(|rows| rows.iter().map(read_shard).collect()).map_err(doing("list the shards"))
    }

    /// The shard with this name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn shard(&self, name: &str) -> Result<Option<StoredShard>, StoreError> {
        let row = sqlx::query("SELECT * FROM shard WHERE name = ?1").bind(name).fetch_optional(&self.pool).await;
        row.and_then(|row| row.as_ref().map(read_shard).transpose()).map_err(doing("read a shard"))
    }

    /// Stores a shard, open; false where the name is taken.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn add_shard(&self, new: &NewShard) -> Result<bool, StoreError> {
        let _turn = self.turn.lock().await;
        let result = sqlx::query(
            r#"INSERT INTO shard (name, flavor, host, port, "user", password, "database", pool)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (name) DO NOTHING"#,
        )
        .bind(&new.name)
        .bind(new.flavor.to_string())
        .bind(&new.host)
        .bind(new.port)
        .bind(&new.user)
        .bind(new.password.expose_secret())
        .bind(&new.database)
        .bind(new.pool.to_string())
        .execute(&self.pool)
        .await
        .map_err(doing("store a shard"))?;
        Ok(result.rows_affected() == 1)
    }
}

/// Why no new customer may be placed there by hand; `None` where one may.
pub(super) async fn obstacle(connection: &mut SqliteConnection, name: &str) -> Result<Option<Placing>, StoreError> {
    let reading = doing("read a shard");
    let row = sqlx::query("SELECT * FROM shard WHERE name = ?1")
        .bind(name)
        .fetch_optional(&mut *connection)
        .await
        .map_err(&reading)?;
    let Some(row) = row else { return Ok(Some(Placing::NoSuchShard)) };
    let StoredShard { shard, .. } = read_shard(&row).map_err(&reading)?;
    if shard.state != ShardState::Open {
        return Ok(Some(Placing::NotOpen(shard.state)));
    }
    if shard.pool == Pool::Dedicated {
        let tenant = sqlx::query("SELECT customer FROM route WHERE shard = ?1 LIMIT 1")
            .bind(name)
            .fetch_optional(connection)
            .await
            .map_err(doing("read who is on a shard"))?;
        if let Some(row) = tenant {
            let tenant: CustomerId = read_customer(&row).map_err(doing("read who is on a shard"))?;
            return Ok(Some(Placing::Taken(tenant)));
        }
    }
    Ok(None)
}

fn read_shard(row: &SqliteRow) -> Result<StoredShard, sqlx::Error> {
    let decode = |what: String| sqlx::Error::Decode(what.into());
    let pool = match row.try_get::<&str, _>("pool")? {
        "shared" => Pool::Shared,
        "dedicated" => Pool::Dedicated,
        other => return Err(decode(format!("{other:?} is no pool"))),
    };
    let state = match row.try_get::<&str, _>("state")? {
        "open" => ShardState::Open,
        "draining" => ShardState::Draining,
        "closed" => ShardState::Closed,
        other => return Err(decode(format!("{other:?} is no state"))),
    };
    let flavor = row.try_get::<&str, _>("flavor")?;
    let shard = ShardCredentials {
        name: row.try_get("name")?,
        flavor: flavor.parse().map_err(|_| decode(format!("{flavor:?} is no engine that this program knows")))?,
        host: row.try_get("host")?,
        port: row.try_get("port")?,
        user: row.try_get("user")?,
        password: SecretString::from(row.try_get::<String, _>("password")?),
        database: row.try_get("database")?,
        pool,
        state,
    };
    Ok(StoredShard { shard, customers: row.try_get::<i64, _>("customers")?.unsigned_abs() })
}
