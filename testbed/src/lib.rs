//! A real fleet on this machine: nats-server, databases, and our services as processes of their own, on free ports and
//! with data folders of their own. Every end-to-end test starts one of these, and breaks it. So do `cargo demo` and
//! `cargo fleet`.
//!
//! Nothing is simulated, because everything that Sluice promises is about what real servers do when they die. All that
//! is started here is ended here, by its process id, also after a panic or ctrl-C. Read in this order:
//!
//! 1. [`fleet`]: [`Fleet`]: start everything in order, reach its parts, stop it.
//! 2. [`options`]: [`FleetOptions`]; [`shards`]: of which engines; `plan`: what of them a kept folder remembers; [`home`]: that folder.
//! 3. [`process`]: [`Process`]: kill, freeze, stop, start again; [`ready`]: when it does its work; [`log_file`].
//! 4. [`nats_program`], [`nats_server`], [`nats_users`] and [`nats_cluster`]; [`tokens`]; [`postgres`], [`mariadb`] and [`server`]; [`databases`]; [`binaries`] and `services`: what is started.
//! 5. [`further`]: processes beside those; [`admin`]: registers shards and places customers; [`describe`]: the fleet as JSON.
//! 6. [`loadgen`], [`rows`], [`wait`]: load, verify, look into a shard, wait for a condition; [`proxy`]: break a connection.
//!    [`traffic`]: load at a fixed rate; [`arrivals`]: when its rows come; [`lanes`], [`memory`]: what a writer says and takes.
//! 7. [`soak`]: faults at random, and an account of every event; [`set_back`]: a shard goes back in time;
//!    [`lock`]: somebody else holds a lock; [`read_only`]: a shard refuses to be written.
//! 8. [`outage`]: what one shard's outage does, in figures; [`lookups`]: what finding a customer's shard costs.
//! 9. [`ports`], [`progress`], [`tool`]: free ports, progress for people, programs that run to their end.

pub mod admin;
pub mod arrivals;
pub mod binaries;
pub mod databases;
pub mod describe;
pub mod fleet;
pub mod further;
pub mod home;
pub mod lanes;
pub mod loadgen;
pub mod lock;
pub mod log_file;
pub mod lookups;
pub mod mariadb;
pub mod memory;
pub mod nats_cluster;
pub mod nats_program;
pub mod nats_server;
pub mod nats_users;
pub mod options;
pub mod outage;
mod plan;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod progress;
pub mod proxy;
pub mod read_only;
pub mod ready;
pub mod rows;
pub mod server;
mod services;
pub mod set_back;
pub mod shards;
pub mod soak;
pub mod tokens;
pub mod tool;
pub mod traffic;
pub mod wait;

pub use databases::FleetShard;
pub use fleet::Fleet;
pub use nats_users::{Login, NatsUser};
pub use options::{FleetOptions, Placement};
pub use process::Process;
pub use progress::Progress;
pub use server::DatabaseServer;
pub use shards::Shards;
