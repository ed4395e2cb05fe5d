//! The bad events of a message, as dead letters. Pure.

use bytes::Bytes;
use sluice_journal::{Message, dead::Grave};
use sluice_model::{CustomerId, Indexes, MAX_EXPLAINED, Refusal};

/// The most bad events of one message that have a dead letter each; more of them have one together. Lower: single events are not
/// replayed or dropped by themselves. Higher: one message costs the stream of dead letters so many messages, and this process the memory.
pub const EACH: usize = MAX_EXPLAINED;

/// Collects the events of one message that can never become a row, in the order of their indexes.
#[derive(Debug)]
pub struct BadEvents<'a> {
    message: &'a Message,
    customer: &'a CustomerId,
    events: Indexes,
    /// The first [`EACH`] of them.
    first: Vec<(&'a [u8], Refusal)>,
    last: &'a [u8],
}

impl<'a> BadEvents<'a> {
    /// Starts with none.
    pub fn new(message: &'a Message, customer: &'a CustomerId) -> Self {
        Self { message, customer, events: Indexes::default(), first: Vec::new(), last: &[] }
    }

    /// Adds the event at an index, whose bytes stand in the message.
    pub fn push(&mut self, index: usize, json: &'a [u8], refusal: Refusal) {
        self.events.push(index);
        if self.first.len() < EACH {
            self.first.push((json, refusal));
        }
        self.last = json;
    }

    /// Returns the dead letters: one for each event, or one for all of them. Their bytes are copied: a slice would keep alive whatever
    /// was received together with the message.
    pub fn into_letters(self) -> Vec<Grave> {
        let count = self.events.count();
        if count <= EACH {
            let each = self.events.iter().zip(self.first);
            return each
                .map(|(index, (json, refusal))| letter(self.message, self.customer, index, json, refusal))
                .collect();
        }
        let Some((json, mut refusal)) = self.first.into_iter().next() else { return Vec::new() };
        let index = self.events.first().unwrap_or_default();
        let others = count - 1;
        refusal.detail =
            format!("{} (event {index} of its message; {others} others of it are bad too)", refusal.detail);
        let lines = between(&self.message.payload, json, self.last);
        vec![Grave { events: self.events, ..letter(self.message, self.customer, index, lines, refusal) }]
    }
}

fn letter(message: &Message, customer: &CustomerId, index: usize, bytes: &[u8], refusal: Refusal) -> Grave {
    let stored = (message.subject.as_str(), message.stamp);
    let payload = Bytes::copy_from_slice(bytes);
    Grave::of_event(message.position, index, Some(customer.clone()), refusal, stored, payload)
}

/// Returns the part of a text from the beginning of one of its slices to the end of a later one.
fn between<'a>(text: &'a [u8], first: &[u8], last: &[u8]) -> &'a [u8] {
    let offset = |slice: &[u8]| slice.as_ptr().addr() - text.as_ptr().addr();
    &text[offset(first)..offset(last) + last.len()]
}

#[cfg(test)]
mod tests {
    use async_nats::Subject;
    use proptest::prelude::*;
    use sluice_model::{Partition, Position, message};

    use super::*;

    const GOOD: &str = r#"{"name":"a","address":"b"}"#;

    fn message_of(lines: &[&str]) -> Message {
        let payload = Bytes::from(lines.join("\n"));
        let subject = Subject::from("journal.0.person.create.42");
        Message { position: Position::first(Partition::new(0)), stamp: 7, subject, headers: None, payload, lost: false }
    }

    fn letters(message: &Message) -> Vec<Grave> {
        let customer = "42".parse().unwrap();
        let mut bad = BadEvents::new(message, &customer);
        for (index, event) in message::events(&message.payload, &customer).enumerate() {
            if let Err(refusal) = event.person {
                bad.push(index, event.json, refusal);
            }
        }
        bad.into_letters()
    }

    /// Lines of a message, many of them bad in several ways.
    fn lines() -> impl Strategy<Value = Vec<&'static str>> {
        let line = prop_oneof![Just(GOOD), Just("junk"), Just(""), Just(r#"{"name":"a"}"#)];
        // The message is trimmed: what stands at its ends is no empty line.
        prop::collection::vec(line, 0..80).prop_map(|mut lines| {
            lines.insert(0, "junk");
            lines.push("junk");
            lines
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn every_bad_event_has_one_letter_with_its_line_and_no_good_one_has(lines in lines()) {
            let letters = letters(&message_of(&lines));
            let bad: Vec<usize> = (0..lines.len()).filter(|index| lines[*index] != GOOD).collect();
            let found: Vec<usize> = letters.iter().flat_map(|letter| letter.events.iter()).collect();
            prop_assert_eq!(&found, &bad);
            prop_assert_eq!(letters.len(), if bad.len() > EACH { 1 } else { bad.len() });
            for letter in &letters {
                let text = std::str::from_utf8(&letter.payload).unwrap();
                let of_letter: Vec<&str> = text.split('\n').collect();
                for index in letter.events.iter() {
                    prop_assert_eq!(of_letter[index - letter.id.index()], lines[index]);
                }
            }
        }
    }

    #[test]
    fn a_message_of_bad_events_alone_is_kept_whole_once() {
        let message = message_of(&["x"; 1_024]);
        let letters = letters(&message);
        let [letter] = &letters[..] else { panic!("{} letters", letters.len()) };
        assert_eq!((letter.payload.clone(), letter.events.to_string()), (message.payload, "0-1023".to_owned()));
        assert!(letter.refusal.detail.ends_with("1023 others of it are bad too)"), "{}", letter.refusal.detail);
        assert_eq!((letter.id.index(), letter.stamp, letter.customer.is_some()), (0, 7, true));
        assert!(letter.bytes() < 2_048 + 1_024, "{} bytes", letter.bytes());
    }
}
