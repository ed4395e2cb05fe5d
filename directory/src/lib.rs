//! The directory: which shards there are, and where each customer's rows belong, as a function of the position.
//!
//! One store with two faces, HTTP and NATS, that answer alike; and a client that every other part of Sluice uses.
//! What it answers about a position holds for ever: a route never changes for positions already passed, and a refusal
//! is written down before it is told. Read in this order:
//!
//! 1. [`api`]: the JSON that both faces speak, and which forms of a shard carry its password.
//! 2. [`client`]: [`Client`]: ask many questions in one request; [`transport`]: over NATS or HTTP; [`DirectoryArgs`].
//! 3. [`placement`]: where a customer goes: pure decisions.
//! 4. [`store`]: the meta database (SQLite or PostgreSQL), and the one transaction in which a batch is decided; [`seal`]: the
//!    passwords in it.
//! 5. [`registration`]: how a database becomes a shard; [`measure`]: how much each one holds.
//! 6. [`answer`]: [`Directory`]: every question of the API and its answer, whichever face it came through.
//! 7. [`http`], [`nats`]: the two faces; [`service`]: the whole life of the process; `ready`:
//!    whether it can answer.
//! 8. [`cli`], [`admin`]: the command line.

pub mod access;
pub mod admin;
pub mod answer;
pub mod api;
pub mod args;
pub mod cli;
pub mod client;
pub mod http;
pub mod measure;
pub mod nats;
pub mod placement;
mod ready;
pub mod registration;
pub mod seal;
pub mod service;
pub mod store;
pub mod transport;

pub use answer::Directory;
pub use api::{Pool, Route, RouteAnswer, ShardState};
pub use args::{DirectoryArgs, Mode, StandaloneArgs};
pub use client::{Client, ShardEntry};
pub use transport::DirectoryError;
