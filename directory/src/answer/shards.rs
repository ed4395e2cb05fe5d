//! Questions about shards, and what an administrator does to them.

use std::{path::PathBuf, time::Duration};

use axum::http::StatusCode;
use futures::future::join_all;
use secrecy::SecretString;
use sluice_journal::Announced;
use sluice_model::CustomerId;
use sluice_service::Problem;
use sluice_shard::{CustomerColumn, ShardAddress};

use super::{Directory, no_such_shard, password_unreadable, unavailable};
use crate::{
    api::{ListedShard, NewShard, ShardChange, ShardCredentials, Shards},
    registration::{Found, LISTING_LIMIT, LOOK_LIMIT, Listed, chain, validate, validate_change},
    store::{Earlier, Removal, StoredPassword, StoredShard, now_ms, read_password},
};

impl Directory {
    /// Every shard, without passwords.
    ///
    /// # Errors
    /// 503 where the store fails.
    pub async fn shards(&self) -> Result<Shards<ListedShard>, Problem> {
        let shards = self.store.shards().await.map_err(unavailable)?;
        Ok(Shards { shards: shards.into_iter().map(Into::into).collect() })
    }

    /// Every shard, with passwords. One whose password cannot be told is there with an empty one: the others are not to suffer
    /// from it, and its lane says that it is not let in.
    ///
    /// # Errors
    /// 503 where the store fails.
    pub async fn credentials(&self) -> Result<Shards<ShardCredentials>, Problem> {
        let mut shards = Vec::new();
        for stored in self.store.shards().await.map_err(unavailable)? {
            let password = self.store.password(&stored).await.unwrap_or_else(|error| {
                tracing::error!(shard = stored.name, error = &error as &dyn std::error::Error, "no password to tell");
                SecretString::default()
            });
            shards.push(stored.with_password(password));
        }
        Ok(Shards { shards })
    }

    /// Makes a database a shard: prepares it, and only then lets routes name it. Customers whose rows it holds already are
    /// placed there; and so are those of shards that were adopted like that before, whose first rows may have come since. An adopted
    /// shard that does not answer is not waited for: see `store/adoption.rs`.
    ///
    /// # Errors
    /// 422 for a bad field, 409 for a name that is taken, 503 where the journal does not answer, and what
    /// [`Registrar::prepare`] says. Also where the database holds rows and an adopted shard does not answer: whether a customer
    /// has rows on both is not known.
    pub async fn register(&self, new: NewShard) -> Result<ListedShard, Problem> {
        let new = validate(new)?;
        let _turn = self.registrar.turn().await;
        let known = self.store.shards().await.map_err(unavailable)?;
        if known.iter().any(|shard| shard.name == new.name) {
            return Err(taken(&new.name));
        }
        let (earlier, silent) = self.ask_adopted(known, LOOK_LIMIT).await;
        let password = new_password(&new.password, new.password_file.as_ref()).await?;
        let address = new_address(&new, password, self.customer_column.clone());
        let announced = self.registrar.announce(&new.name).await?;
        let prepared = self.prepare(&new.name, &address, announced.as_ref(), silent).await;
        let added = match &prepared {
            // Where nobody knows whether it is stored, the announcement stands: it ends by itself.
            Ok((_, customers)) => self.store.add_shard(&new, customers, &earlier).await.map_err(unavailable)?,
            Err(_) => None,
        };
        self.registrar.withdraw(announced).await;
        let (found, _) = prepared?;
        let Some(adopted) = added else { return Err(taken(&new.name)) };
        self.store.note_size(&new.name, Ok(found.size)).await.map_err(unavailable)?;
        tracing::info!(shard = new.name, %address, customers = adopted.placed, held = earlier.silent, "shard registered");
        if let Some((count, first)) = adopted.elsewhere {
            tracing::warn!(shard = new.name, count, %first, "customers with rows on this shard are placed on others");
        }
        Ok(self.stored(&new.name).await?.into())
    }

    async fn prepare(
        &self,
        name: &str,
        address: &ShardAddress,
        announced: Option<&Announced>,
        silent: Option<Problem>,
    ) -> Result<(Found, Vec<CustomerId>), Problem> {
        let found = self.registrar.prepare(name, address, announced).await?;
        let Listed { customers, nobodys } = self.registrar.customers(name, address, LISTING_LIMIT).await?;
        match nobodys.or(silent.filter(|_| !customers.is_empty())) {
            Some(problem) => Err(problem),
            None => Ok((found, customers)),
        }
    }

