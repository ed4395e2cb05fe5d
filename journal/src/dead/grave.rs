//! A dead letter that is to be stored: of one event, or of many events of one message.

use async_nats::HeaderMap;
use bytes::Bytes;
use sluice_model::{CustomerId, EventId, Indexes, Position, Refusal};

use crate::subject::{DeadSubject, header};

/// Events of one message that are to be stored as one dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grave {
    /// The first of the events: its id is the letter's.
    pub id: EventId,
    /// All of the events, by their indexes.
    pub events: Indexes,
    /// Whose they are, where their subject says so.
    pub customer: Option<CustomerId>,
    /// Why the first of them can never become a row.
    pub refusal: Refusal,
    /// The subject of their message.
    pub subject: String,
    /// When their message was stored, in nanoseconds since 1970.
    pub stamp: i64,
    /// The event's bytes; of several events the lines of their message from the first of them to the last.
    pub payload: Bytes,
}

impl Grave {
    /// Returns the letter of the one event at an index of a message, which stands under that subject since `stamp`.
    pub fn of_event(
        position: Position,
        index: usize,
        customer: Option<CustomerId>,
        refusal: Refusal,
        (subject, stamp): (&str, i64),
        payload: Bytes,
    ) -> Self {
        let (id, events) = (position.event(index), [index].into_iter().collect());
        Self { id, events, customer, refusal, subject: subject.to_owned(), stamp, payload }
    }

    /// Returns the memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.payload.len() + self.subject.len() + self.refusal.detail.len() + self.events.bytes()
    }

    /// Returns the subject that it is stored under.
    pub(super) fn dead_subject(&self) -> String {
        DeadSubject { id: self.id, customer: self.customer.as_ref() }.to_string()
    }

    /// Returns the headers that it is stored with, where no more than `room` bytes of its payload fit beside them.
    pub(super) fn headers(&self, room: usize) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::REASON, self.refusal.reason.code());
        headers.insert(header::DETAIL, printable(&self.refusal.detail));
        headers.insert(header::POSITION, self.id.position().to_string());
        headers.insert(header::INDEX, self.id.index().to_string());
        headers.insert(header::SUBJECT, printable(&self.subject));
        headers.insert(header::STAMP, self.stamp.to_string());
        headers.insert(header::EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        if self.events.count() > 1 {
            headers.insert(header::EVENTS, self.events.to_string());
            headers.insert(header::EVENT_COUNT, self.events.count().to_string());
        }
        if self.payload.len() > room {
            headers.insert(header::WHOLE_BYTES, self.payload.len().to_string());
        }
        headers
    }

    /// Returns the letter itself, or the letters that its events are divided among, where its payload does not fit into so many
    /// bytes. One of a single event is never divided: what fits of it is kept.
    pub(super) fn fitting(self, room: usize) -> Vec<Self> {
        if self.payload.len() <= room || self.events.count() <= 1 {
            return vec![self];
        }
        let half = self.events.count() / 2;
        let (before, after) = (self.part(|place| place < half), self.part(|place| place >= half));
        let mut letters = before.fitting(room);
        letters.extend(after.fitting(room));
        letters
    }

    /// Returns a letter for each of its events.
    pub(super) fn each(&self) -> impl Iterator<Item = Self> + '_ {
        (0..self.events.count()).map(|wanted| self.part(move |place| place == wanted))
    }

    /// Returns a letter of those of its events whose places among them are wanted, at least one.
    fn part(&self, wanted: impl Fn(usize) -> bool) -> Self {
        let events = self.events.iter().enumerate().filter(|(place, _)| wanted(*place)).map(|(_, index)| index);
        let events: Indexes = events.collect();
        let (first, last) = (events.first().expect("at least one is wanted"), events.last().expect("as before"));
        let start = self.id.index();
        let payload = lines(&self.payload, first - start, last - start);
        Self { id: self.id.position().event(first), events, payload, ..self.clone() }
    }
}

/// Returns the lines of a text from the `first` to the `last`, counted from 0.
pub(super) fn lines(text: &Bytes, first: usize, last: usize) -> Bytes {
    let mut feeds = memchr::memchr_iter(b'\n', text);
    let start = if first == 0 { 0 } else { feeds.nth(first - 1).map_or(text.len(), |at| at + 1) };
    let end = feeds.nth(last - first).unwrap_or(text.len());
    text.slice(start..end)
}

/// Returns a text as a header may hold it: no control characters (CR and LF would end the header), and not without bounds.
fn printable(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sluice_model::{Partition, Reason};

    use super::*;

    /// A letter of these lines of a message, each of which says which it is.
    fn letter(events: &Indexes, length: usize) -> Grave {
        let (first, last) = (events.first().unwrap(), events.last().unwrap());
        let text: Vec<String> = (first..=last).map(|index| format!("{index}{}", "x".repeat(index % length))).collect();
        let refusal = Refusal::new(Reason::MalformedJson, "not JSON");
        let position = Position::first(Partition::new(0));
        let payload = Bytes::from(text.join("\n"));
        let whole = Grave::of_event(position, first, None, refusal, ("journal.0.person.create.a", 1), payload);
        Grave { events: events.clone(), ..whole }
    }

    fn line_says(letter: &Grave, index: usize) -> bool {
        let line = lines(&letter.payload, index - letter.id.index(), index - letter.id.index());
        let digits: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_digit).collect();
        String::from_utf8(digits).unwrap() == index.to_string()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn a_letter_that_does_not_fit_is_divided_and_every_event_stands_in_one_of_the_parts(
            events in prop::collection::btree_set(0usize..1_024, 1..60), length in 1usize..200, room in 1usize..8_000,
        ) {
            let events: Indexes = events.into_iter().collect();
            let parts = letter(&events, length).fitting(room);
            let mut found = Vec::new();
            for part in &parts {
                prop_assert_eq!(part.events.first(), Some(part.id.index()));
                prop_assert!(part.payload.len() <= room || part.events.count() == 1);
                prop_assert!(part.events.iter().all(|index| line_says(part, index)));
                found.extend(part.events.iter());
            }
            prop_assert!(found.into_iter().eq(events.iter()));
        }
    }

    #[test]
    fn each_event_of_a_letter_has_its_own_line_also_where_that_is_empty() {
        let mut whole = letter(&[4, 5, 7].into_iter().collect(), 1);
        whole.payload = Bytes::from_static(b"\nfive\ngood\n");
        let each: Vec<_> = whole.each().map(|one| (one.id.index(), one.events.count(), one.payload)).collect();
        let line = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(each, [(4, 1, line("")), (5, 1, line("five")), (7, 1, line(""))]);
    }

    #[test]
    fn headers_name_the_events_where_there_are_several_and_fit_into_their_room() {
        let few = letter(&[3].into_iter().collect(), 1).headers(usize::MAX);
        assert!(few.get(header::EVENTS).is_none() && few.get(header::WHOLE_BYTES).is_none());
        let mut many = letter(&(0..1_024).step_by(2).collect(), 1);
        many.refusal.detail = "\u{10ffff}".repeat(600);
        many.subject = "\u{10ffff}".repeat(600);
        let headers = many.headers(10);
        assert_eq!(headers.get(header::EVENT_COUNT).unwrap().as_str(), "512");
        assert_eq!(headers.get(header::WHOLE_BYTES).unwrap().as_str(), many.payload.len().to_string());
        let bytes: usize =
            headers.iter().map(|(name, values)| name.to_string().len() + values[0].as_str().len() + 4).sum();
        assert!(bytes < super::super::store::HEADER_ROOM_BYTES, "{bytes} bytes of headers");
    }
}
