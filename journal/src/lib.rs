//! The journal: the durable, partitioned log that every event is stored in before anything else happens to it.
//!
//! It is one JetStream stream per partition, and this crate is the only one that spells a subject, a stream's name or a
//! header. It knows nothing of shards. Read in this order:
//!
//! 1. [`subject`]: the names: [`subject::Subject`] of an event, stream names, headers.
//! 2. [`settings`]: [`Settings`], the knobs of a journal that is made.
//! 3. [`stream`]: what a partition's stream has to look like; `compare`: how one that is there
//!    differs; `make`: how it is made; [`size`]: the room that takes.
//! 4. [`journal`]: [`Journal`], the opened log: its id, its partitions, their bounds; [`error`]: why there is none.
//! 5. `server`: the few things that are asked of a NATS server; debug builds have one in memory, for simulations. [`rights`]: what the server lets us do, asked before it is tried.
//! 6. [`probe`]: does the server's account mapping lead where it should? Shown without storing anything.
//! 7. [`publish`]: [`Publisher`], which stores events by group commit.
//! 8. [`fate`]: what became of a message, told to whoever asked.
//! 9. [`read`]: [`Reader`], which reads a partition from a position, without a gap or not at all; `lookup`: single messages.
//!    `message_id`: ids of messages that may be taken for another customer's.
//! 10. `leader`: whose answers are believed where a stream has several copies.
//! 11. [`dead`]: [`DeadLetters`], the events that can never become a row.
//! 12. [`trim`]: what has been trimmed, and how: the record that every trimmer and every registration goes by.
//! 13. [`members`]: the writers that are there, as they tell each other.
//! 14. [`repair`]: what is done about a journal that lost its end, or was made anew.
//! 15. [`watch`]: the streams' settings, looked at again and again while everything runs.

mod compare;
pub mod dead;
pub mod error;
pub mod fate;
pub mod journal;
mod leader;
mod lookup;
mod make;
pub mod members;
#[cfg(debug_assertions)]
pub mod memory;
mod message_id;
mod open;
pub mod probe;
pub mod publish;
pub mod read;
pub mod repair;
pub mod rights;
mod server;
pub mod settings;
pub mod size;
pub mod stream;
pub mod subject;
pub mod trim;
pub mod watch;

pub use dead::{DeadLetter, DeadLetters};
pub use error::{JournalError, OpenError};
pub use fate::{Fate, Watched};
pub use journal::{Bounds, Journal, Verified};
pub use members::{Heard, Members};
pub use publish::{Ask, PublishError, Publisher, Stored};
pub use read::{Message, ReadError, Reader};
pub use settings::Settings;
pub use trim::{Announced, TrimLedger, TrimRecord};
pub use watch::{Extent, Fault, JournalHealth};
