//! The words of Sluice as types. No I/O.
//!
//! Everything that crosses a border (an HTTP path, a NATS subject, a database row) is parsed here once, and trusted
//! from then on. Read in this order:
//!
//! 1. [`customer`]: [`CustomerId`], the only thing a subject may be built from.
//! 2. [`partition`]: [`Partition`] and [`PartitionCount`]: which of the journal's streams a customer's events are in.
//! 3. [`position`]: [`Position`] of a message in the journal, [`Place`] with its stamp, and the [`EventId`] made from it: the row's `id`.
//! 4. [`person`]: [`Person`], the one table there is today; everything person-specific of this crate stands there.
//! 5. [`message`]: how events travel: one JSON object, or up to [`MAX_EVENTS`] of them one per line;
//!    [`indexes`]: some of a message's events.
//! 6. [`reason`]: why an event can never become a row.
//! 7. [`rows`]: [`Rows`], a compact list of rows on their way to a shard.
//! 8. [`pace`]: [`Pace`], when the next batch of whatever gathers may begin.

pub mod customer;
pub mod indexes;
pub mod message;
pub mod pace;
pub mod partition;
pub mod person;
pub mod position;
pub mod reason;
pub mod rows;

pub use customer::{CustomerId, InvalidCustomerId};
pub use indexes::{Indexes, InvalidIndexes};
pub use message::{MAX_EVENTS, MAX_EXPLAINED, MessageBuilder};
pub use pace::Pace;
pub use partition::{InvalidPartitionCount, Partition, PartitionCount};
pub use person::Person;
pub use position::{EventId, InvalidEventId, Place, Position};
pub use reason::{Reason, Refusal};
pub use rows::{Row, Rows};