    /// Asks the adopted shards among these whose rows have come since they were registered, all at once, and places those
    /// customers. Gives which were asked, and what was wrong with one of the others.
    async fn ask_adopted(&self, shards: Vec<StoredShard>, limit: Duration) -> (Earlier, Option<Problem>) {
        let adopted = shards.into_iter().filter(|shard| shard.adopted);
        let asking = adopted.map(async |shard| (shard.name.clone(), self.adopt_again(shard, limit).await));
        let (mut earlier, mut silent) = (Earlier::default(), None);
        for (name, asked) in join_all(asking).await {
            match asked {
                Ok(()) => earlier.asked.push(name),
                Err(problem) => {
                    tracing::warn!(shard = name, %problem, "it is not known whose rows this shard has got since it was registered");
                    (earlier.silent, silent) = (true, Some(problem));
                }
            }
        }
        (earlier, silent)
    }

    async fn adopt_again(&self, shard: StoredShard, limit: Duration) -> Result<(), Problem> {
        let name = shard.name.clone();
        let password = self.store.password(&shard).await.map_err(|error| password_unreadable(&name, &error))?;
        let address = shard.address(password, self.customer_column.clone());
        let Listed { customers, nobodys } = self.registrar.customers(&name, &address, limit).await?;
        if let Some(problem) = nobodys {
            tracing::warn!(shard = name, %problem, "the others' rows are seen to");
        }
        let adopted = self.store.adopt(&name, &customers).await.map_err(unavailable)?;
        if adopted.placed > 0 {
            tracing::info!(shard = name, customers = adopted.placed, "placed customers where their rows are");
        }
        Ok(())
    }

    /// Asks adopted shards that did not answer when another was registered, so that the new one need not be held any longer.
    pub(crate) async fn settle(&self) {
        let settled = async {
            let shards = self.store.shards().await?;
            if !shards.iter().any(|shard| shard.held) {
                return Ok(0);
            }
            let (earlier, _) = self.ask_adopted(shards, LISTING_LIMIT).await;
            self.store.settle(&earlier.asked).await
        };
        match settled.await {
            Ok(0) => {}
            Ok(shards) => tracing::info!(shards, "shards that were held take new customers from now on"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "held shards were not looked at"),
        }
    }

    /// Asks a shard how much it holds, and notes the answer, or that there is none.
    pub(crate) async fn measure(&self, shard: StoredShard) {
        let (name, before) = (shard.name.clone(), shard.trouble.is_some());
        let found = match self.store.password(&shard).await {
            Ok(password) => {
                let address = shard.address(password, self.customer_column.clone());
                self.registrar.measure(&name, &address).await.map_err(|problem| problem.detail)
            }
            Err(error) => Err(chain(&error)),
        };
        match &found {
            Err(trouble) if !before => tracing::warn!(shard = name, trouble, "the shard does not answer"),
            Ok(_) if before => tracing::info!(shard = name, "the shard answers again"),
            _ => {}
        }
        if let Err(error) = self.store.note_size(&name, found).await {
            tracing::warn!(shard = name, error = &error as &dyn std::error::Error, "its size was not noted");
        }
    }

    /// Changes a shard. Another address, user or password is tried first, and has to lead to the same database: by its identity, whatever
    /// else it holds. No registration is waited for.
    ///
    /// # Errors
    /// 404 for an unknown shard, 422 for a bad field or a database that is another shard or lets us not in, 502 where it does not
    /// answer. Nothing was changed then.
    pub async fn change(&self, name: &str, change: ShardChange) -> Result<ListedShard, Problem> {
        let stored = self.store.shard(name).await.map_err(unavailable)?.ok_or_else(|| no_such_shard(name))?;
        validate_change(stored.flavor, &change)?;
        if change.changes_the_address() {
            let password = if change.names_a_password() {
                let password = change.password.clone().unwrap_or_default();
                new_password(&password, change.password_file.as_ref()).await?
            } else {
                self.store.password(&stored).await.map_err(|error| password_unreadable(name, &error))?
            };
            let mut address = stored.address(password, self.customer_column.clone());
            change.apply(&mut address.host, &mut address.user, &mut address.database);
            address.port = change.port.unwrap_or(address.port);
            self.registrar.identify(name, &address).await?;
        }
        if !self.store.change_shard(name, &change).await.map_err(unavailable)? {
            return Err(no_such_shard(name));
        }
        tracing::info!(shard = name, "shard changed");
        Ok(self.stored(name).await?.into())
    }

