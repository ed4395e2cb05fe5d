//! How a database becomes a shard.
//!
//! The order matters: identity and position rows stand in the database before any route can name it. So a writer never
//! has to guess where to begin, and a database that already is somebody else's is found here, by its own identity row.
//!
//! The journal may be trimmed meanwhile. So a registration is announced before it looks where the journal begins, until the
//! directory names the shard: [`sluice_journal::trim`] says why no trimmer overtakes it then.

use std::time::Duration;

use axum::http::StatusCode;
use sluice_journal::{Announced, Journal, JournalError};
use sluice_model::{PartitionCount, Position};
use sluice_service::Problem;
use sluice_shard::{Class, Flavor, Identity, Shard, ShardAddress, ShardError, register};
use tokio::sync::{Mutex, MutexGuard};

use crate::api::NewShard;

/// How long preparing one database may take. Below the HTTP face's limit, so that the answer can say which it was.
const PREPARE_LIMIT: Duration = Duration::from_secs(20);
/// The longest name of a shard.
const NAME_BYTES: usize = 63;

/// Prepares databases.
#[derive(Debug)]
pub struct Registrar {
    log: Log,
    /// One at a time: two requests for one name must not both reach a database.
    turn: Mutex<()>,
}

/// The journal as far as registration needs it.
#[derive(Debug)]
enum Log {
    Journal(Journal),
    /// For tests without a server: an empty journal.
    #[cfg(test)]
    Empty(String, PartitionCount),
}

impl Registrar {
    /// For shards of this journal.
    pub fn new(journal: Journal) -> Self {
        Self { log: Log::Journal(journal), turn: Mutex::default() }
    }

    /// For shards of a journal that has no message.
    #[cfg(test)]
    pub(crate) fn for_empty_journal(id: &str, partitions: PartitionCount) -> Self {
        Self { log: Log::Empty(id.to_owned(), partitions), turn: Mutex::default() }
    }

    /// How many partitions the journal has.
    pub fn partitions(&self) -> PartitionCount {
        match &self.log {
            Log::Journal(journal) => journal.partitions(),
            #[cfg(test)]
            Log::Empty(_, partitions) => *partitions,
        }
    }

    /// Nobody else registers while this is held.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Tells whoever trims the journal that this shard is about to be registered.
    ///
    /// # Errors
    /// 503 where the journal does not answer.
    pub async fn announce(&self, shard: &str) -> Result<Option<Announced>, Problem> {
        match &self.log {
            Log::Journal(journal) => {
                let announced = async { journal.trim_ledger().await?.announce(shard).await };
                announced.await.map(Some).map_err(|error| journal_unavailable(&error))
            }
            #[cfg(test)]
            Log::Empty(..) => Ok(None),
        }
    }

    /// The directory names the shard now, or never will. Where this fails, nothing is trimmed for some minutes.
    pub async fn withdraw(&self, announced: Option<Announced>) {
        let (Log::Journal(journal), Some(announced)) = (&self.log, announced) else { return };
        let withdrawn = async { journal.trim_ledger().await?.withdraw(&announced).await };
        if let Err(error) = withdrawn.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the journal is not trimmed for some minutes");
        }
    }

    /// Writes identity and position rows into the database. May be repeated.
    ///
    /// # Errors
    /// 502 where the database does not answer, 422 where it refuses, is another shard already or has stored less than the
    /// journal can add to, 503 where the journal does not answer.
    pub async fn prepare(&self, new: &NewShard, announced: Option<&Announced>) -> Result<(), Problem> {
        let positions = self.positions(announced).await.map_err(|error| journal_unavailable(&error))?;
        let journal_id = match &self.log {
            Log::Journal(journal) => journal.id(),
            #[cfg(test)]
            Log::Empty(id, _) => id,
        };
        let identity = Identity { shard: new.name.clone(), journal_id: journal_id.to_owned() };
        let address = address(new);
        let stored = async {
            register(&address, &identity, &positions).await?;
            let mut shard = Shard::connect(&address, &identity).await?;
            let stored = shard.positions().await?;
            shard.close().await;
            Ok(stored)
        };
        let stored = match tokio::time::timeout(PREPARE_LIMIT, stored).await {
            Ok(stored) => stored.map_err(|error| refusal(&address, &error))?,
            Err(_) => return Err(unreachable(&address, &format!("no answer within {} s", PREPARE_LIMIT.as_secs()))),
        };
        // Rows that were there before are left as they are: what such a shard lacks may be gone from the journal.
        let lacking = positions.iter().find_map(|least| {
            let found = stored.get(&least.partition())?.position;
            (found < *least).then_some((found, *least))
        });
        lacking.map_or(Ok(()), |(found, least)| Err(left_behind(&address, found, least)))
    }

    /// Where a shard that has nothing begins: before the first message that the journal still holds.
    async fn positions(&self, announced: Option<&Announced>) -> Result<Vec<Position>, JournalError> {
        match &self.log {
            Log::Journal(journal) => {
                let mut positions = Vec::new();
                for partition in journal.partitions().all() {
                    let first = journal.bounds(partition).await?.first;
                    positions.push(announced.map_or(first.previous(), |announced| announced.begin(partition, first)));
                }
                Ok(positions)
            }
            #[cfg(test)]
            Log::Empty(_, partitions) => Ok(partitions.all().map(Position::before_first).collect()),
        }
    }
}

