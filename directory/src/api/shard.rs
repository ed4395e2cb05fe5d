//! The forms of a shard in JSON.
//!
//! [`ShardCredentials`] and [`Destination`] carry the password and go only to those who write or read rows;
//! [`ListedShard`] has no place for one. [`NewShard`] brings it in.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// How many customers are placed on it.
    pub customers: u64,
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
    /// Database name; for SQLite the file's absolute path.
    pub database: String,
    /// Which customers it takes.
    #[serde(default)]
    pub pool: Pool,
}

impl ShardCredentials {
    /// The form without the password.
    pub fn listed(self, customers: u64) -> ListedShard {
        let Self { name, flavor, host, port, user, password: _, database, pool, state } = self;
        ListedShard { name, flavor, host, port, user, database, pool, state, customers }
    }

    /// The answer about a customer whose route leads here.
    pub fn destination(self, from: Position) -> Destination {
        let Self { name: shard, flavor, host, port, user, password, database, pool: _, state: _ } = self;
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
        let NewShard { name, flavor, host, port, user, password, database, pool } = new.clone();
        let state = ShardState::Open;
        let full = ShardCredentials { name, flavor, host, port, user, password, database, pool, state };
        assert!(serde_json::to_string(&full).unwrap().contains("hunter2"));
        let destination = full.clone().destination(Position::new(0).unwrap());
        assert!(serde_json::to_string(&destination).unwrap().contains(r#""password":"hunter2""#));
        let listed = full.clone().listed(1);
        let shown = format!("{new:?} {full:?} {destination:?} {}", serde_json::to_string(&listed).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
