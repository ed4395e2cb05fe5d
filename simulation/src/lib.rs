//! The writer in a simulated world, where one seed decides all that happens.
//!
//! The writer's own reader, router, lanes, group and trimmer run in one thread, against a journal, a directory and shards in
//! memory, while a paused clock goes on only when all of them wait. Every operation of the outside waits for its turn, which
//! the seed gives; so tasks interleave at each of their awaits, differently for each seed and always alike for one. Faults
//! come from the seed as well. What has to hold is checked at each commit of a shard. Read in this order:
//!
//! 1. [`plan`]: what a seed decides before anything begins.
//! 2. [`scheduler`]: who goes on next, and what becomes of it.
//! 3. [`world`]: server, directory, databases, and the processes that come and go.
//! 4. [`load`] and [`fault`]: what happens to them.
//! 5. [`oracle`]: what has to hold.
//! 6. [`run`]: one seed; [`search`]: many of them.
//!
//! The members in memory are those of debug builds only; a release of this crate holds nothing.
#![cfg(debug_assertions)]

pub mod chance;
pub mod fault;
pub mod history;
pub mod load;
pub mod oracle;
pub mod plan;
pub mod run;
pub mod scheduler;
pub mod search;
pub mod world;
