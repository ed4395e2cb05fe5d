//! A dead letter as its stream holds it, and what has become of it.
//!
//! The last message of an event's dead subject is what counts. It is never removed, only followed by a newer one, so the
//! subject also remembers that its event was replayed or dropped: the event is not buried a second time.

use async_nats::{HeaderMap, header::HeaderValue};
use bytes::Bytes;
use sluice_model::{CustomerId, EventId, Indexes, Position};

use super::grave::lines;
use crate::subject::header;

/// A stored dead letter: of one event, or of several events of one message.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The event; of several the first.
    pub id: EventId,
    /// All of the events, by their indexes in their message.
    pub events: Indexes,
    /// Whose it is; `_` where nobody's.
    pub customer: String,
    /// The reason's code.
    pub reason: String,
    /// The reason for people.
    pub detail: String,
    /// The subject of its message.
    pub subject: String,
    /// When its message was stored, in nanoseconds since 1970; 0 where the letter does not say. See
    /// [`DeadLetter::time`].
    pub stamp: i64,
    /// The event's bytes; of several events the lines of their message from the first of them to the last. None once it was
    /// replayed or dropped.
    pub payload: Bytes,
    /// How many bytes the event had, where only the first of them were kept.
    pub whole_bytes: Option<u64>,
    /// What has become of it.
    pub state: State,
    /// Where it is kept in its stream: its subject, and the sequence that a change has to name.
    pub kept: Kept,
}

/// Where a dead letter is kept.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Its subject.
    pub subject: String,
    /// The sequence of the subject's last message.
    pub sequence: u64,
    /// When that message was stored, in nanoseconds since 1970; 0 where that is not known.
    pub stamp: i64,
    /// That message's headers.
    pub headers: HeaderMap,
}

/// What has become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Waiting,
    /// A replay was begun: it is in the journal at this position or later, or is not there (yet).
    Replaying {
        /// The first position that it could have got.
        from: Position,
    },
    /// It is an event again, under a new id.
    Replayed {
        /// That id.
        new: EventId,
    },
    /// Somebody decided that it is not wanted.
    Dropped,
}

impl State {
    /// Whether only the memory of the dead letter is left.
    pub fn is_tombstone(self) -> bool {
        matches!(self, Self::Replayed { .. } | Self::Dropped)
    }

    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).map(HeaderValue::as_str);
        let from = || text(header::REPLAY_FROM)?.parse().ok().and_then(Position::new);
        if let Some(new) = text(header::REPLAYED_AS).and_then(|id| id.parse().ok()) {
            Self::Replayed { new }
        } else if text(header::DROPPED).is_some() {
            Self::Dropped
        } else {
            from().map_or(Self::Waiting, |from| Self::Replaying { from })
        }
    }

    fn note(self, headers: &mut HeaderMap) {
        match self {
            Self::Waiting => {}
            Self::Replaying { from } => headers.insert(header::REPLAY_FROM, from.to_string()),
            Self::Replayed { new } => headers.insert(header::REPLAYED_AS, new.to_string()),
            Self::Dropped => headers.insert(header::DROPPED, "true"),
        }
    }
}

impl DeadLetter {
    /// Whose it is, if its subject named a customer.
    pub fn owner(&self) -> Option<CustomerId> {
        self.customer.parse().ok()
    }

    /// Returns when its message was stored, in nanoseconds since 1970. Older writers did not note
    /// that for a row that a database refused: for those it is when the letter was stored, while
    /// nothing has become of it. `None` where neither is known.
    pub fn time(&self) -> Option<i64> {
        let letters_own = if self.state == State::Waiting { self.kept.stamp } else { 0 };
        [self.stamp, letters_own].into_iter().find(|stamp| *stamp > 0)
    }

    /// Returns the ids of all its events.
    pub fn ids(&self) -> impl Iterator<Item = EventId> {
        self.events.iter().map(|index| self.id.position().event(index))
    }

    /// Returns its events as one message: each on a line of its own, without what stands between them.
    pub fn message(&self) -> Bytes {
        if self.events.count() == 1 {
            return self.payload.clone();
        }
        let mut message = Vec::with_capacity(self.payload.len());
        for index in self.events.iter() {
            let place = index - self.id.index();
            if place > 0 {
                message.push(b'\n');
            }
            message.extend_from_slice(&lines(&self.payload, place, place));
        }
        message.into()
    }

