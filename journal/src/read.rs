//! Reading a partition from a position on.
//!
//! JetStream skips a hole or a trimmed prefix silently; whoever computes positions from what it delivers would lose
//! events so. A [`Reader`] therefore checks that the first message is exactly the one asked for and each next one is the
//! previous plus one, and ends with an error otherwise. A reader also ends whenever its consumer does. The next one can only be opened after a
//! [`Place`]: a position and the stamp that the message there has to bear, which is checked again each time.
//!
//! What is gone from the journal, and was accepted as lost ([`crate::repair`]), a reader gives as
//! messages without events.

use std::{task::Poll, time::Duration};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use sluice_model::{CustomerId, PartitionCount, Place, Position, Refusal};

use crate::{
    Journal, JournalError,
    error::BoxError,
    lookup,
    repair::{Gone, Unrepaired},
    server::{Raw, deliveries::Deliveries},
    subject::{customer_of, filler},
};

/// A chunk ends with the message that brings it to this size.
const CHUNK_BYTES: usize = 1 << 20;
/// How long to wait for messages that the journal is known to hold. Shorter: a busy server is asked
/// twice. Longer: whoever reads waits so long where a consumer gives nothing, although it answers.
const HELD_LIMIT: Duration = Duration::from_secs(10);
/// A message of the journal.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its place.
    pub position: Position,
    /// When it was stored: the server's clock, in nanoseconds since 1970.
    pub stamp: i64,
    /// What it was stored under.
    pub subject: Subject,
    /// Its headers.
    pub headers: Option<HeaderMap>,
    /// The events.
    pub payload: Bytes,
    /// Whether there is no such message any more, and somebody has accepted that. Its stamp is that
    /// of the accepted loss.
    pub lost: bool,
}

impl Message {
    /// Its position and stamp.
    pub fn place(&self) -> Place {
        Place { position: self.position, stamp: self.stamp }
    }

    /// The customer whose events these are, as text of the subject.
    ///
    /// # Errors
    /// A refusal of the whole message: see [`customer_of`].
    pub fn customer(&self, partitions: PartitionCount) -> Result<&str, Refusal> {
        customer_of(&self.subject, self.position.partition(), partitions)
    }

    /// [`Message::customer`] as a value of its own.
    ///
    /// # Errors
    /// A refusal of the whole message.
    pub fn event_of(&self, partitions: PartitionCount) -> Result<CustomerId, Refusal> {
        Ok(self.customer(partitions)?.parse().expect("a subject's customer was checked"))
    }

    /// Whether a repair put it here only to take up its position, or it is lost. It is nobody's,
    /// and no event. One on the same subject that holds something is not: somebody meant something
    /// by it.
    pub fn is_filler(&self) -> bool {
        self.lost || self.payload.is_empty() && *self.subject == *filler(self.position.partition())
    }
}

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The connection or the consumer is gone. Read on from the next position with a new reader.
    #[error("reading was interrupted")]
    Interrupted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The journal no longer holds the position.
    #[error(
        "the journal begins at {first:?} ({first}); {wanted:?} ({wanted}) is gone: put a newer copy of the shard back, or see what \
         `writer journal repair --accept-loss` would do"
    )]
    Trimmed {
        /// What was asked for.
        wanted: Position,
        /// The first that is there.
        first: Position,
    },
    /// The journal ends before the position: it lost its tail, or is another journal.
    #[error(
        "the journal ends at {last:?} ({last}); {wanted:?} ({wanted}) lies beyond its end: it lost its end, or is another one; \
         `writer journal show` names the shards, `writer journal repair` mends it"
    )]
    Beyond {
        /// What was asked for.
        wanted: Position,
        /// The last that was given.
        last: Position,
    },
    /// Another message stands where one was read before: the journal lost its tail and gave its positions again.
    #[error(
        "the message at {position:?} ({position}) was stored at {found} ns, the one that was read there at {wanted} ns: \
         the journal lost its end and gave positions twice; `writer journal show` names the shards, `writer journal repair` \
         mends it"
    )]
    Replaced {
        /// The position.
        position: Position,
        /// The stamp that it had.
        wanted: i64,
        /// The stamp that it has.
        found: i64,
    },
    /// Something other than the next position was delivered.
    #[error(
        "the journal has a gap: {wanted:?} ({wanted}) was due, {found:?} ({found}) came: the messages between have expired or were \
         removed; see what `writer journal repair --accept-loss` would do"
    )]
    Gap {
        /// What was due.
        wanted: Position,
        /// What came.
        found: Position,
    },
    /// The message that was read last is gone from the middle of the partition: nothing shows any
    /// more which history that was.
    #[error(
        "the message at {position:?} ({position}), which was read last, has expired or was removed; see what \
         `writer journal repair --accept-loss` would do"
    )]
    Gone {
        /// The position.
        position: Position,
    },
    /// A repair of the journal that concerns the shard has to be completed first.
    #[error("{why}")]
    Unrepaired {
        /// What the shard has stored.
        stored: Position,
        /// Why it may not read on from there.
        why: Unrepaired,
    },
}

