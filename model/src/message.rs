//! How events travel: a message is one JSON object, or up to [`MAX_EVENTS`] of them, one per line (NDJSON).
//!
//! All events of a message belong to one customer, the one its subject names.

use std::{iter, ops::Range};

use memchr::memchr;

use crate::{CustomerId, Person, Reason, Refusal};

/// The most events of one message: an event id has ten bits for the index.
pub const MAX_EVENTS: usize = 1_024;
/// The most bad events of one message of which each is told why it is bad; the others are only known to be. Lower: the dead letters of a
/// message with a few of them say less. Higher: a message that is full of them takes longer to read, at the cost of everybody else.
pub const MAX_EXPLAINED: usize = 16;

/// What some editors put before a text that is UTF-8. It says nothing, and is taken off.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event of a message, as it stands there.
#[derive(Debug)]
pub struct Event<'a> {
    /// Its bytes; those of the whole message where that is unusable as a whole.
    pub json: &'a [u8],
    /// What they say.
    pub person: Result<Person<'a>, Refusal>,
}

/// Reads every event of a message, in order; the place in the iteration is the event's index.
///
/// One that cannot become a row is an error in its place and spoils none of the others. After [`MAX_EXPLAINED`] of them an error has the
/// reason of the last of these, and no detail. A message that is unusable as a
/// whole (empty, or of too many lines) is a single error, at index 0. A final line feed is allowed; a single object may
/// itself be spread over lines (as an editor writes it).
pub fn events<'a>(payload: &'a [u8], customer: &'a CustomerId) -> impl Iterator<Item = Event<'a>> {
    let payload = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload).trim_ascii();
    let (whole, lines) = match shape(payload) {
        Shape::Refused(refusal) => (Some(Event { json: payload, person: Err(refusal) }), None),
        Shape::Whole => (Some(Event { json: payload, person: Person::decode(payload, customer) }), None),
        Shape::Lines => (None, Some(lines(payload))),
    };
    let mut explained = (0, Reason::MalformedJson);
    let line = move |json: &'a [u8]| {
        let (bad, reason) = &mut explained;
        if *bad == MAX_EXPLAINED {
            let unexplained = || Refusal { reason: *reason, detail: String::new(), pointer: None };
            return Event { json, person: Person::decode_unexplained(json, customer).ok_or_else(unexplained) };
        }
        let person = Person::decode(json, customer);
        if let Err(refusal) = &person {
            (*bad, *reason) = (*bad + 1, refusal.reason);
        }
        Event { json, person }
    };
    whole.into_iter().chain(lines.into_iter().flatten().map(line))
}

/// What stands between line feeds; one empty line where there is nothing at all.
fn lines(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(payload);
    iter::from_fn(move || {
        let left = rest?;
        let end = memchr(b'\n', left);
        rest = end.map(|end| &left[end + 1..]);
        Some(&left[..end.unwrap_or(left.len())])
    })
}

/// [`events`] without their bytes.
pub fn decode<'a>(payload: &'a [u8], customer: &'a CustomerId) -> impl Iterator<Item = Result<Person<'a>, Refusal>> {
    events(payload, customer).map(|event| event.person)
}

enum Shape {
    Refused(Refusal),
    Whole,
    Lines,
}

fn shape(payload: &[u8]) -> Shape {
    if payload.is_empty() {
        return Shape::Refused(Refusal::new(Reason::EmptyMessage, "the message is empty"));
    }
    let Some(first_end) = memchr(b'\n', payload) else { return Shape::Whole };
    // A first line that breaks off in the middle of a value is the beginning of one object over many lines.
    let first = serde_json::from_slice::<serde::de::IgnoredAny>(&payload[..first_end]);
    if first.is_err_and(|e| e.is_eof()) && serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok() {
        return Shape::Whole;
    }
    let lines = 1 + payload.iter().filter(|byte| **byte == b'\n').count();
    if lines > MAX_EVENTS {
        let detail = format!("{lines} lines; a message holds at most {MAX_EVENTS} events");
        return Shape::Refused(Refusal::new(Reason::TooManyEvents, detail));
    }
    Shape::Lines
}

/// Packs events into one message.
#[derive(Debug, Default, Clone)]
pub struct MessageBuilder {
    payload: Vec<u8>,
    events: usize,
}

impl MessageBuilder {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// A message of one event.
    pub fn of(person: &Person<'_>) -> Self {
        let mut message = Self::new();
        message.push(person);
        message
    }

    /// Adds one event and gives its index in the message.
    ///
    /// # Panics
    /// Where the message already holds [`MAX_EVENTS`].
    pub fn push(&mut self, person: &Person<'_>) -> usize {
        self.separate();
        serde_json::to_writer(&mut self.payload, person).expect("strings are written to memory without fail");
        self.events += 1;
        self.events - 1
    }

    /// Adds all events of another message, and gives the index of its first one here.
    ///
    /// # Panics
    /// Where the two together hold more than [`MAX_EVENTS`].
    pub fn append(&mut self, other: &Self) -> usize {
        assert!(self.events + other.events <= MAX_EVENTS, "a message holds at most {MAX_EVENTS} events");
        if other.events > 0 {
            self.separate();
            self.payload.extend_from_slice(&other.payload);
        }
        let first = self.events;
        self.events += other.events;
        first
    }

    fn separate(&mut self) {
        assert!(self.events < MAX_EVENTS, "a message holds at most {MAX_EVENTS} events");
        if self.events > 0 {
            self.payload.push(b'\n');
        }
    }

