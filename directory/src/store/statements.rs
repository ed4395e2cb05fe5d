//! All SQL of the meta database: the same text for both engines.
//!
//! What both understand: `$1` for parameters, whole numbers as 64 bits, `ON CONFLICT`, and lists of names as JSON.

use sluice_model::{CustomerId, Position};
use sqlx::FromRow;

use super::database::Session;
use crate::api::Route;

/// Says the same to whichever engine it is: the body is compiled once for each.
macro_rules! on {
    ($session:expr, $connection:ident => $body:expr) => {
        match $session {
            Session::Sqlite($connection) => {
                let $connection = &mut **$connection;
                $body
            }
            Session::Postgres($connection) => {
                let $connection = &mut **$connection;
                $body
            }
        }
    };
}

/// A row of `shard`, as it stands there.
#[derive(Debug, Clone, FromRow)]
pub(super) struct ShardRow {
    pub(super) name: String,
    pub(super) flavor: String,
    pub(super) host: String,
    pub(super) port: i64,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) password_form: String,
    pub(super) database: String,
    pub(super) pool: String,
    pub(super) state: String,
    pub(super) weight: i64,
    pub(super) customers: i64,
    pub(super) version: i64,
    pub(super) adopted: i64,
    pub(super) held: i64,
    pub(super) measured_rows: Option<i64>,
    pub(super) measured_bytes: Option<i64>,
    pub(super) measured_customers: Option<i64>,
    pub(super) measured_ms: Option<i64>,
    pub(super) asked_ms: Option<i64>,
    pub(super) trouble: Option<String>,
}

const SHARD_COLUMNS: &str = r#"name, flavor, host, port, "user", password, password_form, "database", pool, state, weight,
    customers, version, adopted, held, measured_rows, measured_bytes, measured_customers, measured_ms, asked_ms, trouble"#;

