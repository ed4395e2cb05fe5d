//! What the column of `person` is called that says whose a row is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of the customer's column: `[a-z_][a-z0-9_]{0,62}` (what every engine takes, quoted, and none folds to another case),
/// and none of the other columns' names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CustomerColumn(String);

impl CustomerColumn {
    /// The most bytes of a name: PostgreSQL cuts a longer one off.
    pub const MAX_BYTES: usize = 63;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sql` with the name, between these quotes, wherever it has `{customer}`.
    pub(crate) fn fill(&self, sql: &str, quote: char) -> String {
        sql.replace("{customer}", &format!("{quote}{self}{quote}"))
    }
}

impl Default for CustomerColumn {
    fn default() -> Self {
        Self("customer_id".into())
    }
}

impl fmt::Display for CustomerColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot name the customer's column; the message says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a name for the customer's column: {0}")]
pub struct InvalidCustomerColumn(&'static str);

impl FromStr for CustomerColumn {
    type Err = InvalidCustomerColumn;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |what| Err(InvalidCustomerColumn(what));
        match text.as_bytes() {
            [] => invalid("it is empty"),
            [b'0'..=b'9', ..] => invalid("its first character is a digit"),
            bytes if bytes.len() > Self::MAX_BYTES => invalid("it is longer than 63 characters"),
            bytes if !bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) => {
                invalid("it has a character other than a-z, 0-9 and '_'")
            }
            b"id" | b"name" | b"address" => invalid("another column has that name"),
            _ => Ok(Self(text.into())),
        }
    }
}

impl TryFrom<String> for CustomerColumn {
    type Error = InvalidCustomerColumn;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CustomerColumn> for String {
    fn from(column: CustomerColumn) -> Self {
        column.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_need_no_escape_and_no_other_columns_are_taken() {
        let long = "a".repeat(63);
        for name in ["customer_id", "tenant_id", "_", "order", "a1", &long] {
            assert_eq!(name.parse::<CustomerColumn>().unwrap().as_str(), name);
        }
        let longer = "a".repeat(64);
        for name in ["", "1a", "Tenant", "a b", "a\"b", "a`b", "ä", "a.b", "id", "name", "address", &longer] {
            assert!(name.parse::<CustomerColumn>().is_err(), "{name:?}");
        }
        assert_eq!(CustomerColumn::default().as_str().parse(), Ok(CustomerColumn::default()));
    }
}
