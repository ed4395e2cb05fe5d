//! How a process that asks the directory is told where it is. The names are those of the original.

use std::time::Duration;

use clap::{Args, ValueEnum};

/// By which way the directory is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Over NATS: whichever directory answers.
    Nats,
    /// Over HTTP, at the endpoint.
    #[value(alias = "http")]
    Api,
}

/// Where the directory is.
#[derive(Debug, Clone, Args)]
pub struct DirectoryArgs {
    /// How to ask the directory: over NATS, or over its HTTP API.
    #[arg(long, env = "SHARDING_MODE", value_enum, default_value_t = Mode::Nats)]
    pub sharding_mode: Mode,
    /// The directory's HTTP API, such as http://127.0.0.1:7070; wanted for the mode api.
    #[arg(long, env = "SHARDING_API_ENDPOINT")]
    pub sharding_api_endpoint: Option<String>,
    /// How long one question to the directory may take, in milliseconds. Too low: a busy directory's answers come too
    /// late. Too high: a directory that is gone is noticed late, and new customers wait that long.
    #[arg(long, env = "SHARDING_TIMEOUT_MS", default_value_t = 5_000)]
    pub sharding_timeout_ms: u64,
}

impl DirectoryArgs {
    /// How long one question may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.sharding_timeout_ms)
    }
}