impl ReadError {
    /// Whether opening another reader at the same position may help. Else the partition has to be looked at by somebody.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Interrupted(_))
    }

    pub(crate) fn interrupted(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Interrupted(source.into())
    }
}

/// Reads one partition's messages in order, without a gap. Nothing is acknowledged: the shards know how far they are.
pub struct Reader {
    journal: Journal,
    messages: Deliveries,
    /// The last message of a chunk that was given; at first what the reader was opened after.
    given: Place,
    /// The last message that was checked: beyond `given` within a chunk that is being made.
    last: Place,
    /// What came in the place of the next one. Why, is still to be found out, unless the next one
    /// is [passed](Self::passing).
    instead: Option<(Raw, u64)>,
    /// What was accepted as lost, and is passed.
    passing: Vec<Gone>,
    /// See [`Reader::more`].
    more: u64,
    /// Messages of the chunk given last.
    last_chunk: usize,
}

type Delivered = Result<(Raw, u64), BoxError>;

/// Opens a reader of what stands behind `after`.
///
/// The consumer comes first and the look at the stamp second: a server that loses the journal's end later loses
/// this consumer too, so no message of another history can come from it unnoticed.
pub(crate) async fn open(journal: &Journal, after: Place) -> Result<Reader, ReadError> {
    let from = after.position.next();
    let partition = from.partition();
    let bounds = journal.bounds(partition).await.map_err(ReadError::interrupted)?;
    let passing = journal.gone_until(from, bounds.first).await.map_err(ReadError::interrupted)?;
    let cut_off = is_cut_off(journal, after, bounds.first).await.map_err(ReadError::interrupted)?;
    let Some(passing) = passing.filter(|_| !cut_off) else {
        return Err(ReadError::Trimmed { wanted: from, first: bounds.first });
    };
    if from > bounds.last.next()
        && let Some(bounds) = lookup::end_before(journal, from.previous()).await.map_err(ReadError::interrupted)?
    {
        return Err(ReadError::Beyond { wanted: from, last: bounds.last });
    }
    let messages = Deliveries::open(journal, from.max(bounds.first)).await.map_err(ReadError::interrupted)?;
    journal.verify(after).await?;
    let journal = journal.clone();
    Ok(Reader { journal, messages, given: after, last: after, instead: None, passing, more: 0, last_chunk: 0 })
}

/// Whether a place was trimmed whose message should be there. The trimmer keeps the message at a
/// stored position, so a shard that stands before it was restored to an older state, and nothing
/// shows which history that is of. Where somebody has accepted that, it is not cut off.
pub(crate) async fn is_cut_off(journal: &Journal, after: Place, first: Position) -> Result<bool, JournalError> {
    if after.stamp == 0 || after.position >= first {
        return Ok(false);
    }
    let least = journal.least_stored(after.position.partition(), first).await?;
    Ok(after.position < least && !journal.is_vouched_for(after.position).await?)
}

impl Reader {
    /// The last message given, or what the reader was opened after: the place to open the next reader after. A chunk that
    /// ended in an error was not given.
    pub fn place(&self) -> Place {
        self.given
    }

    /// The position that the next chunk begins with.
    pub fn next_position(&self) -> Position {
        self.given.position.next()
    }

    /// How many messages the journal held beyond the last one given, when the server sent that.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// How many partitions the journal has.
    pub fn partitions(&self) -> PartitionCount {
        self.journal.partitions()
    }

    /// The next messages: waits for one, then takes what is there already, up to `max` messages or about 1 MiB.
    ///
    /// May be cancelled: it waits only before it has taken a message, or while it finds out why a wrong one came, which it
    /// then does again.
    ///
    /// # Errors
    /// See [`ReadError`]; the reader is of no more use then.
    pub async fn next_chunk(&mut self, max: usize) -> Result<Vec<Message>, ReadError> {
        // Under load one chunk is as long as the last: none grows by being copied.
        let mut chunk = Vec::with_capacity(self.last_chunk.min(max));
        let mut bytes = 0;
        while chunk.is_empty() || (chunk.len() < max && bytes < CHUNK_BYTES) {
            let message = match self.lost() {
                Some(lost) => lost,
                None => match self.next_message(chunk.is_empty()).await? {
                    Some(message) => message,
                    // Nothing is there yet, or something is still to be found out: what is there is
                    // given first.
                    None if !chunk.is_empty() => break,
                    None => continue,
                },
            };
            bytes += message.payload.len();
            chunk.push(message);
        }
        self.last_chunk = chunk.len();
        self.given = self.last;
        Ok(chunk)
    }

