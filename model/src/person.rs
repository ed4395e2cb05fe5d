//! The one table there is today. Everything of this crate that knows what a person looks like stands here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;

use self::customer_text::CustomerText;
use crate::{CustomerId, Reason, Refusal};

mod customer_text;

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
    customer_id: Option<CustomerText<'a>>,
}

impl<'a> PersonEvent<'a> {
    fn read(json: &'a [u8]) -> Result<Self, Refusal> {
        // Checked once as a whole, which is quicker than string by string, and gives the same error for every place.
        let text = std::str::from_utf8(json).map_err(|e| not_utf8(json, &e))?;
        // serde would also read a struct from an array of its fields; an event is an object.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(no_object(text));
        }
        serde_json::from_str(text).map_err(|e| match e.classify() {
            serde_json::error::Category::Data => {
                let refusal = Refusal::new(Reason::InvalidEvent, e);
                offending(text).map_or(refusal.clone(), |pointer| refusal.at(pointer))
            }
            _ => malformed(text, &e),
        })
    }

    fn person(self) -> Result<Person<'a>, Refusal> {
        let person = Person { name: self.name, address: self.address };
        person.check()?;
        Ok(person)
    }
}

/// What is wrong with bytes that are not UTF-8: some tools write UTF-16, and say so by its first
/// two bytes.
fn not_utf8(json: &[u8], error: &std::str::Utf8Error) -> Refusal {
    let is_utf16 = json.starts_with(b"\xFF\xFE") || json.starts_with(b"\xFE\xFF");
    let hint = if is_utf16 { ": this is UTF-16; send UTF-8" } else { "" };
    Refusal::new(Reason::MalformedJson, format!("{error}{hint}"))
}

/// What is wrong with a text that does not begin with an object.
fn no_object(text: &str) -> Refusal {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) if is_array(text) => Refusal::new(Reason::InvalidEvent, ARRAY).at(""),
        Ok(_) => Refusal::new(Reason::InvalidEvent, "not a JSON object").at(""),
        Err(error) => malformed(text, &error),
    }
}

/// What is wrong with a text that is not JSON; two mistakes are common where many events are sent.
fn malformed(text: &str, error: &serde_json::Error) -> Refusal {
    if is_array(text) {
        Refusal::new(Reason::MalformedJson, format!("{error}: {ARRAY}"))
    } else if text.trim_ascii_end().ends_with("},") {
        let detail = format!("{error}: a comma follows the object; between lines of NDJSON there is none");
        Refusal::new(Reason::MalformedJson, detail)
    } else {
        Refusal::new(Reason::MalformedJson, error)
    }
}

const ARRAY: &str = "a JSON array is not taken; send one object on each line (NDJSON), without brackets and \
                     without commas between them";

fn is_array(text: &str) -> bool {
    text.trim_ascii_start().starts_with('[')
}

