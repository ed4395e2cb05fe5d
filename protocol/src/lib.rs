//! Sluice's protocol as a model whose every state is searched.
//!
//! DESIGN.md promises that an accepted event becomes exactly one row on the right shard, whatever dies. Tests on real
//! processes sample what can go wrong; this crate looks at *all* of it, in instances small enough for that: a few messages,
//! two shards, two writers that both believe they own the partition. What goes wrong may go wrong at every step, any number
//! of times: a writer is killed, a connection or a commit's answer is lost, a commit comes long after its connection, a reader
//! loses patience with a lane, the trimmer reads one shard now and the other later. A shard is set back to an older copy,
//! that as often as [`Bounds`] says.
//!
//! The rooms, in the order of reading:
//!
//! - [`bounds`]: how large an instance is, and the wrong variants that the search has to find.
//! - `journal`: messages, routes, and a server that skips a trimmed prefix silently.
//! - `shard`: rows and stored positions, moved in one transaction; the older copy.
//! - `work`: what a lane has in hand, and the lane rule.
//! - `lane`: queue, connection, transaction; behind, catching up, joining.
//! - `writer`: where the live readers start, and how they feed the lanes.
//! - `trimmer`: reads the shards one after the other, then purges.
//! - [`world`]: all of these; worlds that differ in names only are one.
//! - [`step`]: what can happen, and when. [`model`]: what it does.
//! - [`invariants`]: what must never be seen, and what must be seen sometimes. `drain`: progress.
//!
//! What one step is: whatever nobody else can see a part of. A shard compares and commits at once (the row lock of the
//! compare holds until the commit); a lane that has asked its shard decides at once; a message is given to all lanes at once, as
//! lanes share nothing else. Reading, sending, committing and hearing of it are steps of their own.
//!
//! What is bounded: messages, shards, writers, partitions, set-backs, and late commits (one at a time per shard). Queues,
//! batches and stretches are not: any may hold all messages. No instance has everything at its largest: see
//! `tests/right.rs`. The checker knows a state by a hash of 64 bits; that two of some million share one has a chance of about
//! one in a million.
//!
//! What is not modelled: a journal that loses its tail or is made anew (`stamp`, journal id); dead letters and rows that a
//! database refuses; moves, and a directory that does not answer (a route is settled by the publish); several events in one
//! message; a retention wish (the trimmer goes as far as it may); identity of shards; time. A journal's only gap is a trimmed
//! prefix. A copy is taken at any time, but there is one per shard. A reader that finds a gap stops, and only a new start of its
//! process makes it read again.
//!
//! Two rules stand here because the search refused the protocol without them:
//!
//! - A lane that finds its next message gone asks its shard again, *after* the journal, before it stops: while it was slow,
//!   another writer may have stored the message and the trimmer removed it (`StopsUnasked`).
//! - A fed lane whose queue begins later than its shard ends goes behind at once, even if the queue is empty: after a
//!   set-back of an idle shard, or a connection lost while joining, nothing else would tell it until the next message
//!   (`WaitsForMore`).

pub mod bounds;
mod catch_up;
mod drain;
pub mod invariants;
mod journal;
mod lane;
pub mod model;
mod reader;
mod shard;
pub mod step;
mod trimmer;
mod work;
pub mod world;
mod writer;

pub use self::{
    bounds::{Bounds, Variant},
    model::Protocol,
};
