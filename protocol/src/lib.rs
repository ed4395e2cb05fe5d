//! Sluice's protocol as a model whose every state is searched.
//!
//! DESIGN.md promises that an accepted event becomes exactly one row on the right shard, whatever
//! dies. Tests on real processes sample what can go wrong; this crate looks at *all* of it, in
//! instances small enough for that: a few messages, two shards, two writers that may both own the
//! partition. What goes wrong may go wrong at every step, any number of times: a writer is killed,
//! a connection or a commit's answer is lost, a commit comes long after its connection, a reader
//! loses patience with a lane, the group takes a partition from a writer and gives it back, the
//! trimmer reads one shard now and the other later. As often as [`Bounds`] says, a shard is set
//! back to an older copy, the journal loses its end and gives the same positions again, messages
//! expire, and somebody accepts what is lost so.
//!
//! The modules, in the order of reading:
//!
//! - [`bounds`]: how large an instance is, and the wrong variants that the search has to find.
//! - `journal`: messages, routes, stamps; a server that skips a trimmed prefix silently; the loss
//!   of the end.
//! - `shard`: rows and stored positions with their stamps, moved in one transaction; the older
//!   copy.
//! - `work`: what a lane has in hand, and the lane rule: what of it may this shard take?
//! - `lane`: queue, connection, transaction. `catch_up`: a lane that is behind reads for itself,
//!   and joins.
//! - `reader`, `writer`: the partitions that a writer owns, where their readers start, and how they
//!   feed the lanes.
//! - `trimmer`: reads the shards one after the other, then purges.
//! - [`world`]: all of these; worlds that differ in names only are one.
//! - [`step`]: what can happen. `schedule`: when. [`model`]: what it does.
//! - [`invariants`]: what must never be seen, and what must be seen sometimes. `drain`: progress.
//!
//! One step is everything of which nothing else can see a part. A shard compares and commits at
//! once (the row lock of the compare holds until the commit). A lane that has asked its shard
//! decides at once. A message is given to all lanes at once, as lanes share nothing else. A reader
//! or a lane opens and verifies at once: the writer makes the consumer first, and a loss of the
//! journal's end is taken to end every consumer. Reading, sending, committing and hearing of it are
//! steps of their own, and so are a reader's decision where to start and its start, where an
//! instance says so.
//!
//! An ownership epoch is one flag for each lane and partition here: what the lane knows is of an
//! epoch that has ended, and the lane has not noticed yet. It may still send and commit; its health
//! says nothing.
//!
//! What is bounded: messages, shards, writers, partitions, set-backs, losses (one for each
//! partition), messages that expire, and late commits (one at a time per shard). Queues, batches
//! and ranges are not: any may hold all messages. No instance has everything at its largest: see
//! `tests/right.rs`, which prints how many states each has: 17.6 million in all. The checker knows
//! a state by a hash of 64 bits; that two of some million share one has a chance of about one in a
//! million.
//!
//! What is not modelled: the repair of a journal that lost its end (so a shard that has stored what
//! it lost stays refused), and a journal that is made anew (journal id); a loss that is accepted in
//! a journal that has also lost its end; a shard that is registered after a loss was accepted; dead
//! letters and rows that a database refuses; moves, and a directory that does not answer (the
//! publish settles a route); several events in one message; a retention wish (the trimmer goes as
//! far as it may); a loss between the trimmer's look at the stamps and its purge; identity of
//! shards; time. The journal's gaps are a trimmed prefix, a lost end, and messages that expired. A
//! copy is taken at any time, but there is one per shard. A partition is released at once when it
//! is refused, and may be taken again at once.
//!
//! Whoever accepts a loss touches no shard: the record says what each shard lacked, as it was read,
//! and the lanes pass exactly that, in the transactions that they make anyway. The wrong variants
//! are what that rules out: to pass for every shard what one lacked (`PassesForAll`: a shard that
//! is set back to before the loss would leave out what it had stored), to pass what the journal
//! still has (`AcceptsHeld`, `AcceptsBeyond`), and to move the shards by hand (`MovesUncompared`).
//!
//! Four rules stand here because the search refused the protocol without them:
//!
//! - A lane that finds its next message gone asks its shard again, *after* the journal, before it
//!   stops: while it was slow, another writer may have stored the message and the trimmer removed
//!   it (`StopsUnasked`).
//! - A fed lane whose queue begins later than its shard ends goes behind at once, even if the queue
//!   is empty: after a set-back of an idle shard, nothing else would tell it until the next message
//!   (`WaitsForMore`).
//! - Nothing is read on behind a place whose message is trimmed, even where the next message is
//!   there: its stamp cannot be compared any more. A shard that was never set back is never there,
//!   as the trimmer keeps the message *at* a stored position (`TrustsTrimmed`).
//! - A stamp that is not known fits no stored stamp. A reader that carries no lane opens at the
//!   journal's first message, and what it gives does not fit a shard that has stored something just
//!   before that (`UnknownFitsAll`).
//!
//! Some points of the design are a second line of defence. The tests show where each matters, and,
//! by a search that finds nothing, where it does not:
//!
//! - Work that is kept while its partition is refused, and health of an ended epoch, lose something
//!   only where work carries no stamps (`KeepsWorkOverRefusal`, `TrustsStaleHealth`).
//! - The compare needs the stamp only where a shard is set back under a transaction that is already
//!   prepared (`ComparesNoStamp`).

pub mod bounds;
mod catch_up;
mod drain;
pub mod invariants;
mod journal;
mod lane;
pub mod model;
mod reader;
mod schedule;
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