impl Session<'_> {
    /// The routes of these customers, by customer and position.
    pub(super) async fn routes(&mut self, names: &str) -> sqlx::Result<Vec<(String, i64, String)>> {
        const SQLITE: &str = "SELECT customer, from_position, shard FROM route
            WHERE customer IN (SELECT value FROM json_each($1)) ORDER BY customer, from_position";
        const POSTGRES: &str = "SELECT customer, from_position, shard FROM route
            WHERE customer = ANY (ARRAY(SELECT json_array_elements_text($1::json))) ORDER BY customer, from_position";
        match self {
            Self::Sqlite(one) => sqlx::query_as(SQLITE).bind(names).fetch_all(&mut **one).await,
            Self::Postgres(one) => sqlx::query_as(POSTGRES).bind(names).fetch_all(&mut **one).await,
        }
    }

    /// How far these customers were refused.
    pub(super) async fn refusals(&mut self, names: &str) -> sqlx::Result<Vec<(String, i64)>> {
        const SQLITE: &str =
            "SELECT customer, through FROM refusal WHERE customer IN (SELECT value FROM json_each($1))";
        const POSTGRES: &str = "SELECT customer, through FROM refusal
            WHERE customer = ANY (ARRAY(SELECT json_array_elements_text($1::json)))";
        match self {
            Self::Sqlite(one) => sqlx::query_as(SQLITE).bind(names).fetch_all(&mut **one).await,
            Self::Postgres(one) => sqlx::query_as(POSTGRES).bind(names).fetch_all(&mut **one).await,
        }
    }

    /// The only place where a route is made: the shard's count of customers moves with it.
    pub(super) async fn add_route(&mut self, customer: &CustomerId, route: &Route) -> sqlx::Result<()> {
        const ROUTE: &str = "INSERT INTO route (customer, from_position, shard) VALUES ($1, $2, $3)";
        const COUNT: &str = "UPDATE shard SET customers = customers + 1 WHERE name = $1";
        on!(self, one => {
            let query = sqlx::query(ROUTE).bind(customer.as_str()).bind(number(route.from)).bind(&route.shard);
            query.execute(&mut *one).await?;
            sqlx::query(COUNT).bind(&route.shard).execute(one).await?;
        });
        Ok(())
    }

    /// Many first routes to one shard; says how many.
    pub(super) async fn add_routes(&mut self, names: &str, from: i64, shard: &str) -> sqlx::Result<u64> {
        const SQLITE: &str = "INSERT INTO route (customer, from_position, shard)
            SELECT value, $2, $3 FROM json_each($1)";
        const POSTGRES: &str = "INSERT INTO route (customer, from_position, shard)
            SELECT value, $2, $3 FROM json_array_elements_text($1::json) AS value";
        let added = match self {
            Self::Sqlite(one) => {
                sqlx::query(SQLITE).bind(names).bind(from).bind(shard).execute(&mut **one).await?.rows_affected()
            }
            Self::Postgres(one) => {
                sqlx::query(POSTGRES).bind(names).bind(from).bind(shard).execute(&mut **one).await?.rows_affected()
            }
        };
        let count = i64::try_from(added).expect("a statement adds far fewer");
        on!(self, one => {
            let query = sqlx::query("UPDATE shard SET customers = customers + $1 WHERE name = $2");
            query.bind(count).bind(shard).execute(one).await?;
        });
        Ok(added)
    }

    /// Notes how far a customer was refused; never less far than before.
    pub(super) async fn refuse(&mut self, customer: &CustomerId, through: Position) -> sqlx::Result<()> {
        const REFUSE: &str = "INSERT INTO refusal (customer, through) VALUES ($1, $2)
            ON CONFLICT (customer) DO UPDATE SET through = excluded.through WHERE refusal.through < excluded.through";
        on!(self, one => {
            sqlx::query(REFUSE).bind(customer.as_str()).bind(number(through)).execute(one).await?;
        });
        Ok(())
    }

    /// Somebody who is, or was, on the shard.
    pub(super) async fn tenant(&mut self, shard: &str) -> sqlx::Result<Option<String>> {
        const TENANT: &str = "SELECT customer FROM route WHERE shard = $1 LIMIT 1";
        on!(self, one => sqlx::query_scalar(TENANT).bind(shard).fetch_optional(one).await)
    }

    /// Every shard, by name.
    pub(super) async fn shards(&mut self) -> sqlx::Result<Vec<ShardRow>> {
        let sql = format!("SELECT {SHARD_COLUMNS} FROM shard ORDER BY name");
        on!(self, one => sqlx::query_as(&sql).fetch_all(one).await)
    }

    /// One of them.
    pub(super) async fn shard(&mut self, name: &str) -> sqlx::Result<Option<ShardRow>> {
        let sql = format!("SELECT {SHARD_COLUMNS} FROM shard WHERE name = $1");
        on!(self, one => sqlx::query_as(&sql).bind(name).fetch_optional(one).await)
    }

    /// Stores a new shard; what was measured is not in it. False where the name is taken.
    pub(super) async fn add_shard(&mut self, row: &ShardRow) -> sqlx::Result<bool> {
        const ADD: &str = r#"INSERT INTO shard (name, flavor, host, port, "user", password, password_form, "database", pool,
            weight, adopted, held) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (name) DO NOTHING"#;
        on!(self, one => {
            let query = sqlx::query(ADD).bind(&row.name).bind(&row.flavor).bind(&row.host).bind(row.port).bind(&row.user);
            let query = query.bind(&row.password).bind(&row.password_form).bind(&row.database).bind(&row.pool);
            let query = query.bind(row.weight).bind(row.adopted).bind(row.held);
            Ok(query.execute(one).await?.rows_affected() == 1)
        })
    }

    /// Stores what may change of a shard, as its next version.
    pub(super) async fn change_shard(&mut self, row: &ShardRow) -> sqlx::Result<()> {
        const CHANGE: &str = r#"UPDATE shard SET host = $1, port = $2, "user" = $3, password = $4, password_form = $5,
            "database" = $6, state = $7, weight = $8, version = version + 1 WHERE name = $9"#;
        on!(self, one => {
            let query = sqlx::query(CHANGE).bind(&row.host).bind(row.port).bind(&row.user).bind(&row.password);
            let query = query.bind(&row.password_form).bind(&row.database).bind(&row.state).bind(row.weight);
            query.bind(&row.name).execute(one).await?;
        });
        Ok(())
    }

    /// Stores that a shard was asked once more whose rows it holds, and that those are placed there.
    pub(super) async fn settled(&mut self, shard: &str) -> sqlx::Result<()> {
        on!(self, one => {
            sqlx::query("UPDATE shard SET adopted = 0 WHERE name = $1").bind(shard).execute(one).await?;
        });
        Ok(())
    }

    /// Lets shards take new customers that waited for that, if no other has to be asked still; says how many.
    pub(super) async fn release(&mut self) -> sqlx::Result<u64> {
        const RELEASE: &str = "UPDATE shard SET held = 0
            WHERE held = 1 AND NOT EXISTS (SELECT 1 FROM shard AS other WHERE other.adopted = 1)";
        on!(self, one => Ok(sqlx::query(RELEASE).execute(one).await?.rows_affected()))
    }

    /// Stores how much a shard holds, now that it has answered.
    pub(super) async fn measured(&mut self, shard: &str, rows: i64, bytes: i64, ms: i64) -> sqlx::Result<()> {
        const MEASURED: &str =
            "UPDATE shard SET measured_rows = $1, measured_bytes = $2, measured_customers = customers,
            measured_ms = $3, asked_ms = $3, trouble = NULL WHERE name = $4";
        on!(self, one => {
            sqlx::query(MEASURED).bind(rows).bind(bytes).bind(ms).bind(shard).execute(one).await?;
        });
        Ok(())
    }

    /// Stores that a shard did not answer; what it held when it last did stays.
    pub(super) async fn trouble(&mut self, shard: &str, trouble: &str, ms: i64) -> sqlx::Result<()> {
        on!(self, one => {
            let query = sqlx::query("UPDATE shard SET trouble = $1, asked_ms = $2 WHERE name = $3").bind(trouble);
            query.bind(ms).bind(shard).execute(one).await?;
        });
        Ok(())
    }

    /// Takes a shard out. The database refuses where a route names it.
    pub(super) async fn remove_shard(&mut self, name: &str) -> sqlx::Result<()> {
        on!(self, one => {
            sqlx::query("DELETE FROM shard WHERE name = $1").bind(name).execute(one).await?;
        });
        Ok(())
    }

    /// What tells whether a key is the passwords' own.
    pub(super) async fn proof(&mut self) -> sqlx::Result<Option<String>> {
        on!(self, one => sqlx::query_scalar("SELECT proof FROM seal").fetch_optional(one).await)
    }

    /// Stores it.
    pub(super) async fn set_proof(&mut self, proof: &str) -> sqlx::Result<()> {
        on!(self, one => {
            sqlx::query("INSERT INTO seal (id, proof) VALUES (1, $1)").bind(proof).execute(one).await?;
        });
        Ok(())
    }
}

/// The position as the database stores it.
pub(super) fn number(position: Position) -> i64 {
    i64::try_from(position.get()).expect("a position has 53 bits")
}
