//! Storing dead letters: in windows, each in one atomic batch where the server takes that, else one by one.
//!
//! A window is limited in letters and bytes, and goes through a JetStream context of its own. So a flood of letters takes no place
//! among the publishes of others, and no more memory than a window. A letter whose acknowledgement is late is sent again alone.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use async_nats::{
    Client,
    jetstream::{
        self, Context,
        context::{ContextBuilder, PublishError, PublishErrorKind},
    },
};
use futures::future::join_all;
use sluice_failpoint::fail_point;

use super::{DeadLetter, DeadLetters, Grave, Kept, change::is_overtaken};
#[cfg(debug_assertions)]
use crate::server::StoreError;
use crate::{
    JournalError,
    server::{Raw, Server},
    subject::{DEAD_STREAM, header},
};

/// The most letters of a window. Lower: a journal full of bad events is passed slowly, as each window costs a sync of the server's
/// disk. Higher: a letter that is not acknowledged holds up more of the others. JetStream takes 1,000 in a batch.
pub const WINDOW_LETTERS: usize = 256;
/// The most bytes of a window's payloads, if it is more than one letter. Lower: more windows of large events. Higher: more memory here
/// and at the server.
pub const WINDOW_BYTES: usize = 4 << 20;
/// More than a letter's headers and subject take: two texts of 500 characters, the ranges of its events, and some numbers. Lower: a
/// letter is refused by the server for its size. Higher: less of a large event is kept.
pub(super) const HEADER_ROOM_BYTES: usize = 10 << 10;
/// How often in a row none of the letters sent may be acknowledged before storing fails. Each time takes as long as an acknowledgement
/// may take (5 s). Lower: a hiccup of the server makes the caller begin again. Higher: the caller hears late that nothing goes.
const FRUITLESS: u32 = 3;
/// How long after that the letters without acknowledgement are sent again. Lower: a server in trouble gets more to do. Higher: a lane
/// waits longer for one that was lost.
const AGAIN: Duration = Duration::from_millis(250);
/// How often it is said how far a long storing is. Lower: a long log. Higher: an operator sees nothing happen.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// So many letters of a storing are named in the log one by one. Lower: one has to look them up. Higher: a flood fills the log.
const NAMED: usize = 10;
/// JetStream's code for "atomic publish is disabled".
const NO_BATCHES: u64 = 10_174;

/// What letters are stored through.
#[derive(Debug)]
pub(crate) struct Sender {
    context: Context,
    /// Whether the stream takes atomic batches, as far as is known.
    batches: AtomicBool,
}

impl Sender {
    /// With a context of its own: what waits in it for an acknowledgement takes no place in the journal's.
    pub(crate) fn new(client: Client) -> Self {
        let context = ContextBuilder::new().max_ack_inflight(2 * WINDOW_LETTERS).build(client);
        Self { context, batches: AtomicBool::new(true) }
    }
}

impl DeadLetters {
    /// Stores these, each once. Returns when every one is acknowledged: only then may a position pass them. One that is stored already is
    /// not stored again, so the same letters may be given again after a crash.
    ///
    /// # Errors
    /// Where JetStream refuses one, or has acknowledged none for some time. Those before it are stored.
    pub async fn store(&self, letters: &[Grave]) -> Result<(), JournalError> {
        if let Some(why) = self.0.misconfigured_letters().filter(|_| !letters.is_empty()) {
            return Err(JournalError::new("store dead letters where they could be dropped", why));
        }
        let room = self.room();
        let too_large = letters.iter().any(|letter| letter.payload.len() > room);
        let divided: Vec<Grave>;
        let letters = if too_large {
            divided = letters.iter().flat_map(|letter| letter.clone().fitting(room)).collect();
            &divided
        } else {
            letters
        };
        let mut told = Instant::now();
        let mut rest = letters;
        while !rest.is_empty() {
            let window = &rest[..window(rest)];
            fail_point!("bury.before");
            self.store_window(window).await?;
            fail_point!("bury.after");
            rest = &rest[window.len()..];
            if told.elapsed() >= TELL_EVERY {
                tracing::info!(stored = letters.len() - rest.len(), of = letters.len(), "storing dead letters");
                told = Instant::now();
            }
        }
        note(letters);
        Ok(())
    }

    /// What of a payload the server takes next to the headers. Only a single event of another publisher can be larger than that, and none
    /// so large can become a row; its beginning is kept, and the whole stands in the journal for as long as that keeps it. Refusing it
    /// would hold up its partition for ever.
    fn room(&self) -> usize {
        self.0.max_payload().saturating_sub(HEADER_ROOM_BYTES)
    }

