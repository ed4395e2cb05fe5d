//! A directory that is not Sluice's: one that answers `GET /write/{id}` with the original's six fields, and knows no more.
//!
//! What it lacks, and what is done about it:
//! - It names no shards: a shard's name is made from where it is, and those are known that some answer has led to.
//! - It knows nothing of positions: a customer is taken to belong where it says, since ever.
//! - It registers nothing: whoever writes makes the database a shard when it first gets there.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::http::StatusCode;
use futures::{StreamExt, TryStreamExt};
use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use sluice_model::{CustomerId, Partition, Position};
use sluice_shard::{CustomerColumn, Flavor, ShardAddress};

use super::ShardEntry;
use crate::{DirectoryError, Pool, Route, ShardState, transport::Http};

/// Questions that are asked side by side. Fewer: a batch of new customers takes long. More: that many requests at once for a
/// service that we do not know.
const SIDE_BY_SIDE: usize = 16;
/// Of a database's name, as much goes into its shard's.
const NAME_BYTES: usize = 40;

/// The original's answer.
#[derive(Debug, Deserialize)]
struct SixFields {
    #[serde(default)]
    host: String,
    #[serde(default)]
    port: u16,
    flavor: Flavor,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: SecretString,
    database: String,
}

/// Which of the two contracts it is asked by.
#[derive(Debug, Clone, Copy)]
enum Contract {
    Write,
    Read,
}

/// A directory of another make.
#[derive(Debug)]
pub(super) struct Foreign {
    http: Http,
    seen: Mutex<BTreeMap<String, ShardEntry>>,
    /// Whether it ever told where a customer is: until then a 404 may as well be a wrong endpoint.
    proven: AtomicBool,
}

impl Foreign {
    pub(super) fn new(http: Http) -> Self {
        Self { http, seen: Mutex::default(), proven: AtomicBool::new(false) }
    }

    /// The shards that its answers have led to.
    pub(super) fn shards(&self) -> Vec<ShardEntry> {
        self.seen.lock().expect("no holder of this lock panics").values().cloned().collect()
    }

    /// Where to write for each customer; `None` for one that it does not know.
    pub(super) async fn write(&self, customers: &[CustomerId]) -> Result<Vec<Option<Route>>, DirectoryError> {
        self.ask(Contract::Write, customers).await
    }

    /// Where to read for each customer. Where it has no such contract, where to write.
    pub(super) async fn read(&self, customers: &[CustomerId]) -> Result<Vec<Option<Route>>, DirectoryError> {
        self.ask(Contract::Read, customers).await
    }

    async fn ask(&self, contract: Contract, customers: &[CustomerId]) -> Result<Vec<Option<Route>>, DirectoryError> {
        // Owned names: a borrowed one here makes a future that nobody can prove `Send`.
        let asked: Vec<_> = customers.iter().cloned().map(|customer| self.one(contract, customer)).collect();
        futures::stream::iter(asked).buffered(SIDE_BY_SIDE).try_collect().await
    }

    async fn one(&self, contract: Contract, customer: CustomerId) -> Result<Option<Route>, DirectoryError> {
        let answer = match contract {
            Contract::Write => self.get(&format!("/write/{customer}")).await?,
            Contract::Read => match self.http.call(Method::GET, &format!("/read/{customer}"), None).await {
                Ok(answer) => Some(answer),
                // It knows nothing of reading, or not this customer: the other contract tells.
                Err(DirectoryError::Problem(problem)) if matches!(problem.status, 404 | 405 | 501) => {
                    self.get(&format!("/write/{customer}")).await?
                }
                Err(error) => return Err(error),
            },
        };
        Ok(answer.map(|answer| self.learn(answer)))
    }

    async fn get(&self, path: &str) -> Result<Option<SixFields>, DirectoryError> {
        match self.http.call(Method::GET, path, None).await {
            Ok(answer) => {
                self.proven.store(true, Ordering::Relaxed);
                Ok(Some(answer))
            }
            Err(DirectoryError::Problem(problem))
                if problem.status == StatusCode::NOT_FOUND.as_u16() && self.proven.load(Ordering::Relaxed) =>
            {
                Ok(None)
            }
            // Perhaps it is the endpoint that is wrong. Nobody's events are refused for that.
            Err(DirectoryError::Problem(problem)) => Err(DirectoryError::Problem(problem.retry_after(1))),
            Err(error) => Err(error),
        }
    }

