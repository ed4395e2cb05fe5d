//! A fleet in JSON, for tools that share no code with us.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use secrecy::ExposeSecret;
use serde::Serialize;
use sluice_shard::Flavor;
use tempfile::NamedTempFile;

use crate::{databases::FleetShard, nats_users::Login};

/// Where everything of a fleet is. It holds passwords.
#[derive(Clone, Serialize)]
pub struct Description {
    /// Where ingest takes persons.
    pub ingest: String,
    /// Where the directory answers.
    pub directory: String,
    /// The token of those who ask it for routes.
    pub directory_reader_token: String,
    /// The token of its administrator.
    pub directory_admin_token: String,
    /// Where NATS is: all its servers, with commas between them.
    pub nats: String,
    /// Its users. Each hears answers at `_INBOX_<user>.>`; the operator at `_INBOX.>` as well.
    pub nats_users: Vec<DescribedUser>,
    /// The shards.
    pub shards: Vec<DescribedShard>,
    /// The processes.
    pub pids: Pids,
}

/// One shard.
#[derive(Clone, Serialize)]
pub struct DescribedShard {
    /// Its name in the directory.
    pub name: String,
    /// The engine.
    pub flavor: Flavor,
    /// Empty for SQLite.
    pub host: String,
    /// 0 for SQLite.
    pub port: u16,
    /// Empty for SQLite.
    pub user: String,
    /// Empty for SQLite.
    pub password: String,
    /// For SQLite the file's path.
    pub database: String,
}

/// A user of NATS.
#[derive(Clone, Serialize)]
pub struct DescribedUser {
    /// Its name.
    pub user: &'static str,
    /// Its password.
    pub password: String,
}

impl From<&Login> for DescribedUser {
    fn from(login: &Login) -> Self {
        Self { user: login.user, password: login.password.expose_secret().to_owned() }
    }
}

/// The ids of all processes.
#[derive(Debug, Clone, Serialize)]
pub struct Pids {
    /// The NATS server; of a cluster the first one.
    #[serde(rename = "nats-server")]
    pub nats_server: u32,
    /// All NATS servers, in the order of their URLs.
    #[serde(rename = "nats-servers")]
    pub nats_servers: Vec<u32>,
    /// The directory.
    pub directory: u32,
    /// Ingest.
    pub ingest: u32,
    /// The writers.
    pub writer: Vec<u32>,
    /// The PostgreSQL servers, in the order of the shards.
    pub postgres: Vec<u32>,
    /// The MariaDB servers, in the order of the shards.
    pub mysql: Vec<u32>,
}

impl From<&FleetShard> for DescribedShard {
    fn from(shard: &FleetShard) -> Self {
        let address = shard.address.clone();
        Self {
            name: shard.name.clone(),
            flavor: address.flavor,
            host: address.host,
            port: address.port,
            user: address.user,
            password: address.password.expose_secret().to_owned(),
            database: address.database,
        }
    }
}

/// A description on disk: there while the fleet is ready, removed when this is dropped.
#[derive(Debug)]
pub struct DescribeFile(PathBuf);

impl DescribeFile {
    /// Writes it in one step, readable for its owner alone: whoever sees the file sees all of it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(path: &Path, description: &Description) -> anyhow::Result<Self> {
        let path = std::path::absolute(path)?;
        let folder = path.parent().context("the file that describes the fleet has to have a name")?;
        let write = || -> anyhow::Result<()> {
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec_pretty(description)?)?;
            file.write_all(b"\n")?;
            file.persist(&path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for DescribeFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(path = ?self.0, %error, "not removed");
        }
    }
}
