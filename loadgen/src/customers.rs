//! Who the load is for.

use std::str::FromStr;

use sluice_model::CustomerId;

/// The most customers of a count.
const MAX: u32 = 1_000_000;

/// Customers from one word of the command line: a count, or a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customers(pub Vec<CustomerId>);

/// The word is neither; the message says what each looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidCustomers(String);

impl std::fmt::Display for InvalidCustomers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: a count from 1 to {MAX}, or a list such as 1,2,acme is wanted", self.0)
    }
}

impl std::error::Error for InvalidCustomers {}

impl FromStr for Customers {
    type Err = InvalidCustomers;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let name =
            |text: &str| text.parse::<CustomerId>().map_err(|error| InvalidCustomers(format!("{text:?} is {error}")));
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return word.split(',').map(|text| name(text.trim())).collect::<Result<_, _>>().map(Self);
        }
        let count = word.parse::<u32>().ok().filter(|count| (1..=MAX).contains(count));
        let count = count.ok_or_else(|| InvalidCustomers(format!("{word} is no such count")))?;
        (1..=count).map(|number| name(&number.to_string())).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_count_nor_list_is_refused() {
        for bad in ["", "0", "1000001", "99999999999", "1,,2", "1,", "a.b", "1,a b"] {
            assert!(bad.parse::<Customers>().is_err(), "{bad:?} was taken");
        }
        assert_eq!("acme".parse::<Customers>().unwrap().0.len(), 1);
        assert_eq!("1, 2".parse::<Customers>().unwrap().0.len(), 2);
        assert_eq!("1000".parse::<Customers>().unwrap().0.len(), 1_000);
    }
}
