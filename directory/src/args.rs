//! How a process that asks the directory is told where it is. The names are those of the original.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, ValueEnum};
use secrecy::SecretString;
use sluice_service::tokens::Token;
use sluice_shard::{CustomerColumn, Flavor};

/// By which way the directory is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Over NATS: whichever directory answers.
    Nats,
    /// Over HTTP, at the endpoint: a directory of Sluice, or any service that answers GET /write/ID with the original's six fields.
    #[value(alias = "http")]
    Api,
    /// There is no directory: one database for all customers.
    Standalone,
}

/// Where the directory is.
#[derive(Debug, Clone, Args)]
pub struct DirectoryArgs {
    /// How to ask the directory: over NATS, or over its HTTP API; or standalone: one database for all customers, and no directory.
    #[arg(long, env = "SHARDING_MODE", value_enum, default_value_t = Mode::Nats)]
    pub sharding_mode: Mode,
    /// The directory's HTTP API, such as http://127.0.0.1:7070; wanted for the mode api.
    #[arg(long, env = "SHARDING_API_ENDPOINT")]
    pub sharding_api_endpoint: Option<String>,
    /// Mode api: the file with the token that the directory wants of those who ask it. When the file changes, so does the token.
    #[arg(long, env = "SHARDING_TOKEN_FILE", value_name = "PATH")]
    pub sharding_token_file: Option<PathBuf>,
    /// Mode api: instead of the file, the token; better given by the environment than on a command line that others can list.
    #[arg(long, env = "SHARDING_TOKEN", hide_env_values = true, conflicts_with = "sharding_token_file")]
    pub sharding_token: Option<SecretString>,
    /// How long one question to the directory may take, in milliseconds. Too low: a busy directory's answers come too
    /// late. Too high: a directory that is gone is noticed late, and new customers wait that long.
    #[arg(long, env = "SHARDING_TIMEOUT_MS", default_value_t = 5_000)]
    pub sharding_timeout_ms: u64,
    /// What the column of person is called that says whose a row is, in every shard. The directory has to be told the same.
    #[arg(long, env = "SHARDING_IDENTIFIER_FIELD", default_value_t)]
    pub sharding_identifier_field: CustomerColumn,
    /// The one database, for the mode standalone.
    #[command(flatten)]
    pub standalone: StandaloneArgs,
}

/// The one database of the mode standalone.
#[derive(Debug, Clone, Args)]
pub struct StandaloneArgs {
    /// Mode standalone: the database's engine [default: postgres].
    #[arg(long, env = "SHARDING_FLAVOR")]
    pub sharding_flavor: Option<Flavor>,
    /// Mode standalone: host name or address, or the folder of a Unix socket. Not for SQLite.
    #[arg(long, env = "SHARDING_HOST")]
    pub sharding_host: Option<String>,
    /// Mode standalone: TCP port [default: the engine's usual one]. Not for SQLite.
    #[arg(long, env = "SHARDING_PORT")]
    pub sharding_port: Option<u16>,
    /// Mode standalone: database user. Not for SQLite.
    #[arg(long, env = "SHARDING_USER")]
    pub sharding_user: Option<String>,
    /// Mode standalone: the user's password; better given by the environment than on a command line that others can list.
    #[arg(long, env = "SHARDING_PASSWORD", hide_env_values = true)]
    pub sharding_password: Option<SecretString>,
    /// Mode standalone: instead of the password, the file that holds it. Read at each connect, so it may change.
    #[arg(long, env = "SHARDING_PASSWORD_FILE", conflicts_with = "sharding_password", value_name = "PATH")]
    pub sharding_password_file: Option<PathBuf>,
    /// Mode standalone: database name; for SQLite the file's absolute path.
    #[arg(long, env = "SHARDING_DATABASE")]
    pub sharding_database: Option<String>,
    /// Mode standalone: the name that the database bears as a shard. A directory that is to take it over later has to give it the same.
    #[arg(long, env = "SHARDING_SHARD", default_value = "main")]
    pub sharding_shard: String,
}

impl DirectoryArgs {
    /// How long one question may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.sharding_timeout_ms)
    }

    /// By what we prove who we are, over HTTP.
    ///
    /// # Errors
    /// Where that is no token.
    pub fn token(&self) -> anyhow::Result<Option<Token>> {
        let token = Token::either(self.sharding_token.as_ref(), self.sharding_token_file.as_deref());
        token.context("--sharding-token-file (SHARDING_TOKEN)")
    }
}