    async fn store_window(&self, window: &[Grave]) -> Result<(), JournalError> {
        if window.len() > 1
            && let Server::Nats { client, dead: Sender { context, batches }, .. } = self.0.server()
            && batches.load(Ordering::Relaxed)
        {
            match self.store_at_once(client, context, window).await {
                Ok(()) => return Ok(()),
                Err(error) if code_of(&error) == Some(NO_BATCHES) => {
                    tracing::warn!(
                        "the stream DEAD takes no atomic batches: each dead letter costs a sync of the disk"
                    );
                    batches.store(false, Ordering::Relaxed);
                }
                // One of them is stored already, or nobody knows: one by one it shows.
                Err(error) => tracing::debug!(%error, letters = window.len(), "no batch of dead letters"),
            }
        }
        self.store_each(window).await
    }

    /// Stores all of a window or nothing of it. Only the last message is acknowledged.
    async fn store_at_once(&self, client: &Client, context: &Context, window: &[Grave]) -> Result<(), PublishError> {
        let (batch, room) = (uuid::Uuid::new_v4().simple().to_string(), self.room());
        let Some((last, others)) = window.split_last() else { return Ok(()) };
        let message = |index: usize, letter: &Grave| {
            let mut headers = letter.headers(room);
            headers.insert(header::BATCH_ID, batch.as_str());
            headers.insert(header::BATCH_SEQUENCE, (index + 1).to_string());
            (letter.dead_subject(), headers, letter.payload.slice(..letter.payload.len().min(room)))
        };
        for (index, letter) in others.iter().enumerate() {
            let (subject, headers, payload) = message(index, letter);
            let sent = client.publish_with_headers(subject, headers, payload).await;
            sent.map_err(|error| PublishError::with_source(PublishErrorKind::Other, error))?;
        }
        let (subject, mut headers, payload) = message(others.len(), last);
        headers.insert(header::BATCH_COMMIT, "1");
        context.publish_with_headers(subject, headers, payload).await?.await.map(drop)
    }