    /// Takes out a closed shard on which nobody is, or was: nothing of the journal is kept for it any more. Its database stays as
    /// it is. May be repeated.
    ///
    /// # Errors
    /// 404 for an unknown shard, 409 where it is not closed or somebody is on it, 503 where the store or the journal fails.
    pub async fn remove(&self, name: &str) -> Result<(), Problem> {
        let _turn = self.registrar.turn().await;
        let conflict = |code: &str, detail: String| Err(Problem::new(StatusCode::CONFLICT, code, detail));
        let gone = match self.store.remove_shard(name).await.map_err(unavailable)? {
            Removal::Gone => true,
            // Gone before, perhaps by a directory that died before it could tell the journal.
            Removal::NoSuchShard => false,
            Removal::NotClosed(state) => {
                let detail = format!("shard {name} is {state}; `directory shard set {name} --state closed` first");
                return conflict("shard_not_closed", detail);
            }
            Removal::Occupied(tenant) => {
                let detail = format!(
                    "customer {tenant}, and maybe more, belongs to shard {name} from some position on, and its rows are there"
                );
                return conflict("shard_occupied", detail);
            }
        };
        let forgotten = self.registrar.forget(name).await?;
        if !gone && !forgotten {
            return Err(no_such_shard(name));
        }
        tracing::info!(shard = name, "shard taken out");
        Ok(())
    }
}

impl From<StoredShard> for ListedShard {
    fn from(stored: StoredShard) -> Self {
        let StoredShard { name, flavor, host, port, user, password, database, pool, state, .. } = stored;
        let password_file = match password {
            StoredPassword::File(path) => Some(path),
            StoredPassword::Sealed(_) => None,
        };
        let (weight, customers, measured) = (stored.weight, stored.customers, stored.measured);
        let now = now_ms();
        let ago = |ms: i64| now.saturating_sub(ms).max(0).unsigned_abs();
        Self {
            name,
            flavor,
            host,
            port,
            user,
            database,
            pool,
            state,
            held: stored.held,
            weight,
            customers,
            rows: measured.map(|measured| measured.size.rows),
            bytes: measured.map(|measured| measured.size.bytes),
            measured_ms: measured.map(|measured| measured.ms),
            measured_ago_ms: measured.map(|measured| ago(measured.ms)),
            asked_ms: stored.asked_ms,
            asked_ago_ms: stored.asked_ms.map(ago),
            answers: stored.trouble.is_none(),
            trouble: stored.trouble,
            password_file,
        }
    }
}

impl StoredShard {
    /// The form with the password.
    pub(super) fn with_password(self, password: SecretString) -> ShardCredentials {
        let Self { name, flavor, host, port, user, database, pool, state, version, .. } = self;
        ShardCredentials { name, flavor, host, port, user, password, database, pool, state, version }
    }

    /// Where it is.
    fn address(self, password: SecretString, customer_column: CustomerColumn) -> ShardAddress {
        let Self { flavor, host, port, user, database, .. } = self;
        ShardAddress { flavor, host, port, user, password, database, customer_column }
    }
}

fn new_address(new: &NewShard, password: SecretString, customer_column: CustomerColumn) -> ShardAddress {
    let NewShard { flavor, host, port, user, database, .. } = new.clone();
    ShardAddress { flavor, host, port, user, password, database, customer_column }
}

/// The password that was given, or what the file holds that was named instead.
async fn new_password(given: &SecretString, file: Option<&PathBuf>) -> Result<SecretString, Problem> {
    let Some(path) = file else { return Ok(given.clone()) };
    read_password(path).await.map_err(|error| {
        let detail = format!("{}; it has to be there where the directory runs", chain(&error));
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", detail).at("/password_file")
    })
}

fn taken(name: &str) -> Problem {
    let detail = format!("there is a shard {name} already; `directory shard list` shows it");
    Problem::new(StatusCode::CONFLICT, "shard_exists", detail).at("/name")
}