    /// A place that it named, as a route; the newest password is kept.
    fn learn(&self, answer: SixFields) -> Route {
        let SixFields { host, port, flavor, user, password, database } = answer;
        let name = name_of(flavor, &host, port, &database);
        let customer_column = CustomerColumn::default();
        let address = ShardAddress { flavor, host, port, user, password, database, customer_column };
        let entry = ShardEntry { name: name.clone(), address, pool: Pool::Shared, state: ShardState::Open, version: 0 };
        self.seen.lock().expect("no holder of this lock panics").insert(name.clone(), entry);
        Route { shard: name, from: Position::before_first(Partition::new(0)) }
    }
}

/// What a database is called as a shard: its own name as far as that fits, and what tells it from others of the same name. Not the
/// user, nor the password: both may change.
fn name_of(flavor: Flavor, host: &str, port: u16, database: &str) -> String {
    let digest = Sha256::digest(format!("{flavor}\n{host}\n{port}\n{database}"));
    let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let last = database.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let fits = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let readable: String = last.chars().take(NAME_BYTES).map(fits).collect();
    format!("db-{}-{short}", readable.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{Json, Router, extract::Path, routing::get};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Client, RouteAnswer};

    /// A directory in ten lines, as somebody else would write it: odd customers here, even ones there, and 13 unknown.
    async fn foreign() -> Client {
        async fn write(Path(id): Path<u64>) -> Result<Json<Value>, StatusCode> {
            let database = if id % 2 == 0 { "even" } else { "odd" };
            let fields = json!({"host": "h", "port": 5432, "flavor": "postgresql", "user": "u", "password": "p", "database": database});
            if id == 13 { Err(StatusCode::NOT_FOUND) } else { Ok(Json(fields)) }
        }
        let router = Router::new().route("/write/{id}", get(write));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Client::over_http(&endpoint, Duration::from_secs(5), None).unwrap()
    }

    #[tokio::test]
    async fn a_directory_of_another_make_is_asked_by_the_originals_contract() {
        let client = foreign().await;
        assert!(client.names_shards_late().await.unwrap() && client.registers_nothing().await.unwrap());
        let at = Position::new(9).unwrap();
        let ask = |ids: &[u64]| ids.iter().map(|id| (id.to_string().parse().unwrap(), at)).collect::<Vec<_>>();
        // Nothing was ever found there: a 404 may be the fault of the endpoint, and nobody's event is refused for it.
        assert!(client.write_routes(&ask(&[13])).await.unwrap_err().is_transient());
        assert!(client.shards().await.unwrap().is_empty());
        let routes = client.write_routes(&ask(&[1, 2, 3, 13, 4])).await.unwrap();
        let shards: Vec<_> = routes
            .iter()
            .map(|route| match route {
                RouteAnswer::Placed(route) => route.shard.split('-').nth(1).unwrap(),
                RouteAnswer::Refused => "refused",
            })
            .collect();
        assert_eq!(shards, ["odd", "even", "odd", "refused", "even"]);
        let databases: Vec<_> = client.shards().await.unwrap().into_iter().map(|s| s.address.database).collect();
        assert_eq!(databases, ["even", "odd"]);
        let reader = foreign().await;
        assert!(reader.read_routes(&["2".parse().unwrap()]).await.unwrap()[0].is_some());
        let read = client.read_routes(&["2".parse().unwrap(), "13".parse().unwrap()]).await.unwrap();
        assert!(read[0].as_ref().is_some_and(|route| route.shard.contains("even")) && read[1].is_none());
    }

    #[test]
    fn a_database_is_called_alike_each_time_and_another_otherwise() {
        let name = |host, port, database| name_of(Flavor::Postgres, host, port, database);
        assert_eq!(name("h", 1, "People"), name("h", 1, "People"));
        assert!(name("h", 1, "People").starts_with("db-people-"));
        let others =
            [name("h", 2, "People"), name("i", 1, "People"), name("h", 1, "people"), name("h", 1, "../ü x.db")];
        for other in &others {
            assert_ne!(*other, name("h", 1, "People"));
            assert!(other.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{other}");
        }
        assert!(name("h", 1, &"x".repeat(500)).len() <= 63);
    }
}
