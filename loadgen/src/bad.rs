//! Events that can never become a row, one kind after the other.

use sluice_model::Person;

/// What names of bad events begin with. No random person's does.
pub const PREFIX: &str = "bad-";

/// What is wrong with a bad event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// The object does not end.
    BrokenJson,
    /// No address.
    MissingField,
    /// A field that no person has.
    UnknownField,
    /// An address that is a number.
    WrongType,
    /// A name with a NUL character, as `\u0000`.
    Nul,
    /// A name one byte longer than may be.
    TooLong,
    /// A name with half of a surrogate pair, as `\ud800`.
    LoneSurrogate,
    /// It says that it is another customer's.
    OtherCustomer,
}

impl Bad {
    /// Every kind, in turn.
    pub const ALL: [Self; 8] = [
        Self::BrokenJson,
        Self::MissingField,
        Self::UnknownField,
        Self::WrongType,
        Self::Nul,
        Self::TooLong,
        Self::LoneSurrogate,
        Self::OtherCustomer,
    ];

    /// The kind of the n-th bad event.
    pub fn nth(n: u64) -> Self {
        let kinds = Self::ALL.len() as u64;
        Self::ALL[usize::try_from(n % kinds).expect("less than eight")]
    }

    /// The event of that number, in one line. Its name begins with `bad-<seed>-<number>`, so that a row of it could be told.
    /// `customer`: what `customer_id` says, where each line has to say it.
    pub fn event(self, seed: u64, number: u64, customer: Option<&str>) -> String {
        let name = format!("{PREFIX}{seed}-{number}");
        let owner = customer.map(|customer| format!(r#""customer_id":"{customer}","#)).unwrap_or_default();
        match self {
            Self::BrokenJson => format!(r#"{{{owner}"name":"{name}","address":"nowhere""#),
            Self::MissingField => format!(r#"{{{owner}"name":"{name}"}}"#),
            Self::UnknownField => format!(r#"{{{owner}"name":"{name}","address":"nowhere","shoe_size":43}}"#),
            Self::WrongType => format!(r#"{{{owner}"name":"{name}","address":7}}"#),
            Self::Nul => format!(r#"{{{owner}"name":"{name}\u0000","address":"nowhere"}}"#),
            Self::TooLong => {
                let long = format!("{name:x<width$}", width = Person::NAME_MAX_BYTES + 1);
                format!(r#"{{{owner}"name":"{long}","address":"nowhere"}}"#)
            }
            Self::LoneSurrogate => format!(r#"{{{owner}"name":"{name}\ud800","address":"nowhere"}}"#),
            // Where the line itself says whose it is, another customer's name would be as good: so it is no customer's.
            Self::OtherCustomer if customer.is_some() => {
                format!(r#"{{"customer_id":"no.customer","name":"{name}","address":"nowhere"}}"#)
            }
            Self::OtherCustomer => {
                format!(r#"{{"customer_id":"somebody-else-than-{seed}","name":"{name}","address":"nowhere"}}"#)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_model::Reason;

    use super::*;

    #[test]
    fn no_bad_event_can_become_a_row_and_each_kind_has_its_reason() {
        let customer = "42".parse().unwrap();
        let reasons: Vec<Reason> = (0..8)
            .map(|n| {
                let event = Bad::nth(n).event(7, n, None);
                assert!(event.contains(&format!("\"bad-7-{n}")) && !event.contains('\n'), "{event}");
                Person::decode(event.as_bytes(), &customer).unwrap_err().reason
            })
            .collect();
        let (json, event) = (Reason::MalformedJson, Reason::InvalidEvent);
        let rest = [Reason::NulCharacter, Reason::TooLong, json, Reason::CustomerMismatch];
        assert_eq!(reasons, [[json, event, event, event], rest].concat());
    }

    #[test]
    fn a_bad_line_that_has_to_say_whose_it_is_says_so_and_is_bad_all_the_same() {
        let customer = "42".parse().unwrap();
        for n in 0..8 {
            let event = Bad::nth(n).event(7, n, Some("42"));
            assert!(event.contains("customer_id"), "{event}");
            assert!(Person::decode(event.as_bytes(), &customer).is_err(), "{event}");
        }
    }
}
