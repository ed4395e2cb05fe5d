//! The shards in the meta database.

use std::path::PathBuf;

use secrecy::SecretString;
use sluice_model::CustomerId;
use sluice_shard::{Flavor, Size};

use super::{
    Placing, Store, StoreError,
    database::{Database, Session},
    doing, now_ms, read_customer,
    statements::ShardRow,
};
use crate::{
    api::{NewShard, Pool, ShardChange, ShardState},
    placement::Load,
    seal::{Key, Unopenable},
};

/// A shard as it is stored.
#[derive(Debug, Clone)]
pub struct StoredShard {
    /// Its name.
    pub name: String,
    /// The engine.
    pub flavor: Flavor,
    /// Host name, or the folder of a Unix socket; empty for SQLite.
    pub host: String,
    /// TCP port; 0 for SQLite.
    pub port: u16,
    /// Database user; empty for SQLite.
    pub user: String,
    /// The user's password, unreadable as it is; see [`Store::password`].
    pub password: StoredPassword,
    /// Database name; for SQLite the file's path.
    pub database: String,
    /// Which customers it takes.
    pub pool: Pool,
    /// Whether it takes new ones.
    pub state: ShardState,
    /// How much of its pool's load it is to take, as against the others: 1 to 1,000.
    pub weight: u32,
    /// How many customers are placed on it.
    pub customers: u64,
    /// Grows with each change.
    pub version: u64,
    /// Whether it had rows when it was registered, and has not been asked since whose rows have come.
    pub adopted: bool,
    /// Whether it takes no new customers before every adopted shard has been asked that.
    pub held: bool,
    /// How much it held when it last answered.
    pub measured: Option<Measured>,
    /// When it was last asked, in milliseconds since 1970 by the directory's clock.
    pub asked_ms: Option<i64>,
    /// Why it did not answer then.
    pub trouble: Option<String>,
}

/// A password as it is stored.
#[derive(Debug, Clone)]
pub enum StoredPassword {
    /// Sealed by the directory's key.
    Sealed(String),
    /// In a file on the directory's machine, read whenever somebody is told the password.
    File(PathBuf),
}

/// How much a shard held when it last answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// About how many rows, and in how many bytes.
    pub size: Size,
    /// How many customers were placed on it then.
    pub customers: u64,
    /// When, in milliseconds since 1970 by the directory's clock.
    pub ms: i64,
}

/// Why a shard's password cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It was sealed with another key, or is damaged.
    #[error(transparent)]
    Sealed(#[from] Unopenable),
    /// The file that it stands in cannot be read.
    #[error("the password file {} cannot be read", .0.display())]
    File(PathBuf, #[source] std::io::Error),
}

/// What came of taking a shard out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Gone,
    /// There is no such shard.
    NoSuchShard,
    /// It has to be closed first: nobody may be placed there while it goes.
    NotClosed(ShardState),
    /// Somebody is, or was, on it.
    Occupied(CustomerId),
}

impl StoredShard {
    /// What placement wants to know of it, where it takes new customers by itself.
    pub(super) fn load(self) -> Option<Load> {
        let takes = self.pool == Pool::Shared && self.state == ShardState::Open && !self.held;
        takes.then(|| Load {
            shard: self.name,
            weight: self.weight,
            customers: self.customers,
            size: self.measured.map(|measured| measured.size).unwrap_or_default(),
            newcomers: self.customers.saturating_sub(self.measured.map_or(0, |measured| measured.customers)),
            answers: self.trouble.is_none(),
        })
    }
}

