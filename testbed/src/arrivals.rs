//! When the rows of [`crate::traffic`] come into a shard: seen from outside, by looking for new ones again and again.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use secrecy::ExposeSecret;
use sluice_shard::{Flavor, ShardAddress};
use sqlx::{
    ConnectOptions, MySqlConnection, PgConnection, Row, SqliteConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use tokio::task::JoinHandle;

use crate::{rows::mysql_options, traffic::now};

/// How often one looks; a latency is told up to so much too long. More often, and the looking is load.
const EVERY: Duration = Duration::from_millis(2);
const QUERY: &str = "SELECT id, name FROM person WHERE customer_id = $1 AND id > $2 ORDER BY id LIMIT 10000";

const QUERY_MYSQL: &str = "SELECT id, name FROM person WHERE customer_id = ? AND id > ? ORDER BY id LIMIT 10000";

/// One row of a customer, once it could be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When its event was published, counted as [`now`] does.
    pub published: Duration,
    /// How long after that its row was seen: after all of ingest, journal, reader, lane and commit.
    pub latency: Duration,
}

/// Follows one customer's rows until it is stopped or dropped.
#[derive(Debug)]
pub struct Arrivals {
    begun: Duration,
    seen: Arc<Mutex<Vec<Arrival>>>,
    looking: JoinHandle<()>,
}

enum Connection {
    Postgres(PgConnection),
    Mysql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Arrivals {
    /// Follows the customer's rows in that shard, where they are published by this process's own traffic.
    ///
    /// # Errors
    /// Where the shard does not answer.
    pub async fn follow(shard: &ShardAddress, customer: &str) -> anyhow::Result<Self> {
        let mut connection = Connection::open(shard).await?;
        let (seen, customer) = (Arc::<Mutex<Vec<Arrival>>>::default(), customer.to_owned());
        let all = Arc::clone(&seen);
        let looking = tokio::spawn(async move {
            let mut last = -1;
            loop {
                let new = match connection.after(&customer, last).await {
                    Ok(new) => new,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a shard that is looked at");
                        return;
                    }
                };
                let at = now();
                last = new.last().map_or(last, |(id, _)| *id);
                let arrivals = new.iter().filter_map(|(_, name)| name.parse().ok()).map(|published| {
                    let published = Duration::from_nanos(published);
                    Arrival { published, latency: at.saturating_sub(published) }
                });
                all.lock().expect("no holder of this lock panics").extend(arrivals);
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Self { begun: now(), seen, looking })
    }

    /// Every row seen so far whose event was published after one began to look: what stood there already looks late.
    pub fn new_so_far(&self) -> Vec<Arrival> {
        self.so_far().into_iter().filter(|arrival| arrival.published >= self.begun).collect()
    }

    /// Every row seen so far.
    pub fn so_far(&self) -> Vec<Arrival> {
        self.seen.lock().expect("no holder of this lock panics").clone()
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Connection {
    async fn open(address: &ShardAddress) -> anyhow::Result<Self> {
        Ok(match address.flavor {
            Flavor::Sqlite => Self::Sqlite(SqliteConnectOptions::new().filename(&address.database).connect().await?),
            Flavor::Mysql => Self::Mysql(mysql_options(address).disable_statement_logging().connect().await?),
            Flavor::Postgres => {
                let options = PgConnectOptions::new_without_pgpass().host(&address.host).port(address.port);
                let options = options.username(&address.user).password(address.password.expose_secret());
                Self::Postgres(options.database(&address.database).disable_statement_logging().connect().await?)
            }
        })
    }

    async fn after(&mut self, customer: &str, id: i64) -> sqlx::Result<Vec<(i64, String)>> {
        match self {
            Self::Postgres(connection) => sqlx::query_as(QUERY).bind(customer).bind(id).fetch_all(connection).await,
            // Text in a binary collation is bytes to the driver, which it would not make a text of.
            Self::Mysql(connection) => {
                let rows = sqlx::query(QUERY_MYSQL).bind(customer).bind(id).fetch_all(connection).await?;
                rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get_unchecked(1)?))).collect()
            }
            Self::Sqlite(connection) => sqlx::query_as(QUERY).bind(customer).bind(id).fetch_all(connection).await,
        }
    }
}

/// The latency that of all given ones so many percent do not exceed; `None` where there is none.
pub fn percentile(arrivals: &[Arrival], percent: f64) -> Option<Duration> {
    let mut latencies: Vec<_> = arrivals.iter().map(|arrival| arrival.latency).collect();
    latencies.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "a rank needs no more than 53 bits")]
    let rank = (latencies.len() as f64 * percent / 100.0).ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is from 0 to the length")]
    let index = (rank as usize).saturating_sub(1);
    latencies.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_least_latency_that_so_many_do_not_exceed() {
        let arrivals: Vec<_> = (1..=200u64)
            .rev()
            .map(|ms| Arrival { published: Duration::ZERO, latency: Duration::from_millis(ms) })
            .collect();
        let ms = |percent| percentile(&arrivals, percent).unwrap().as_millis();
        assert_eq!((ms(0.0), ms(50.0), ms(99.0), ms(100.0)), (1, 100, 198, 200));
        assert_eq!(percentile(&[], 99.0), None);
    }
}
