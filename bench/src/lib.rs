//! How fast Sluice is, beside what the machine can do: `cargo bench-fleet`.
//!
//! A figure on a noisy machine says little by itself. So each is a ratio against a limit (reading and throwing away, `COPY` from memory,
//! a server that does nothing, a bare publisher) or a peer that is measured in the same round, on the same fleet; the middle round counts.
//! The services are those that a user gets from the README, with their defaults. Read in this order:
//!
//! 1. [`args`]: the command line; [`finding`]: what a scenario says; [`report`]: how that is shown.
//! 2. [`events`]: what is stored; [`cpu`]: processor time by process; [`stage`]: a fleet, filled and drained.
//! 3. The limits: [`publish`], [`read`], [`insert`], and [`nothing`], a server that does nothing; [`post`]: who posts to it and to ingest.
//! 4. The scenarios: [`drain`] (A, B, H), [`singles`] (C), [`uploads`] (D), [`latency`] (E), [`growth`] (F), [`dead_shard`] (G), [`sync`] (I).
//!
//! `benches/pure_parts.rs` measures single functions of the hot path by criterion.

pub mod args;
pub mod cpu;
pub mod dead_shard;
pub mod drain;
pub mod events;
pub mod finding;
pub mod growth;
pub mod insert;
pub mod latency;
pub mod nothing;
pub mod post;
pub mod publish;
pub mod read;
pub mod report;
pub mod singles;
pub mod stage;
pub mod sync;
pub mod uploads;