fn address(new: &NewShard) -> ShardAddress {
    let NewShard { name: _, flavor, host, port, user, password, database, pool: _ } = new.clone();
    ShardAddress { flavor, host, port, user, password, database }
}

fn refusal(address: &ShardAddress, error: &ShardError) -> Problem {
    match error.class {
        Class::Transient => unreachable(address, &chain(error)),
        _ => {
            let detail = format!("{address} cannot become this shard: {}", chain(error));
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "shard_refused", detail)
        }
    }
}

fn left_behind(address: &ShardAddress, found: Position, least: Position) -> Problem {
    let detail = format!(
        "{address} was prepared or used before and has stored partition {} up to {found:?} only; the journal may no longer hold \
         what follows, up to {least:?}. A database that holds no rows can be emptied and registered again",
        found.partition()
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "shard_left_behind", detail)
}

fn journal_unavailable(error: &JournalError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal_unavailable", chain(error)).retry_after(1)
}

fn unreachable(address: &ShardAddress, what: &str) -> Problem {
    let detail = format!("{address} does not answer: {what}; see that it runs and that host and port are right");
    Problem::new(StatusCode::BAD_GATEWAY, "shard_unreachable", detail).retry_after(5)
}

/// An error with all that caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// Checks the fields of a request and fills in what the engine implies.
///
/// # Errors
/// 422 that names the first bad field.
pub fn validate(mut new: NewShard) -> Result<NewShard, Problem> {
    let name = new.name.as_bytes();
    let first_fits = name.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let rest_fits = name.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if !first_fits || !rest_fits || name.len() > NAME_BYTES {
        return Err(bad("name", "a shard's name is [a-z0-9][a-z0-9_-]{0,62}"));
    }
    let texts = [("host", &new.host), ("user", &new.user), ("database", &new.database)];
    if let Some((field, _)) = texts.iter().find(|(_, text)| text.chars().any(char::is_control)) {
        return Err(bad(field, "it holds a control character"));
    }
    if new.database.is_empty() {
        return Err(bad("database", "it is missing"));
    }
    match new.flavor {
        Flavor::Sqlite => {
            use secrecy::ExposeSecret;
            let none = "a SQLite shard has none: it is a file, named by `database`";
            let given = [
                ("host", !new.host.is_empty()),
                ("port", new.port != 0),
                ("user", !new.user.is_empty()),
                ("password", !new.password.expose_secret().is_empty()),
            ];
            if let Some((field, _)) = given.iter().find(|(_, given)| *given) {
                return Err(bad(field, none));
            }
            if !std::path::Path::new(&new.database).is_absolute() {
                return Err(bad("database", "the path of a SQLite file has to be absolute: others run elsewhere"));
            }
        }
        Flavor::Postgres => {
            for (field, text) in [("host", &new.host), ("user", &new.user)] {
                if text.is_empty() {
                    return Err(bad(field, "a PostgreSQL shard needs it"));
                }
            }
            if new.port == 0 {
                new.port = 5_432;
            }
        }
    }
    Ok(new)
}

fn bad(field: &str, what: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", format_args!("{field}: {what}"))
        .at(format!("/{field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(change: impl FnOnce(&mut serde_json::Value)) -> Result<NewShard, String> {
        let mut json =
            serde_json::json!({"name": "a", "flavor": "postgres", "host": "h", "user": "u", "database": "d"});
        change(&mut json);
        let new = crate::api::parse(json.to_string().as_bytes()).expect("the test's JSON fits the type");
        validate(new).map_err(|problem| problem.pointer.unwrap())
    }

    #[test]
    fn the_first_bad_field_is_named() {
        let long = "a".repeat(64);
        for name in ["", "A", "-a", "_a", "a.b", "a b", "ä", long.as_str()] {
            assert_eq!(verdict(|json| json["name"] = name.into()).unwrap_err(), "/name", "{name:?} was taken");
        }
        for (field, value) in [("host", ""), ("user", ""), ("database", ""), ("host", "a\nb"), ("database", "a\0")] {
            assert_eq!(verdict(|json| json[field] = value.into()).unwrap_err(), format!("/{field}"));
        }
        assert_eq!(verdict(|_| {}).unwrap().port, 5_432);
        assert_eq!(verdict(|json| json["port"] = 7.into()).unwrap().port, 7);
    }

    #[test]
    fn a_sqlite_shard_is_an_absolute_path_and_nothing_else() {
        let sqlite = |field: &str, value: serde_json::Value| {
            verdict(|json| {
                *json = serde_json::json!({"name": "a", "flavor": "sqlite", "database": "/a.db"});
                json[field] = value;
            })
        };
        assert!(sqlite("database", "/var/a.db".into()).is_ok());
        assert_eq!(sqlite("database", "a.db".into()).unwrap_err(), "/database");
        for (field, value) in [("host", "h".into()), ("port", 1.into()), ("user", "u".into()), ("password", "p".into())]
        {
            assert_eq!(sqlite(field, value).unwrap_err(), format!("/{field}"));
        }
    }
}
