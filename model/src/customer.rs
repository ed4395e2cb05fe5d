//! Who a row belongs to.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// A customer's name: `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`, compared as bytes.
///
/// The alphabet holds nothing that means something to NATS (`.`, `*`, `>`, white space, CR, LF), so a subject that is
/// built from a `CustomerId` is always one that the server reads as we do. Cloning is cheap (a shared pointer).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CustomerId(Arc<str>);

impl CustomerId {
    /// The most bytes a customer id may have.
    pub const MAX_BYTES: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether `text` is a customer id, without making one.
    pub fn check(text: &str) -> Result<(), InvalidCustomerId> {
        let invalid = |what| Err(InvalidCustomerId { what });
        match text.as_bytes() {
            [] => invalid("it is empty"),
            [first, ..] if !first.is_ascii_alphanumeric() => invalid("its first character is not a letter or digit"),
            bytes if bytes.len() > Self::MAX_BYTES => invalid("it is longer than 64 characters"),
            bytes if !bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) => {
                invalid("it has a character other than A-Z, a-z, 0-9, '_' and '-'")
            }
            _ => Ok(()),
        }
    }
}

/// The text is not a customer id; the message says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a customer id: {what}")]
pub struct InvalidCustomerId {
    what: &'static str,
}

impl FromStr for CustomerId {
    type Err = InvalidCustomerId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for CustomerId {
    type Error = InvalidCustomerId;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CustomerId> for String {
    fn from(id: CustomerId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl Borrow<str> for CustomerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_nats_or_a_shell_could_misread_is_refused() {
        let long = "a".repeat(65);
        for bad in ["", ".", "a.b", "a..b", "*", ">", "a b", "a\r\nb", "-a", "_a", "é", "a\0", long.as_str()] {
            assert!(bad.parse::<CustomerId>().is_err(), "{bad:?} was taken");
        }
        for good in ["1", "42", "A-b_c", "a".repeat(64).as_str()] {
            assert_eq!(good.parse::<CustomerId>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn json_cannot_bring_in_an_invalid_id() {
        assert!(serde_json::from_str::<CustomerId>("\"a.b\"").is_err());
        assert_eq!(serde_json::to_string(&"a1".parse::<CustomerId>().unwrap()).unwrap(), "\"a1\"");
    }

    proptest! {
        #[test]
        fn the_alphabet_is_exactly_the_documented_one(text in "\\PC{0,70}|[A-Za-z0-9_-]{0,70}") {
            let bytes = text.as_bytes();
            let allowed = (1..=64).contains(&bytes.len())
                && bytes[0].is_ascii_alphanumeric()
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-');
            prop_assert_eq!(text.parse::<CustomerId>().is_ok(), allowed);
        }
    }
}