    /// Reads a message of the stream; `None` for what somebody else put there.
    pub(super) fn read(kept: Kept, payload: Bytes) -> Option<Self> {
        let mut tokens = kept.subject.split('.').skip(3);
        let (customer, id): (_, EventId) = (tokens.next()?.to_owned(), tokens.next()?.parse().ok()?);
        let text = |name: &str| kept.headers.get(name).map(HeaderValue::as_str).unwrap_or_default();
        let named = text(header::EVENTS).parse().ok().filter(|events: &Indexes| events.first() == Some(id.index()));
        Some(Self {
            id,
            events: named.unwrap_or_else(|| [id.index()].into_iter().collect()),
            customer,
            reason: text(header::REASON).to_owned(),
            detail: text(header::DETAIL).to_owned(),
            subject: text(header::SUBJECT).to_owned(),
            stamp: text(header::STAMP).parse().unwrap_or_default(),
            payload,
            whole_bytes: text(header::WHOLE_BYTES).parse().ok(),
            state: State::read(&kept.headers),
            kept,
        })
    }

    /// The headers of the message that follows this one when the letter's state changes.
    pub(super) fn headers_in(&self, state: State) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let states = [header::REPLAY_FROM, header::REPLAYED_AS, header::DROPPED];
        for (name, values) in self.kept.headers.iter() {
            let name: &str = name.as_ref();
            if let Some(value) = values.first().filter(|_| name.starts_with("Sluice-") && !states.contains(&name)) {
                headers.insert(name, value.as_str());
            }
        }
        state.note(&mut headers);
        headers
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::Partition;

    use super::*;

    fn kept(state: &[(&str, &str)]) -> Kept {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(header::REASON, "malformed_json"), (header::STAMP, "17"), (header::EXPECTED_LAST_SUBJECT_SEQUENCE, "0")]
        {
            headers.insert(name, value);
        }
        state.iter().for_each(|(name, value)| headers.insert(*name, *value));
        Kept { subject: "dead.0.person.42.1024".to_owned(), sequence: 5, stamp: 99, headers }
    }

    fn letter(state: &[(&str, &str)]) -> DeadLetter {
        DeadLetter::read(kept(state), Bytes::from_static(b"{")).unwrap()
    }

    #[test]
    fn each_state_is_read_back_from_the_headers_that_it_is_noted_in_and_nothing_of_the_letter_is_lost() {
        let first = letter(&[]);
        assert_eq!((first.state, first.stamp, first.owner()), (State::Waiting, 17, "42".parse().ok()));
        let from = Position::first(Partition::new(0));
        let (replaying, new) = (State::Replaying { from }, State::Replayed { new: from.event(0) });
        for state in [replaying, new, State::Dropped] {
            let headers = first.headers_in(state);
            assert_eq!(headers.get(header::REASON).unwrap().as_str(), "malformed_json");
            assert!(headers.get(header::EXPECTED_LAST_SUBJECT_SEQUENCE).is_none(), "each change names its own");
            let again = DeadLetter::read(Kept { headers, ..first.kept.clone() }, Bytes::new()).unwrap();
            assert_eq!((again.state, again.stamp), (state, 17));
            assert_eq!(State::read(&again.headers_in(State::Dropped)), State::Dropped, "an older state is left out");
        }
        assert!(new.is_tombstone() && State::Dropped.is_tombstone() && !replaying.is_tombstone());
    }

    #[test]
    fn a_letter_without_its_messages_time_has_its_own_until_it_is_changed() {
        assert_eq!(letter(&[]).time(), Some(17));
        let unknown = |state| letter(&[(header::STAMP, "0"), state]);
        assert_eq!(unknown((header::REASON, "refused_by_shard")).time(), Some(99));
        assert_eq!(unknown((header::DROPPED, "true")).time(), None);
    }

    #[test]
    fn a_letter_of_several_events_names_them_in_every_state_and_gives_only_their_lines_again() {
        let mut several = letter(&[(header::EVENTS, "0-1,3")]);
        several.payload = Bytes::from_static(b"zero\n\ngood\nthree");
        assert_eq!(several.ids().map(EventId::index).collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(several.message(), "zero\n\nthree");
        let headers = several.headers_in(State::Dropped);
        let tombstone = DeadLetter::read(Kept { headers, ..several.kept.clone() }, Bytes::new()).unwrap();
        assert_eq!((tombstone.events.to_string(), tombstone.state), ("0-1,3".to_owned(), State::Dropped));
        // What is no list of the letter's events says nothing.
        for odd in ["1-3", "x", ""] {
            assert_eq!(letter(&[(header::EVENTS, odd)]).events.to_string(), "0");
        }
        assert_eq!(letter(&[]).message(), "{");
    }

    #[test]
    fn what_is_no_dead_letter_is_left_out_and_nobodys_letter_has_no_owner() {
        let at = |subject: &str| DeadLetter::read(Kept { subject: subject.to_owned(), ..kept(&[]) }, Bytes::new());
        assert!(at("dead.0.person").is_none() && at("dead.0.person.42.x").is_none());
        assert_eq!(at("dead.0.person._.1024").unwrap().owner(), None);
    }
}
