//! Load and proof: makes events as fast as it is allowed to, and checks afterwards that each became exactly one row.
//!
//! `loadgen run` offers load and measures how long acceptance and commits take; `loadgen compare` compares two such results; `loadgen verify` reads the journal and every shard
//! with a code path of its own and names each row that is missing, doubled or misplaced. Read in this order:
//!
//! 1. [`args`] and [`run_args`]: the command line; [`customers`]: who the load is for; [`phase`]: how fast and how long.
//! 2. [`people`]: random persons, the same again for the same seed; [`bad`]: events that can never become a row.
//! 3. [`plan`]: [`plan::Plan`], which events a run makes, cut into parcels; [`choice`]: whose they are; [`schedule`]: when
//!    each is meant to start.
//! 4. [`outcome`]: what may come of a parcel. [`via_http`] (with [`bulk`]) and [`via_nats`] (with [`commits`]): the two ways in.
//! 5. [`load`]: the open and the closed loop; [`metronome`]: the open loop's clock; [`tally`]: what came of it; [`live`]: the same while it runs; [`account`]: the
//!    same for each customer.
//! 6. [`run`]: a run from start to summary; [`summary`] (of a [`part`] for each phase): what it did; `told`: how that is told; [`compare`]: two of them.
//! 7. [`verify`]: the check. Its heart, [`verify::ledger::Ledger`], does no I/O.
//! 8. [`progress`]: how the commands say on standard error how far they are.

pub mod account;
pub mod args;
pub mod bad;
pub mod bulk;
pub mod choice;
pub mod commits;
pub mod compare;
mod connection;
pub mod customers;
pub mod live;
pub mod load;
pub mod metronome;
pub mod outcome;
pub mod part;
pub mod people;
pub mod phase;
pub mod plan;
pub mod progress;
pub mod run;
pub mod run_args;
#[cfg(test)]
mod run_nats_tests;
#[cfg(test)]
mod run_tests;
pub mod schedule;
pub mod summary;
pub mod tally;
mod told;
pub mod verify;
pub mod via_http;
pub mod via_nats;
