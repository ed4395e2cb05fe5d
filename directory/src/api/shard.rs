//! The forms of a shard in JSON.
//!
//! [`ShardCredentials`] and [`Destination`] carry the password and go only to those who write or read rows;
//! [`ListedShard`] has no place for one. [`NewShard`] brings it in.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use sluice_model::Position;
use sluice_shard::Flavor;

/// Which customers a shard takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// Any number; placement chooses among these.
    #[default]
    Shared,
    /// Exactly one, placed by hand.
    Dedicated,
}

/// Whether a shard takes new customers. Those it has stay, whatever its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// It does.
    #[default]
    Open,
    /// It is being emptied.
    Draining,
    /// It does not.
    Closed,
}

impl std::fmt::Display for ShardState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Draining => "draining",
            Self::Closed => "closed",
        })
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::Dedicated => "dedicated",
        })
    }
}

/// The answer about one customer: the fields of the original's directory, plus `shard` and `from`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Destination {
    /// Host name, or the folder of a Unix socket; empty for SQLite.
    pub host: String,
    /// TCP port; 0 for SQLite.
    pub port: u16,
    /// The engine.
    pub flavor: Flavor,
    /// Database user; empty for SQLite.
    pub user: String,
    /// The user's password.
    #[serde(serialize_with = "expose")]
    pub password: SecretString,
    /// Database name; for SQLite the file's path.
    pub database: String,
    /// The shard's name.
    pub shard: String,
    /// The first position that this is for.
    #[serde(deserialize_with = "super::position")]
    pub from: Position,
}

/// A shard with its password: for those who write or read its rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShardCredentials {
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
    /// The user's password.
    #[serde(serialize_with = "expose")]
    pub password: SecretString,
    /// Database name; for SQLite the file's path.
    pub database: String,
    /// Which customers it takes.
    pub pool: Pool,
    /// Whether it takes new ones.
    pub state: ShardState,
    /// Grows with each change of the shard: of two answers, the one with the greater version is the newer.
    #[serde(default)]
    pub version: u64,
}

/// A shard as lists show it: without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedShard {
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
    /// Database name; for SQLite the file's path.
    pub database: String,
    /// Which customers it takes.
    pub pool: Pool,
    /// Whether it takes new ones.
    pub state: ShardState,
    /// It takes none yet, whatever its state: a shard that had rows when it was registered has to say first whose.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub held: bool,
    /// How much of its pool's load it is to take, as against the others.
    pub weight: u32,
    /// How many customers are placed on it.
    pub customers: u64,
    /// About how many rows it held when it last answered.
    pub rows: Option<u64>,
    /// About how many bytes they took, with their indexes.
    pub bytes: Option<u64>,
    /// When that was, in milliseconds since 1970 by the directory's clock.
    pub measured_ms: Option<i64>,
    /// How long ago that was. Unlike the moment itself, this needs no clock but the directory's.
    #[serde(default)]
    pub measured_ago_ms: Option<u64>,
    /// When it was last asked, whether it answered or not.
    #[serde(default)]
    pub asked_ms: Option<i64>,
    /// How long ago that was.
    #[serde(default)]
    pub asked_ago_ms: Option<u64>,
    /// Whether it answered when it was last asked: it may have stopped since.
    pub answers: bool,
    /// If not, why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
    /// Where its password is kept: in the meta database (sealed), or in a file that is read when it is needed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password_file: Option<PathBuf>,
}

/// Every registered shard, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shards<T> {
    /// The shards.
    pub shards: Vec<T>,
}

/// A database that is to become a shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewShard {
    /// What it is to be called: `[a-z0-9][a-z0-9_-]{0,62}`.
    pub name: String,
    /// The engine.
    pub flavor: Flavor,
    /// Host name, or the folder of a Unix socket. Not for SQLite.
    #[serde(default)]
    pub host: String,
    /// TCP port; without one, the engine's usual one. Not for SQLite.
    #[serde(default)]
    pub port: u16,
    /// Database user. Not for SQLite.
    #[serde(default)]
    pub user: String,
    /// The user's password. Not for SQLite.
    #[serde(default, serialize_with = "expose")]
    pub password: SecretString,
    /// Instead of `password`: the absolute path of a file, where the directory runs, that holds it. It is read whenever somebody is
    /// told the password, so what the file holds may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Database name; for SQLite the file's absolute path.
    pub database: String,
    /// Which customers it takes.
    #[serde(default)]
    pub pool: Pool,
    /// How much of its pool's load it is to take, as against the others: 1 to 1,000.
    #[serde(default = "one")]
    pub weight: u16,
}

fn one() -> u16 {
    1
}

/// What is to become of a shard. What is not given stays as it is; engine, name and pool stay for good.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardChange {
    /// Whether it takes new customers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ShardState>,
    /// How much of its pool's load it is to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Where the same database is reached now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's new password.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose_some")]
    pub password: Option<SecretString>,
    /// Or the file that holds it from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// What the same database is called now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

impl ShardChange {
    /// Whether the password, or where it stands, changes.
    pub fn names_a_password(&self) -> bool {
        self.password.is_some() || self.password_file.is_some()
    }

    /// Whether the database is reached in another way afterwards.
    pub fn changes_the_address(&self) -> bool {
        let texts = [&self.host, &self.user, &self.database];
        texts.iter().any(|text| text.is_some()) || self.port.is_some() || self.names_a_password()
    }

    /// Puts in what is given.
    pub(crate) fn apply(&self, host: &mut String, user: &mut String, database: &mut String) {
        for (given, text) in [(&self.host, host), (&self.user, user), (&self.database, database)] {
            if let Some(given) = given {
                text.clone_from(given);
            }
        }
    }
}

fn expose_some<S: Serializer>(password: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(password.as_ref().map_or("", |password| password.expose_secret()))
}

impl ShardCredentials {
    /// The answer about a customer whose route leads here.
    pub fn destination(self, from: Position) -> Destination {
        let Self { name: shard, flavor, host, port, user, password, database, pool: _, state: _, version: _ } = self;
        Destination { host, port, flavor, user, password, database, shard, from }
    }
}

/// The one door that a password leaves by.
fn expose<S: Serializer>(password: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(password.expose_secret())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::parse;

    #[test]
    fn a_password_is_in_the_credentials_and_nowhere_else() {
        let body = br#"{"name":"a","flavor":"postgres","host":"h","user":"u","password":"hunter2","database":"d"}"#;
        let new: NewShard = parse(body).unwrap();
        let NewShard { name, flavor, host, port, user, password, database, pool, .. } = new.clone();
        let (state, version) = (ShardState::Open, 1);
        let full = ShardCredentials { name, flavor, host, port, user, password, database, pool, state, version };
        assert!(serde_json::to_string(&full).unwrap().contains("hunter2"));
        let destination = full.clone().destination(Position::new(0).unwrap());
        assert!(serde_json::to_string(&destination).unwrap().contains(r#""password":"hunter2""#));
        let change: ShardChange = parse(br#"{"password":"hunter2"}"#).unwrap();
        let shown = format!("{new:?} {full:?} {destination:?} {change:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
