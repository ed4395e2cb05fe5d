//! One shard database: rows and, beside them, how far it has read each partition of the journal.
//!
//! Both move in one transaction. That is all of Sluice's exactly-once: a shard that crashed, or came back from an
//! older copy, says itself where to read on. Read in this order:
//!
//! 1. [`address`]: [`ShardAddress`]: engine, place and credentials (never printed).
//! 2. [`batch`]: [`Batch`]: the rows and the [`Advance`]s that one transaction stores.
//! 3. [`error`]: [`ShardError`] and its [`Class`]: what a lane does about it.
//! 4. [`shard`]: [`Shard`]: register, connect, append, read back; [`limits`]: [`Limits`], how long that may take.
//! 5. `append`: the lane's transaction, once for all engines; `lane_rule` and `bisection` are its
//!    pure parts; `trial` tells a wrong table from wrong rows. `registration` and `schema` are what
//!    makes a database a shard; `rebinding` gives one over to another journal. `customers` lists
//!    whose rows a shard holds. [`session`]: whether what was asked of a connection is in force.
//! 6. `engine`: the closed set of engines; `postgres`, `mysql`, `sqlite`: all SQL of one engine. Another engine is another such
//!    file, a variant there, and one in [`Flavor`]. [`copy_format`]: rows as PostgreSQL takes them. Debug
//!    builds have one more engine, in memory, for simulations.
//!
//! `tests/conformance.rs` is one suite that every engine runs.

pub mod address;
mod append;
pub mod batch;
mod bisection;
mod chunks;
pub mod copy_format;
mod customer_column;
mod customers;
mod engine;
pub mod error;
mod fault;
mod lane_rule;
pub mod limits;
#[cfg(debug_assertions)]
pub mod memory;
mod mysql;
mod postgres;
mod rebinding;
mod registration;
mod schema;
pub mod session;
pub mod shard;
mod sqlite;
mod trial;

pub use address::{Flavor, ShardAddress};
pub use batch::{Advance, Appended, Batch, RefusedRow, StoredPosition};
pub use customer_column::{CustomerColumn, InvalidCustomerColumn};
pub use error::{Class, Operation, ShardError};
pub use limits::Limits;
pub use postgres::set_up as set_up_postgres_session;
pub use shard::{Counts, Identity, Shard, Size, StoredRow, journal_of, rebind, register};
pub use trial::LastStored;
