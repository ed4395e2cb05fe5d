//! How a database becomes a shard.
//!
//! The order matters: identity and position rows stand in the database before any route can name it. So a writer never
//! has to guess where to begin, and a database that already is somebody else's is found here, by its own identity row.
//!
//! The journal may be trimmed meanwhile. So a registration is announced before it looks where the journal begins, until the
//! directory names the shard: [`sluice_journal::trim`] says why no trimmer overtakes it then.

mod blame;
mod fields;

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use sluice_journal::{Announced, Journal, JournalError};
use sluice_model::{CustomerId, InvalidCustomerId, Partition, PartitionCount, Position};
use sluice_service::Problem;
use sluice_shard::{Class, Identity, Shard, ShardAddress, ShardError, Size, StoredPosition, register};
use tokio::sync::{Mutex, MutexGuard};

pub use self::fields::{validate, validate_change};

/// How long preparing one database may take. Below the HTTP face's limit, so that the answer can say which it was.
const PREPARE_LIMIT: Duration = Duration::from_secs(20);
/// How long listing the customers of a new shard may take: some ten million were listed in as long as that. Lower: databases of
/// many customers can't become shards. Higher: the announcement may end before the directory names the shard
/// ([`sluice_journal::trim::TICKET_LIMIT`]).
pub const LISTING_LIMIT: Duration = Duration::from_secs(300);
/// How long a registration waits for the customers of shards that were there before. Lower: a new shard takes new customers later
/// than it could. Higher: a shard that does not answer delays every registration by so much.
pub const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// What a database holds that is, or becomes, a shard.
#[derive(Debug, Clone)]
pub struct Found {
    /// How far it has read the journal.
    pub positions: BTreeMap<Partition, StoredPosition>,
    /// About how much is in it.
    pub size: Size,
}

