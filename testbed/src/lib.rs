//! A real fleet on this machine: nats-server, databases, and our services as processes of their own, on free ports and
//! with data folders of their own. Every end-to-end test starts one of these, and breaks it. So do `cargo demo` and
//! `cargo fleet`.
//!
//! Nothing is simulated, because everything that Sluice promises is about what real servers do when they die. All that
//! is started here is ended here, by its process id, also after a panic or ctrl-C. Read in this order:
//!
//! 1. [`fleet`]: [`Fleet`]: start everything in order, reach its parts, stop it.
//! 2. [`options`]: [`FleetOptions`]; `plan`: what of them a kept folder remembers; [`home`]: that folder.
//! 3. [`process`]: [`Process`]: kill, freeze, stop, start again; [`ready`]: when it does its work; [`log_file`].
//! 4. [`nats_program`] and [`nats_server`]; [`postgres`]; [`databases`]; [`binaries`] and `services`: what is started.
//! 5. [`admin`]: registers shards and places customers; [`describe`]: the fleet as JSON.
//! 6. [`loadgen`], [`rows`], [`wait`]: load, verify, look into a shard, wait for a condition; [`proxy`]: break a connection.
//! 7. [`ports`], [`progress`], [`tool`]: free ports, progress for people, programs that run to their end.

pub mod admin;
pub mod binaries;
pub mod databases;
pub mod describe;
pub mod fleet;
pub mod home;
pub mod loadgen;
pub mod log_file;
pub mod nats_program;
pub mod nats_server;
pub mod options;
mod plan;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod progress;
pub mod proxy;
pub mod ready;
pub mod rows;
mod services;
pub mod tool;
pub mod wait;

pub use databases::FleetShard;
pub use fleet::Fleet;
pub use options::{FleetOptions, Placement};
pub use process::Process;
pub use progress::Progress;
