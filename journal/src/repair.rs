//! Mending a journal that lost its end, or was made anew; and going on where messages are gone.
//!
//! **What has happened.** A partition's stream ended at some position; shards have stored beyond where it ends now, because a server
//! acknowledged what its disk did not have, or an older copy of its disk was put back. Publishers went on since, so the positions
//! after the cut were *given again*, to other messages. A reader finds that by stamp ([`Journal::verify`]) and stops.
//!
//! **How it is mended.** Nothing is taken back, and no shard's position is touched: every lane goes on reading every message from
//! its stored position plus one.
//!
//! 1. The [record](RepairRecord) gets the intent: which shard had stored what (position and stamp), and where its history was *cut*.
//! 2. [*Fillers*](Journal::fill), messages without events, until the stream's last position is no less than any that a shard has
//!    stored. From now on no position of a stored row is given again.
//! 3. What was given again and belongs to a shard that will skip it (it has stored that position, with another message) is
//!    [*copied*](Turn::copy): stored again, behind all that. The copy bears the place and stamp of what it is a copy of.
//! 4. The record gets the end of the repair. Only now the listed pairs of position and stamp are accepted ([`Journal::verify`]).
//!
//! **A shard that is restored to an older copy of itself** comes by the originals again, and later by their copies. So everything
//! between the cut and what the shard had stored is [left out](LeftOut) wherever a listed shard reads, for as long as the journal
//! holds any of it ([`Journal::left_out`]). One that is restored to between the two is refused until a further repair
//! accepts what it has stored; that one finds the copies, and what was left out stays left out.
//!
//! A stream that holds nothing at all need not be filled: it [*jumps*](Gate::jump). Then the shards' positions have to follow, as
//! a lane refuses to begin before what the journal holds.
//!
//! **Killed anywhere, it is done again.** The record says what was begun. A filler more does no harm. A copy is made only where
//! none stands yet, and only while the one who looked still has the [turn](Journal::take_turn): the last filler of the partition is
//! then its own, and the server itself refuses a copy of anybody else. So two repairs at once, or one that slept, copy nothing twice.
//! Until 4. the partition stays refused, also for a listed shard that was restored to before the cut meanwhile: some of its
//! messages may have a copy, and some none. The next repair lists what the unfinished one did for such a shard, and completes it.
//!
//! **A journal that loses its end once more** no longer holds the end of the repair, and with that the repair is void: what it
//! accepted is refused again, a listed shard that has not gone beyond its end waits, and a new repair finds which of its copies are
//! left, and makes the others. Where a shard has stored only some of the copies that are lost now, nobody knows which: then nothing
//! is repaired, and that shard needs an older copy put back.
//!
//! **What it does not know:** a copy of a shard that is put back, after a repair, from a time between an earlier restore of that
//! shard and the repair, where the repair was made for a newer state of it. It would read originals in one life and copies
//! in the next. Do not go forward in a shard's copies again, once one has gone back.
//!
//! **What it rests on.** Stamps grow along a stream: the server that stores messages gives them its time. So what still is of the
//! history that a shard has read are the messages up to the stamp that the shard has stored ([`Journal::last_until`]). That holds if
//! the clock of whoever stores next is not behind by more than the journal was away, and if what was put back was a copy of
//! this very history. Where the message at a stored position is *older* than the one that was stored, one of the two does not hold:
//! then nothing is repaired.
//!
//! **Messages that are gone from the middle or the beginning** cannot be brought back. What is done
//! about them is in `accepted` ([`AcceptedLoss`]): a person accepts the loss, and the record of it
//! lets readers and lanes pass.

mod accepted;
mod copy;
mod cut;
mod filler;
mod hole;
mod jump;
mod ledger;
mod left_out;
mod record;
mod standing;

pub use accepted::{AcceptedLoss, Gone, NotAccepted};
pub use copy::{CopyError, Origin, Turn};
pub use filler::FILLER_BYTES;
pub use jump::{Gate, JumpError};
pub use ledger::RecordError;
pub use left_out::{LeftOut, Repairs, Unrepaired};
pub use record::{Finished, Lost, Repair, RepairRecord, Way};
pub use standing::Standing;

#[allow(unused_imports, reason = "for the links above")]
use crate::Journal;