    /// A message of so many events, from its bytes.
    ///
    /// # Panics
    /// Where the bytes hold another number of lines.
    pub fn from_payload(payload: Vec<u8>, events: usize) -> Self {
        let message = Self { payload, events };
        assert_eq!(message.sizes().count(), events, "each event is one line");
        message
    }

    /// How many bytes each of its events has, in order.
    pub fn sizes(&self) -> impl Iterator<Item = usize> {
        self.lines().map(<[u8]>::len)
    }

    /// The events with these indexes as a message of their own.
    pub fn part(&self, events: Range<usize>) -> Self {
        let count = events.len();
        let lines: Vec<&[u8]> = self.lines().skip(events.start).take(count).collect();
        Self { payload: lines.join(&b'\n'), events: lines.len() }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        // An empty message is no line; serde_json writes no line feed.
        self.payload.split(|byte| *byte == b'\n').take(self.events)
    }

    /// How many events it holds.
    pub fn events(&self) -> usize {
        self.events
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// The message's bytes.
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn customer() -> CustomerId {
        "42".parse().unwrap()
    }

    fn reasons(payload: &[u8]) -> Vec<Option<Reason>> {
        decode(payload, &customer()).map(|event| event.err().map(|refusal| refusal.reason)).collect()
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_back(people in prop::collection::vec(("[^\\x00]{0,20}", "[^\\x00]{0,20}"), 1..60)) {
            let mut message = MessageBuilder::new();
            for (index, (name, address)) in people.iter().enumerate() {
                let person = Person { name: name.into(), address: address.into() };
                prop_assert_eq!(message.push(&person), index);
            }
            let mut twice = MessageBuilder::new();
            twice.append(&message);
            prop_assert_eq!(twice.append(&message), people.len());
            let payload = twice.into_payload();
            let customer = customer();
            let read: Vec<_> = decode(&payload, &customer).map(|event| event.unwrap()).collect();
            prop_assert_eq!(read.len(), 2 * people.len());
            for (person, (name, address)) in read.iter().zip(people.iter().chain(&people)) {
                prop_assert_eq!((person.name.as_ref(), person.address.as_ref()), (name.as_str(), address.as_str()));
            }
        }

        #[test]
        fn no_bytes_at_all_make_the_decoder_fail_or_give_too_many_events(payload: Vec<u8>) {
            let events = decode(&payload, &customer()).count();
            prop_assert!((1..=MAX_EVENTS).contains(&events));
        }
    }

    #[test]
    fn a_bad_line_spoils_only_itself() {
        let payload = b"{\"name\":\"a\",\"address\":\"b\"}\nnonsense\n\n{\"name\":\"c\",\"address\":\"d\"}\n";
        let bad = Some(Reason::MalformedJson);
        assert_eq!(reasons(payload), [None, bad, bad, None]);
    }

    #[test]
    fn of_many_bad_events_the_first_are_explained_and_the_good_ones_among_them_are_read() {
        let good = r#"{"name":"a","address":"b"}"#;
        let payload = ["x", "{}", good].repeat(20).join("\n");
        let customer = customer();
        let (good, bad): (Vec<_>, Vec<_>) = decode(payload.as_bytes(), &customer).partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (20, 40));
        let details = bad.into_iter().filter(|event| event.as_ref().is_err_and(|refusal| !refusal.detail.is_empty()));
        assert_eq!(details.count(), MAX_EXPLAINED);
    }

    #[test]
    fn a_message_is_divided_between_any_two_events() {
        let mut message = MessageBuilder::new();
        assert_eq!(message.sizes().count(), 0);
        for name in ["a", "bb", "c\nc"] {
            message.push(&Person { name: name.into(), address: "".into() });
        }
        assert_eq!(message.sizes().sum::<usize>() + 2, message.bytes());
        for cut in 0..=3 {
            let (mut before, after) = (message.part(0..cut), message.part(cut..3));
            assert_eq!((before.events(), after.events()), (cut, 3 - cut));
            before.append(&after);
            assert_eq!(before.into_payload(), message.clone().into_payload());
        }
        let payload = message.clone().into_payload();
        assert_eq!(MessageBuilder::from_payload(payload, 3).sizes().count(), 3);
    }

    #[test]
    fn a_byte_order_mark_before_a_message_is_taken_off() {
        let marked = |text: &str| [BYTE_ORDER_MARK, text.as_bytes()].concat();
        let good = r#"{"name":"a","address":"b"}"#;
        assert_eq!(reasons(&marked(good)), [None]);
        assert_eq!(reasons(&marked(&format!("{good}\n{good}"))), [None, None]);
        assert_eq!(reasons(&marked("")), [Some(Reason::EmptyMessage)]);
        let within = [good.as_bytes(), b"\n", &marked(good)].concat();
        assert_eq!(reasons(&within), [None, Some(Reason::MalformedJson)]);
    }

    #[test]
    fn one_object_may_be_spread_over_lines() {
        assert_eq!(reasons(b"{\n  \"name\": \"a\",\n  \"address\": \"b\"\n}\n"), [None]);
        assert_eq!(reasons(b"{\n{\n"), [Some(Reason::MalformedJson); 2]);
    }

    #[test]
    fn an_unusable_message_is_one_refusal() {
        assert_eq!(reasons(b" \n "), [Some(Reason::EmptyMessage)]);
        assert_eq!(reasons("{}\n".repeat(1_025).as_bytes()), [Some(Reason::TooManyEvents)]);
        assert_eq!(reasons("{}\n".repeat(1_024).as_bytes()).len(), 1_024);
    }
}