    /// Stores each letter of a window by itself, and those again whose acknowledgement does not come.
    async fn store_each(&self, window: &[Grave]) -> Result<(), JournalError> {
        const OPERATION: &str = "store a dead letter";
        let mut left: Vec<&Grave> = window.iter().collect();
        let mut fruitless = 0;
        loop {
            let stored = join_all(left.iter().map(|letter| self.store_one(letter))).await;
            let sent = left.len();
            let mut failed = None;
            let mut late = Vec::new();
            for (letter, stored) in left.into_iter().zip(stored) {
                match stored {
                    Ok(()) => {}
                    Err(error) if may_come_yet(&error) => {
                        late.push(letter);
                        failed = Some(error);
                    }
                    Err(error) => return Err(JournalError::new(OPERATION, error)),
                }
            }
            let Some(error) = failed else { return Ok(()) };
            fruitless = if late.len() == sent { fruitless + 1 } else { 0 };
            if fruitless == FRUITLESS {
                return Err(JournalError::new(OPERATION, error));
            }
            tracing::warn!(%error, late = late.len(), of = window.len(), "dead letters are not acknowledged: sent again");
            left = late;
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn store_one(&self, letter: &Grave) -> Result<(), PublishError> {
        let room = self.room();
        if letter.payload.len() > room && letter.events.count() > 1 {
            // The server takes less than when the letters were made.
            return self.store_divided(letter, room).await;
        }
        match self.publish_one(letter, 0).await {
            Err(error) if is_overtaken(&error) => self.store_beside(letter).await,
            stored => stored,
        }
    }

    /// Stores a letter of several events as several letters. The first has its subject, and so
    /// finds out whether the whole was stored before: then the others are not wanted.
    async fn store_divided(&self, letter: &Grave, room: usize) -> Result<(), PublishError> {
        let parts = letter.clone().fitting(room);
        let Some((first, others)) = parts.split_first() else { return Ok(()) };
        match self.publish_one(first, 0).await {
            Err(error) if is_overtaken(&error) => {
                if self.is_stored_whole(letter).await? {
                    return Ok(());
                }
                self.store_beside(first).await?;
            }
            stored => stored?,
        }
        for other in others {
            match self.publish_one(other, 0).await {
                Err(error) if is_overtaken(&error) => self.store_beside(other).await?,
                stored => stored?,
            }
        }
        Ok(())
    }

    async fn is_stored_whole(&self, letter: &Grave) -> Result<bool, PublishError> {
        let unknown = |error| PublishError::with_source(PublishErrorKind::BrokenPipe, error);
        let there = self.0.last_message(DEAD_STREAM.to_owned(), &letter.dead_subject()).await.map_err(unknown)?;
        Ok(there.is_some_and(|there| is_of_the_same_message(letter, &there) && missing(letter, there).is_empty()))
    }

    /// There is a letter of that id: this message was read before. Where its letter was another one's work, which grouped the
    /// events in another way, those that it leaves out are stored by themselves. Where it is of a message that the journal has lost
    /// since, and that had the same position, the new letter takes its place.
    async fn store_beside(&self, letter: &Grave) -> Result<(), PublishError> {
        let unknown = |error| PublishError::with_source(PublishErrorKind::BrokenPipe, error);
        let there = self.0.last_message(DEAD_STREAM.to_owned(), &letter.dead_subject()).await.map_err(unknown)?;
        let Some(there) = there else { return Err(PublishErrorKind::WrongLastSequence.into()) };
        if !is_of_the_same_message(letter, &there) {
            tracing::warn!(
                event = %letter.id, lost = ?there.payload,
                "the journal has lost the message of a dead letter, and another one has its position: its letter takes that one's place"
            );
            return self.publish_one(letter, there.sequence).await;
        }
        for missing in missing(letter, there) {
            match self.publish_one(&missing, 0).await {
                Err(error) if !is_overtaken(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Stores a letter where the last message of its subject is the one with this sequence (0: there is none).
    async fn publish_one(&self, letter: &Grave, after: u64) -> Result<(), PublishError> {
        let room = self.room();
        let payload = letter.payload.slice(..letter.payload.len().min(room));
        let mut headers = letter.headers(room);
        headers.insert(header::EXPECTED_LAST_SUBJECT_SEQUENCE, after.to_string());
        match self.0.server() {
            Server::Nats { dead, .. } => {
                dead.context.publish_with_headers(letter.dead_subject(), headers, payload).await?.await.map(drop)
            }
            #[cfg(debug_assertions)]
            Server::Memory(_) => match self.0.store(letter.dead_subject(), headers, payload).await {
                Ok(_) => Ok(()),
                Err(StoreError::Overtaken) => Err(PublishErrorKind::WrongLastSequence.into()),
                Err(StoreError::Other(error)) => Err(PublishError::with_source(PublishErrorKind::BrokenPipe, error)),
            },
        }
    }
}

/// Whether a stored letter is of the very message that this one is of, and not of one that the
/// journal has lost.
fn is_of_the_same_message(letter: &Grave, there: &Raw) -> bool {
    let stamp = there.headers.get(header::STAMP).and_then(|stamp| stamp.as_str().parse::<i64>().ok()).unwrap_or(0);
    stamp == 0 || letter.stamp == 0 || stamp == letter.stamp
}

/// Returns the letters that have to be stored for those events that the stored letter of the same id leaves out.
fn missing(letter: &Grave, there: Raw) -> Vec<Grave> {
    if letter.events.count() == 1 {
        return Vec::new();
    }
    let Raw { subject, sequence, stamp, headers, payload } = there;
    let there = DeadLetter::read(Kept { subject: subject.to_string(), sequence, stamp, headers }, payload);
    let has = |index: usize| there.as_ref().is_some_and(|there| there.events.contains(index));
    letter.each().filter(|one| !has(one.id.index())).collect()
}

/// Returns how many of the letters, at least one, go into the next window.
fn window(letters: &[Grave]) -> usize {
    let mut bytes = 0;
    let fits = |letter: &&Grave| {
        bytes += letter.payload.len();
        bytes <= WINDOW_BYTES
    };
    letters.iter().take(WINDOW_LETTERS).take_while(fits).count().max(1)
}

/// Whether a letter that was not acknowledged may be stored the next time: nobody has refused it, or only for something that was
/// under way on its subject.
fn may_come_yet(error: &PublishError) -> bool {
    code_of(error).is_none() || is_overtaken(error)
}

/// JetStream's own code, where it has refused.
fn code_of(error: &PublishError) -> Option<u64> {
    let source = std::error::Error::source(error).and_then(|e| e.downcast_ref::<jetstream::Error>());
    source.map(|error| error.error_code().0)
}

/// Counts the letters, and names the first of them in the log.
fn note(letters: &[Grave]) {
    for letter in letters {
        let events = letter.events.count() as u64;
        metrics::counter!("sluice_dead_letters_total", "reason" => letter.refusal.reason.code()).increment(events);
    }
    for letter in letters.iter().take(NAMED) {
        tracing::warn!(event = %letter.id, events = letter.events.count(), reason = %letter.refusal.reason, "dead letter");
    }
    if letters.len() > NAMED {
        tracing::warn!(letters = letters.len() - NAMED, "and more dead letters");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sluice_model::{Partition, Position, Reason, Refusal};

    use super::*;

    fn letter(bytes: usize) -> Grave {
        let refusal = Refusal::new(Reason::MalformedJson, "not JSON");
        let payload = Bytes::from(vec![b'x'; bytes]);
        Grave::of_event(Position::first(Partition::new(0)), 0, None, refusal, ("journal.0.person.create.a", 1), payload)
    }

    #[test]
    fn a_window_is_limited_in_letters_and_in_bytes_and_takes_one_whatever_its_size() {
        assert_eq!(window(&vec![letter(10); 1_000]), WINDOW_LETTERS);
        assert_eq!(window(&vec![letter(WINDOW_BYTES / 4); 1_000]), 4);
        assert_eq!(window(&vec![letter(WINDOW_BYTES + 1); 3]), 1);
        assert_eq!(window(&[letter(WINDOW_BYTES), letter(1)]), 1);
    }
}