impl Store {
    /// Every shard, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn shards(&self) -> Result<Vec<StoredShard>, StoreError> {
        let listing = doing("list the shards");
        let mut held = self.database.hold().await.map_err(&listing)?;
        let rows = held.session().shards().await.map_err(&listing)?;
        rows.into_iter().map(StoredShard::try_from).collect::<Result<_, _>>().map_err(listing)
    }

    /// The shard with this name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn shard(&self, name: &str) -> Result<Option<StoredShard>, StoreError> {
        let reading = doing("read a shard");
        let mut held = self.database.hold().await.map_err(&reading)?;
        shard(&mut held.session(), name).await
    }

    /// A shard's password.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn password(&self, shard: &StoredShard) -> Result<SecretString, PasswordError> {
        match &shard.password {
            StoredPassword::Sealed(sealed) => Ok(self.key.open(&shard.name, sealed)?),
            StoredPassword::File(path) => read_password(path).await,
        }
    }

    pub(super) fn new_row(&self, new: &NewShard, adopted: bool, held: bool) -> ShardRow {
        let (password, password_form) = self.stored_password(&new.name, &new.password, new.password_file.as_ref());
        ShardRow {
            name: new.name.clone(),
            flavor: new.flavor.to_string(),
            host: new.host.clone(),
            port: new.port.into(),
            user: new.user.clone(),
            password,
            password_form,
            database: new.database.clone(),
            pool: new.pool.to_string(),
            state: ShardState::Open.to_string(),
            weight: new.weight.into(),
            customers: 0,
            version: 1,
            adopted: adopted.into(),
            held: held.into(),
            measured_rows: None,
            measured_bytes: None,
            measured_customers: None,
            measured_ms: None,
            asked_ms: None,
            trouble: None,
        }
    }

    fn stored_password(&self, shard: &str, password: &SecretString, file: Option<&PathBuf>) -> (String, String) {
        match file {
            Some(path) => (path.display().to_string(), "file".to_owned()),
            None => (self.key.seal(shard, password), "sealed".to_owned()),
        }
    }

    /// Changes a shard; false where there is none of that name. Fields that are not given stay as they are.
    ///
    /// # Errors
    /// Where the database fails; nothing was changed then.
    pub async fn change_shard(&self, name: &str, change: &ShardChange) -> Result<bool, StoreError> {
        let changing = doing("change a shard");
        let _turn = self.turn.lock().await;
        let mut write = self.begin().await?;
        let mut session = write.session();
        let Some(mut row) = session.shard(name).await.map_err(&changing)? else { return Ok(false) };
        change.apply(&mut row.host, &mut row.user, &mut row.database);
        if let Some(port) = change.port {
            row.port = port.into();
        }
        if let Some(state) = change.state {
            row.state = state.to_string();
        }
        if let Some(weight) = change.weight {
            row.weight = weight.into();
        }
        if change.names_a_password() {
            let password = change.password.clone().unwrap_or_default();
            (row.password, row.password_form) = self.stored_password(name, &password, change.password_file.as_ref());
        }
        session.change_shard(&row).await.map_err(&changing)?;
        write.commit().await.map_err(&changing)?;
        Ok(true)
    }

    /// Takes a closed shard out that nobody is, or was, placed on.
    ///
    /// # Errors
    /// Where the database fails; nothing was changed then.
    pub async fn remove_shard(&self, name: &str) -> Result<Removal, StoreError> {
        let removing = doing("take a shard out");
        let _turn = self.turn.lock().await;
        let mut write = self.begin().await?;
        let mut session = write.session();
        let Some(shard) = shard(&mut session, name).await? else { return Ok(Removal::NoSuchShard) };
        if shard.state != ShardState::Closed {
            return Ok(Removal::NotClosed(shard.state));
        }
        if let Some(tenant) = session.tenant(name).await.map_err(&removing)? {
            return Ok(Removal::Occupied(read_customer(&tenant).map_err(&removing)?));
        }
        session.remove_shard(name).await.map_err(&removing)?;
        write.commit().await.map_err(&removing)?;
        Ok(Removal::Gone)
    }

    /// Notes how much a shard holds, or why it does not answer.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn note_size(&self, shard: &str, found: Result<Size, String>) -> Result<(), StoreError> {
        let noting = doing("note a shard's size");
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let _turn = self.turn.lock().await;
        let mut held = self.database.hold().await.map_err(&noting)?;
        let mut session = held.session();
        match found {
            Ok(size) => session.measured(shard, whole(size.rows), whole(size.bytes), now_ms()).await,
            Err(trouble) => session.trouble(shard, &trouble, now_ms()).await,
        }
        .map_err(noting)
    }
}