    /// [`Reader::next_chunk`] of messages that the journal is known to hold. Where they do not come
    /// soon, this consumer gives nothing any more, and another reader has to be opened.
    ///
    /// # Errors
    /// As [`Reader::next_chunk`]; a transient one where nothing comes.
    pub async fn next_held(&mut self, max: usize) -> Result<Vec<Message>, ReadError> {
        let after = self.given.position;
        let chunk = tokio::time::timeout(HELD_LIMIT, self.next_chunk(max)).await;
        let seconds = HELD_LIMIT.as_secs();
        let late = || {
            ReadError::interrupted(format!("nothing came behind {after:?} for {seconds} s, and the journal has more"))
        };
        chunk.unwrap_or_else(|_| Err(late()))
    }

    /// The next message. `None` where there is none yet and `waits` is false; or where it is lost,
    /// as [`Self::lost`] gives it now; or where another one came, and why is still to be found out:
    /// that waits.
    async fn next_message(&mut self, waits: bool) -> Result<Option<Message>, ReadError> {
        if let Some((raw, _)) = &self.instead {
            let found = position_of(raw)?;
            if found != self.last.position.next() {
                if waits {
                    let gone = self.missing(found).await?;
                    self.passing.push(gone);
                }
                return Ok(None);
            }
        }
        let Some(item) = self.delivered(waits).await else { return Ok(None) };
        let item = item.ok_or_else(|| ReadError::interrupted("the consumer is gone"))?;
        let (raw, more) = item.map_err(ReadError::interrupted)?;
        let position = position_of(&raw)?;
        if position != self.last.position.next() {
            // One lost on the way (the client pulls on after a lost connection) looks like one that
            // the journal lacks.
            self.instead = Some((raw, more));
            return Ok(None);
        }
        Ok(Some(self.take(raw, position, more)))
    }

    /// What was put aside, or what the consumer gives; `None` where that is nothing yet, and there
    /// is something to give already.
    async fn delivered(&mut self, waits: bool) -> Option<Option<Delivered>> {
        match self.instead.take() {
            Some(instead) => Some(Some(Ok(instead))),
            None if waits => Some(self.messages.next().await),
            None => match futures::poll!(std::pin::pin!(self.messages.next())) {
                Poll::Ready(item) => Some(item),
                Poll::Pending => None,
            },
        }
    }

    /// The next position, where that is lost, and accepted so.
    fn lost(&mut self) -> Option<Message> {
        let position = self.last.position.next();
        let stamp = self.passing.iter().find(|gone| gone.covers(position))?.stamp;
        self.last = Place { position, stamp };
        let subject = filler(position.partition()).into();
        Some(Message { position, stamp, subject, headers: None, payload: Bytes::new(), lost: true })
    }

    /// What the wanted position was accepted as, when another one came; else why that is.
    async fn missing(&self, found: Position) -> Result<Gone, ReadError> {
        let wanted = self.last.position.next();
        if found < wanted {
            return Err(ReadError::interrupted(format!("{found:?} came once more, {wanted:?} was due")));
        }
        let hole = lookup::hole(&self.journal, wanted).await.map_err(ReadError::interrupted)?;
        let lost = || ReadError::interrupted(format!("{wanted:?} was lost on its way, {found:?} came"));
        let bounds = hole.ok_or_else(lost)?;
        match self.journal.gone_at(wanted).await.map_err(ReadError::interrupted)? {
            Some(gone) if gone.through < found => Ok(gone),
            _ if wanted < bounds.first => Err(ReadError::Trimmed { wanted, first: bounds.first }),
            _ => Err(ReadError::Gap { wanted, found }),
        }
    }

    /// Takes a message that is the next one.
    fn take(&mut self, raw: Raw, position: Position, more: u64) -> Message {
        let Raw { subject, stamp, headers, payload, .. } = raw;
        (self.last, self.more) = (Place { position, stamp }, more);
        let headers = (!headers.is_empty()).then_some(headers);
        Message { position, stamp, subject, headers, payload, lost: false }
    }
}

fn position_of(raw: &Raw) -> Result<Position, ReadError> {
    let foreign = || ReadError::interrupted(format!("sequence {} is not one of a journal", raw.sequence));
    Position::new(raw.sequence).ok_or_else(foreign)
}
