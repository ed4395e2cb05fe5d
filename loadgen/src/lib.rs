//! Load and proof: makes events as fast as it is allowed to, and checks afterwards that each became exactly one row.
//!
//! `loadgen run` offers load and measures how long acceptance takes; `loadgen verify` reads the journal and every shard
//! with a code path of its own and names each row that is missing, doubled or misplaced. Read in this order:
//!
//! 1. [`args`]: the command line; [`customers`]: who the load is for.
//! 2. [`people`]: random persons, the same again for the same seed.
//! 3. [`plan`]: [`plan::Plan`], which events a run makes, cut into parcels.
//! 4. [`via_http`] and [`via_nats`]: the two ways in.
//! 5. [`load`]: the closed loop that keeps so many parcels in flight; [`tally`]: what came of them.
//! 6. [`run`]: a run from start to summary; [`summary`]: how it is told.
//! 7. [`verify`]: the check. Its heart, [`verify::ledger::Ledger`], does no I/O.
//! 8. [`progress`]: how both commands say on standard error how far they are.

pub mod args;
mod connection;
pub mod customers;
pub mod load;
pub mod people;
pub mod plan;
pub mod progress;
pub mod run;
pub mod summary;
pub mod tally;
pub mod verify;
pub mod via_http;
pub mod via_nats;