/// What the file holds, without the line ends after it.
pub(crate) async fn read_password(path: &PathBuf) -> Result<SecretString, PasswordError> {
    let text = tokio::fs::read_to_string(path).await.map_err(|error| PasswordError::File(path.clone(), error))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

async fn shard(session: &mut Session<'_>, name: &str) -> Result<Option<StoredShard>, StoreError> {
    let reading = doing("read a shard");
    let row = session.shard(name).await.map_err(&reading)?;
    row.map(StoredShard::try_from).transpose().map_err(reading)
}

/// Why no new customer may be placed there by hand; `None` where one may.
pub(super) async fn obstacle(session: &mut Session<'_>, name: &str) -> Result<Option<Placing>, StoreError> {
    let Some(shard) = shard(session, name).await? else { return Ok(Some(Placing::NoSuchShard)) };
    if shard.state != ShardState::Open {
        return Ok(Some(Placing::NotOpen(shard.state)));
    }
    if shard.held {
        return Ok(Some(Placing::Held));
    }
    if shard.pool == Pool::Dedicated {
        let reading = doing("read who is on a shard");
        if let Some(tenant) = session.tenant(name).await.map_err(&reading)? {
            return Ok(Some(Placing::Taken(read_customer(&tenant).map_err(reading)?)));
        }
    }
    Ok(None)
}

impl Session<'_> {
    /// Seals what an older version left in clear; says how many passwords that were.
    pub(super) async fn seal_clear(&mut self, key: &Key) -> sqlx::Result<usize> {
        let mut clear = self.shards().await?;
        clear.retain(|row| row.password_form == "clear");
        for row in &mut clear {
            row.password = key.seal(&row.name, &std::mem::take(&mut row.password).into());
            row.password_form = "sealed".to_owned();
            self.change_shard(row).await?;
        }
        Ok(clear.len())
    }
}

impl Database {
    /// Older pages of a SQLite database stand in its side file until that is emptied; in PostgreSQL old rows go by themselves.
    pub(super) async fn forget_old_pages(&self) -> sqlx::Result<()> {
        if let Self::Sqlite(pool) = self {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
        }
        Ok(())
    }
}

impl TryFrom<ShardRow> for StoredShard {
    type Error = sqlx::Error;
    fn try_from(row: ShardRow) -> Result<Self, sqlx::Error> {
        let decode = |what: String| sqlx::Error::Decode(what.into());
        let pool = match row.pool.as_str() {
            "shared" => Pool::Shared,
            "dedicated" => Pool::Dedicated,
            other => return Err(decode(format!("{other:?} is no pool"))),
        };
        let state = match row.state.as_str() {
            "open" => ShardState::Open,
            "draining" => ShardState::Draining,
            "closed" => ShardState::Closed,
            other => return Err(decode(format!("{other:?} is no state"))),
        };
        let password = match row.password_form.as_str() {
            "sealed" => StoredPassword::Sealed(row.password),
            "file" => StoredPassword::File(row.password.into()),
            other => return Err(decode(format!("a password is {other}"))),
        };
        let flavor = row.flavor.parse();
        let flavor = flavor.map_err(|_| decode(format!("{:?} is no engine that this program knows", row.flavor)))?;
        let measured = row.measured_rows.zip(row.measured_bytes).zip(row.measured_customers).zip(row.measured_ms);
        Ok(Self {
            name: row.name,
            flavor,
            host: row.host,
            port: u16::try_from(row.port).map_err(|_| decode(format!("{} is no port", row.port)))?,
            user: row.user,
            password,
            database: row.database,
            pool,
            state,
            weight: u32::try_from(row.weight).map_err(|_| decode(format!("{} is no weight", row.weight)))?,
            customers: row.customers.unsigned_abs(),
            version: row.version.unsigned_abs(),
            adopted: row.adopted != 0,
            held: row.held != 0,
            measured: measured.map(|(((rows, bytes), customers), ms)| Measured {
                size: Size { rows: rows.unsigned_abs(), bytes: bytes.unsigned_abs() },
                customers: customers.unsigned_abs(),
                ms,
            }),
            asked_ms: row.asked_ms,
            trouble: row.trouble,
        })
    }
}