/// Whose rows a database holds.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Every customer.
    pub customers: Vec<CustomerId>,
    /// 422 where some rows are of a name that no customer can have: no event is ever for it.
    pub nobodys: Option<Problem>,
}

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

    /// The journal whose shards it makes.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        match &self.log {
            Log::Journal(journal) => Some(journal),
            #[cfg(test)]
            Log::Empty(..) => None,
        }
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

    /// Takes a shard out of the record of what trimmers have read: nothing is kept for it any more. False where it was not in it.
    ///
    /// # Errors
    /// 503 where the journal does not answer.
    pub async fn forget(&self, shard: &str) -> Result<bool, Problem> {
        match &self.log {
            Log::Journal(journal) => {
                let forgotten = async { journal.trim_ledger().await?.forget(shard).await };
                forgotten.await.map_err(|error| journal_unavailable(&error))
            }
            #[cfg(test)]
            Log::Empty(..) => Ok(false),
        }
    }

    /// Writes identity and position rows into the database, and looks how far and how large it is. May be repeated.
    ///
    /// # Errors
    /// 502 where the database does not answer, 422 where it refuses, is another shard already or has stored less than the
    /// journal can add to, 503 where the journal does not answer.
    pub async fn prepare(
        &self,
        name: &str,
        address: &ShardAddress,
        announced: Option<&Announced>,
    ) -> Result<Found, Problem> {
        let positions = self.positions(announced).await.map_err(|error| journal_unavailable(&error))?;
        let identity = self.identity(name);
        within_limit(address, PREPARE_LIMIT, register(address, &identity, &positions)).await?;
        let looking = async {
            let mut shard = Shard::connect(address, &identity).await?;
            let found = Found { positions: shard.positions().await?, size: shard.size().await? };
            shard.close().await;
            Ok(found)
        };
        let found = within_limit(address, PREPARE_LIMIT, looking).await?;
        // Rows that were there before are left as they are: what such a shard lacks may be gone from the journal.
        let lacking = positions.iter().map(|least| least.position).find_map(|least| {
            let found = found.positions.get(&least.partition())?.position;
            (found < least).then_some((found, least))
        });
        lacking.map_or(Ok(found), |(found, least)| Err(left_behind(address, found, least)))
    }

    /// Makes sure that a database is this shard. No row is looked at.
    ///
    /// # Errors
    /// 502 where it does not answer, 422 where it lets us not in, or is another shard.
    pub async fn identify(&self, name: &str, address: &ShardAddress) -> Result<(), Problem> {
        let identifying = async {
            Shard::connect(address, &self.identity(name)).await?.close().await;
            Ok(())
        };
        within_limit(address, PREPARE_LIMIT, identifying).await
    }

    /// Lists whose rows a shard holds, within `limit`.
    ///
    /// # Errors
    /// As [`Registrar::identify`].
    pub async fn customers(&self, name: &str, address: &ShardAddress, limit: Duration) -> Result<Listed, Problem> {
        let listing = async {
            let mut shard = Shard::connect(address, &self.identity(name)).await?;
            let customers = shard.all_customers().await?;
            shard.close().await;
            Ok(customers)
        };
        let mut listed = Listed { customers: Vec::new(), nobodys: None };
        for text in within_limit(address, limit, listing).await? {
            match text.parse() {
                Ok(customer) => listed.customers.push(customer),
                Err(error) => listed.nobodys = Some(rows_of_nobody(address, &text, &error)),
            }
        }
        Ok(listed)
    }

    /// Measures a database that is this shard.
    ///
    /// # Errors
    /// As [`Registrar::identify`].
    pub async fn measure(&self, name: &str, address: &ShardAddress) -> Result<Size, Problem> {
        let measuring = async {
            let mut shard = Shard::connect(address, &self.identity(name)).await?;
            let size = shard.size().await?;
            shard.close().await;
            Ok(size)
        };
        within_limit(address, PREPARE_LIMIT, measuring).await
    }

    fn identity(&self, name: &str) -> Identity {
        let journal_id = match &self.log {
            Log::Journal(journal) => journal.id(),
            #[cfg(test)]
            Log::Empty(id, _) => id,
        };
        Identity { shard: name.to_owned(), journal_id: journal_id.to_owned() }
    }

    /// Where a shard that has nothing begins: before the first message that the journal still holds. With the stamp of the message
    /// there, if there is one: should the journal lose it, the shard's lane notices.
    async fn positions(&self, announced: Option<&Announced>) -> Result<Vec<StoredPosition>, JournalError> {
        match &self.log {
            Log::Journal(journal) => {
                let mut positions = Vec::new();
                for partition in journal.partitions().all() {
                    let first = journal.bounds(partition).await?.first;
                    let position = announced.map_or(first.previous(), |announced| announced.begin(partition, first));
                    let stamp = journal.stamp(position).await?.unwrap_or_default();
                    positions.push(StoredPosition { position, stamp });
                }
                Ok(positions)
            }
            #[cfg(test)]
            Log::Empty(_, partitions) => Ok(partitions.all().map(|p| Position::before_first(p).into()).collect()),
        }
    }
}

async fn within_limit<T>(
    address: &ShardAddress,
    limit: Duration,
    work: impl Future<Output = Result<T, ShardError>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(|error| refusal(address, &error)),
        Err(_) => Err(unreachable(address, &format!("no answer within {} s", limit.as_secs())).at("/host")),
    }
}

fn rows_of_nobody(address: &ShardAddress, text: &str, error: &InvalidCustomerId) -> Problem {
    let detail = format!("{address} holds rows of {text:?}, which is {error}; no event can be for it");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "rows_of_nobody", detail).at("/database")
}

fn refusal(address: &ShardAddress, error: &ShardError) -> Problem {
    match error.class {
        Class::Transient => unreachable(address, &chain(error)).at(blame::field(error)),
        _ => {
            let detail = format!("{address} cannot be this shard: {}", chain(error));
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "shard_refused", detail).at(blame::field(error))
        }
    }
}

fn left_behind(address: &ShardAddress, found: Position, least: Position) -> Problem {
    let detail = format!(
        "{address} was prepared or used before and has stored partition {} up to {found:?} only; the journal may no longer hold \
         what follows, up to {least:?}. A database that holds no rows can be emptied and registered again",
        found.partition()
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "shard_left_behind", detail).at("/database")
}

fn journal_unavailable(error: &JournalError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal_unavailable", chain(error)).retry_after(1)
}

fn unreachable(address: &ShardAddress, what: &str) -> Problem {
    let detail = format!(
        "{address} does not answer: {what}; see that it runs, that host and port are right, and that a pooler \
         before it has a connection left (docs/DATABASES.md)"
    );
    Problem::new(StatusCode::BAD_GATEWAY, "shard_unreachable", detail).retry_after(5)
}

/// An error with all that caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