/// The first place at which JSON is not an event; `None` where a field is there twice.
fn offending(text: &str) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else { return Some(String::new()) };
    for required in ["name", "address"] {
        if !fields.get(required).is_some_and(Value::is_string) {
            return Some(format!("/{required}"));
        }
    }
    fields.into_iter().find_map(|(field, value)| match field.as_str() {
        "name" | "address" => None,
        "customer_id" if value.is_string() || value.is_null() || value.is_u64() => None,
        "customer_id" => Some("/customer_id".to_owned()),
        unknown => Some(format!("/{}", unknown.replace('~', "~0").replace('/', "~1"))),
    })
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
        let event = PersonEvent::read(json)?;
        if let Some(other) = event.customer_id.as_deref().filter(|id| *id != customer.as_str()) {
            let detail = format!("/customer_id is {other:?}, the subject's customer is {customer}");
            return Err(Refusal::new(Reason::CustomerMismatch, detail).at("/customer_id"));
        }
        event.person()
    }

    /// Reads one event as [`Person::decode`] does, and gives no reason where it cannot become a row: for one of many bad events.
    pub fn decode_unexplained(json: &'a [u8], customer: &CustomerId) -> Option<Self> {
        if !json.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        let event: PersonEvent<'_> = serde_json::from_str(std::str::from_utf8(json).ok()?).ok()?;
        let is_own = event.customer_id.as_deref().is_none_or(|id| id == customer.as_str());
        if is_own { event.person().ok() } else { None }
    }

    /// Reads one event that says itself whose it is, by its `customer_id`.
    ///
    /// # Errors
    /// As [`Person::decode`]; also where the customer is missing, or none.
    pub fn decode_with_customer(json: &'a [u8]) -> Result<(CustomerId, Self), Refusal> {
        let event = PersonEvent::read(json)?;
        let Some(customer) = event.customer_id.as_deref() else {
            return Err(Refusal::new(Reason::InvalidEvent, "missing field `customer_id`").at("/customer_id"));
        };
        let customer = customer.parse().map_err(|e| {
            Refusal::new(Reason::InvalidCustomer, format!("/customer_id: {customer:?} is {e}")).at("/customer_id")
        })?;
        Ok((customer, event.person()?))
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
                return Err(Refusal::new(Reason::TooLong, detail).at(pointer));
            }
            if memchr::memchr(0, value.as_bytes()).is_some() {
                let detail = format!("{pointer} has a NUL character");
                return Err(Refusal::new(Reason::NulCharacter, detail).at(pointer));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(json: &str) -> Result<Person<'_>, Reason> {
        Person::decode(json.as_bytes(), &"42".parse().unwrap()).map_err(|refusal| refusal.reason)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn an_event_is_taken_with_or_without_an_explanation(json in event_text(), other: Vec<u8>) {
            let customer = "42".parse().unwrap();
            for json in [json.as_bytes(), &other] {
                prop_assert_eq!(Person::decode_unexplained(json, &customer), Person::decode(json, &customer).ok());
            }
        }
    }

    /// Texts that are events, or nearly.
    fn event_text() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            4 => "[a-z\\\\u0é]{0,5}".prop_map(|text| format!("\"{text}\"")),
            1 => Just("null".to_owned()),
            1 => Just("7".to_owned()),
            1 => Just(format!("\"{}\"", "x".repeat(1_025))),
            1 => Just("\"\\u0000\"".to_owned()),
            1 => Just("\"42\"".to_owned()),
            1 => Just("42".to_owned()),
        ];
        let name = prop_oneof![3 => Just("name"), 3 => Just("address"), 1 => Just("customer_id"), 1 => Just("odd")];
        let fields = prop::collection::vec((name, value), 0..4);
        (fields, prop_oneof![8 => Just(("{", "}")), 1 => Just((" {", "} ")), 1 => Just(("[", "]"))]).prop_map(
            |(fields, ends)| {
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{}{}{}", ends.0, fields.join(","), ends.1)
            },
        )
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
        assert_eq!(
            Person::decode_with_customer(br#"{"name":"a","address":"b"}"#).unwrap_err().reason,
            Reason::InvalidEvent
        );
        let other = Person::decode_with_customer(br#"{"name":"a","address":"b","customer_id":"a.b"}"#);
        assert_eq!(other.unwrap_err().reason, Reason::InvalidCustomer);
        let not_utf8 = Person::decode(b"{\"name\":\"\xff\",\"address\":\"\"}", &"42".parse().unwrap());
        assert_eq!(not_utf8.unwrap_err().reason, Reason::MalformedJson);
        let utf16 = Person::decode(b"\xFF\xFE{\0}\0", &"42".parse().unwrap()).unwrap_err();
        assert!(utf16.detail.contains("send UTF-8"), "{utf16}");
    }

    #[test]
    fn an_event_may_say_itself_whose_it_is() {
        let json = br#"{"name":"Ada","address":"London","customer_id":"acme"}"#;
        let (customer, person) = Person::decode_with_customer(json).unwrap();
        assert_eq!((customer.as_str(), person.name.as_ref()), ("acme", "Ada"));
    }

    #[test]
    fn a_customer_may_be_a_plain_whole_number_and_stands_for_its_decimal_text() {
        let whose = |id: &str| {
            let json = format!(r#"{{"name":"a","address":"b","customer_id":{id}}}"#);
            let refusal = |refusal: Refusal| (refusal.reason, refusal.pointer);
            Person::decode_with_customer(json.as_bytes()).map(|(customer, _)| customer.to_string()).map_err(refusal)
        };
        for whole in ["0", "42", "9007199254740993", "18446744073709551615"] {
            assert_eq!(whose(whole).unwrap(), whole);
            assert_eq!(whose(&format!("\"{whole}\"")).unwrap(), whole);
        }
        let refused = Err((Reason::InvalidEvent, Some("/customer_id".to_owned())));
        for odd in ["-1", "-0", "1.0", "4.2", "1e3", "18446744073709551616", "true", "[42]", "{}"] {
            assert_eq!(whose(odd), refused, "{odd}");
        }
        assert!(decode(r#"{"name":"a","address":"b","customer_id":42}"#).is_ok());
        assert_eq!(decode(r#"{"name":"a","address":"b","customer_id":43}"#), Err(Reason::CustomerMismatch));
    }

    #[test]
    fn a_refusal_says_what_to_do_and_names_nothing_of_the_program() {
        let detail = |json: &str| Person::decode(json.as_bytes(), &"42".parse().unwrap()).unwrap_err().detail;
        let object = r#"{"name":"a","address":"b"}"#;
        for array in [format!("[{object},{object}]"), "[".to_owned(), format!("[{object},"), "[]".to_owned()] {
            assert!(detail(&array).contains("one object on each line"), "{array}: {}", detail(&array));
        }
        assert!(detail(&format!("{object},")).contains("comma"));
        for json in ["7", "\"a\"", "null", "[]", "{}", r#"{"name":1}"#, r#"{"name":"a","address":[]}"#, "", "x"] {
            let detail = detail(json);
            assert!(!["struct", "enum", "Person", "Cow"].iter().any(|word| detail.contains(word)), "{detail}");
        }
    }

    #[test]
    fn a_refusal_points_at_the_offending_place() {
        let pointer = |json: &str| Person::decode(json.as_bytes(), &"42".parse().unwrap()).unwrap_err().pointer;
        let long = format!(r#"{{"name":"a","address":"{}"}}"#, "x".repeat(4_097));
        for (json, place) in [
            (r#"{"name":"a"}"#, Some("/address")),
            (r#"{"name":1,"address":"b"}"#, Some("/name")),
            (r#"{"name":"a","address":"b","a/b~":3}"#, Some("/a~1b~0")),
            (r#"{"name":"a","address":"b","customer_id":4.2}"#, Some("/customer_id")),
            (r#"{"name":"a","address":"b","customer_id":"43"}"#, Some("/customer_id")),
            (r#"{"name":"a\u0000","address":"b"}"#, Some("/name")),
            ("[1]", Some("")),
            (&long, Some("/address")),
            (r#"{"name":"a","name":"a","address":"b"}"#, None),
            ("{", None),
        ] {
            assert_eq!(pointer(json).as_deref(), place, "{json}");
        }
    }
}
