//! The one table there is today. Everything of this crate that knows what a person looks like stands here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{CustomerId, Reason, Refusal};

/// A person to be created, borrowed from the message it was read from where that is possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person<'a> {
    /// Up to [`Person::NAME_MAX_BYTES`] bytes of UTF-8 without NUL.
    pub name: Cow<'a, str>,
    /// Up to [`Person::ADDRESS_MAX_BYTES`] bytes of UTF-8 without NUL.
    pub address: Cow<'a, str>,
}

/// An event as it travels: a person, and, where the sender likes, whose it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonEvent<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    address: Cow<'a, str>,
    #[serde(borrow, default)]
    customer_id: Option<Cow<'a, str>>,
}

impl<'a> Person<'a> {
    /// The table's name, in dead-letter subjects and in the shards.
    pub const TABLE: &'static str = "person";
    /// The most bytes of a name.
    pub const NAME_MAX_BYTES: usize = 1_024;
    /// The most bytes of an address.
    pub const ADDRESS_MAX_BYTES: usize = 4_096;

    /// Reads one event: a JSON object with `name`, `address` and, if at all, the very `customer_id` of its subject.
    ///
    /// # Errors
    /// A [`Refusal`] for everything that could not become a row, so that a shard is never asked to refuse it.
    pub fn decode(json: &'a [u8], customer: &CustomerId) -> Result<Self, Refusal> {
        // Checked once as a whole, which is quicker than string by string, and gives the same error for every place.
        let text = std::str::from_utf8(json).map_err(|e| Refusal::new(Reason::MalformedJson, e))?;
        let event: PersonEvent<'a> = serde_json::from_str(text).map_err(|e| match e.classify() {
            serde_json::error::Category::Data => Refusal::new(Reason::InvalidEvent, e),
            _ => Refusal::new(Reason::MalformedJson, e),
        })?;
        // serde would also read a struct from an array of its fields; an event is an object.
        if !text.trim_start().starts_with('{') {
            return Err(Refusal::new(Reason::InvalidEvent, "not a JSON object"));
        }
        if let Some(other) = event.customer_id.filter(|id| *id != customer.as_str()) {
            return Err(Refusal::new(
                Reason::CustomerMismatch,
                format!("/customer_id is {other:?}, the subject's customer is {customer}"),
            ));
        }
        let person = Self { name: event.name, address: event.address };
        person.check()?;
        Ok(person)
    }

    /// Says whether every shard engine can hold this person.
    ///
    /// # Errors
    /// Names the field that is too long or has a NUL (which PostgreSQL cannot store).
    pub fn check(&self) -> Result<(), Refusal> {
        let fields =
            [("/name", &self.name, Self::NAME_MAX_BYTES), ("/address", &self.address, Self::ADDRESS_MAX_BYTES)];
        for (pointer, value, max) in fields {
            if value.len() > max {
                let detail = format!("{pointer} has {} bytes, at most {max} are allowed", value.len());
                return Err(Refusal::new(Reason::TooLong, detail));
            }
            if value.as_bytes().contains(&0) {
                return Err(Refusal::new(Reason::NulCharacter, format!("{pointer} has a NUL character")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: &str) -> Result<Person<'_>, Reason> {
        Person::decode(json.as_bytes(), &"42".parse().unwrap()).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn a_person_is_borrowed_from_its_message() {
        let person = decode(r#"{"name":"Ada","address":"London","customer_id":"42"}"#).unwrap();
        assert!(matches!((&person.name, &person.address), (Cow::Borrowed("Ada"), Cow::Borrowed("London"))));
        assert_eq!(decode(r#"{"address":"a\nb","name":"\u00e9"}"#).unwrap().name, "é");
    }

    #[test]
    fn everything_that_no_shard_could_hold_is_refused_with_its_reason() {
        let long = format!(r#"{{"name":"{}","address":""}}"#, "x".repeat(1_025));
        let cases = [
            ("", Reason::MalformedJson),
            ("{", Reason::MalformedJson),
            (r#"{"name":"a","address":"b"} x"#, Reason::MalformedJson),
            (r#"{"name":"\ud800","address":"b"}"#, Reason::MalformedJson),
            (r#"{"name":"a"}"#, Reason::InvalidEvent),
            (r#"{"name":"a","address":"b","age":3}"#, Reason::InvalidEvent),
            (r#"{"name":"a","name":"a","address":"b"}"#, Reason::InvalidEvent),
            (r#"{"name":1,"address":"b"}"#, Reason::InvalidEvent),
            ("[]", Reason::InvalidEvent),
            (r#"["Ada","London",null]"#, Reason::InvalidEvent),
            (r#"{"name":"a","address":"b","customer_id":"43"}"#, Reason::CustomerMismatch),
            (r#"{"name":"a\u0000","address":"b"}"#, Reason::NulCharacter),
            (long.as_str(), Reason::TooLong),
        ];
        for (json, reason) in cases {
            assert_eq!(decode(json).unwrap_err(), reason, "{json}");
        }
        let not_utf8 = Person::decode(b"{\"name\":\"\xff\",\"address\":\"\"}", &"42".parse().unwrap());
        assert_eq!(not_utf8.unwrap_err().reason, Reason::MalformedJson);
    }
}
