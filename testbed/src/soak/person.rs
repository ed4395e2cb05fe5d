//! The person of a numbered event: the same again whenever it is asked for, so that every column of
//! its row can be compared.

use sluice_model::Person;

/// Within the address of every row, and in nothing else that is said to a shard.
pub(super) const STREET: &str = "Some Street, Sometown";

/// Ends of names: characters that a statement, a line of JSON or a character set might spoil.
const ENDS: [&str; 6] = ["", " O'Hara", " \"Quoted\" \\ \\N", " Zoë Łukasz", " 名前 🦀", " tab\tand\nline"];
/// One address of so many is a long one.
const LONG_ONE_IN: usize = 500;
const LONG_BYTES: usize = 3_000;

/// The person of the event with that number.
pub(super) fn person(number: usize) -> Person<'static> {
    let end = ENDS[number % ENDS.len()];
    let long = if number.is_multiple_of(LONG_ONE_IN) { "x".repeat(LONG_BYTES) } else { String::new() };
    Person { name: format!("n{number}{end}").into(), address: format!("{number} {STREET}{end}{long}").into() }
}

/// The number of the event that a row of this name came from.
pub(super) fn number(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('n')?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// The customer with that number.
pub(super) fn customer(number: u32) -> String {
    format!("c{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_persons_number_is_found_in_its_name() {
        assert!((0..2_000).all(|n| number(&person(n).name) == Some(n)));
        assert_eq!((number("n"), number("7"), number("nobody")), (None, None, None));
    }
}
