//! Whether a session of a database is as it was asked to be.
//!
//! A connection pooler may drop what a client asks for when it connects, and one that pools by
//! transaction or by statement gives each transaction another session of the server. So every
//! setting that lanes rely on is set by a statement, and read back by a later one. A session also
//! bears a random mark: where that is another one, or none, it is not the session that was set up.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
};

use crate::{Class, fault::Fault};

/// Why a session of a database will not do.
#[derive(Debug, thiserror::Error)]
pub enum UnfitSession {
    /// A setting was set, and has another value afterwards.
    #[error(
        "the setting {name} is {found:?} although it was set to {wanted:?}: the server, or a connection pooler before \
         it, does not let this session have it. Let a pooler pool by session, or name the server itself"
    )]
    NotInForce {
        /// The setting's own name.
        name: String,
        /// The value that it was set to.
        wanted: String,
        /// The value that was read back; empty where the server does not show the setting.
        found: String,
    },
    /// The server's session is, or was, also another client's.
    #[error(
        "the server's session is shared with other clients: a connection pooler before it pools by transaction or by \
         statement, or does not reset sessions. Let it pool by session (PgBouncer: pool_mode = session, \
         server_reset_query = DISCARD ALL), or name the server itself"
    )]
    Shared(#[source] Option<sqlx::Error>),
    /// The database's encoding does not hold every text.
    #[error(
        "the database is encoded as {0}, which does not hold every text. Make one with ENCODING 'UTF8' TEMPLATE \
         template0, move the rows there, and name that one"
    )]
    Encoding(String),
    /// The database or its driver failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<UnfitSession> for Fault {
    fn from(unfit: UnfitSession) -> Self {
        match unfit {
            UnfitSession::Database(error) => error.into(),
            other => Self::new(Class::Configuration, other),
        }
    }
}

/// A setting of a session, and the value that it has to have.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name, as the server lists it.
    pub name: &'static str,
    /// The value, as a number or text that needs no quotes inside.
    pub value: String,
}

impl Setting {
    /// A setting with its value.
    pub fn new(name: &'static str, value: impl ToString) -> Self {
        Self { name, value: value.to_string() }
    }
}

/// Compares what was read back with what was set, and names the first difference.
pub(crate) fn check(wanted: &[Setting], found: &BTreeMap<String, String>) -> Result<(), UnfitSession> {
    for Setting { name, value } in wanted {
        let is = found.get(*name).map(String::as_str).unwrap_or_default();
        if !is_same(value, is) {
            return Err(UnfitSession::NotInForce {
                name: (*name).to_owned(),
                wanted: value.clone(),
                found: is.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether two values are one: numbers by their value, lists in any order, words in any case.
fn is_same(one: &str, other: &str) -> bool {
    let parts = |list: &str| {
        let plain = list.split(',').map(|part| match part.trim().parse::<f64>() {
            Ok(number) => number.to_string(),
            Err(_) => part.trim().to_ascii_lowercase(),
        });
        let mut parts: Vec<String> = plain.collect();
        parts.sort_unstable();
        parts
    };
    parts(one) == parts(other)
}

/// A random text that one session of a database bears.
#[derive(Debug, Clone)]
pub struct Mark(String);

impl Mark {
    /// A mark that no other session has.
    pub(crate) fn new() -> Self {
        // The standard library seeds each of these at random.
        let random = || RandomState::new().build_hasher().finish();
        Self(format!("{:016x}{:016x}", random(), random()))
    }

    /// The text: letters and digits, which can stand in SQL between quotes.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses a session that bears another mark, or none.
    pub(crate) fn expect(&self, found: Option<&str>) -> Result<(), UnfitSession> {
        if found == Some(self.as_str()) { Ok(()) } else { Err(UnfitSession::Shared(None)) }
    }
}

/// Refuses a session that bore a mark before it was given one: an earlier client's, which no
/// pooler has taken away.
pub(crate) fn expect_unmarked(found: Option<&str>) -> Result<(), UnfitSession> {
    if found.is_none_or(str::is_empty) { Ok(()) } else { Err(UnfitSession::Shared(None)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(name: &'static str, wanted: &str, found: Option<&str>) -> Option<String> {
        let found = found.map(|found| (name.to_owned(), found.to_owned())).into_iter().collect();
        check(&[Setting::new(name, wanted)], &found).err().map(|unfit| unfit.to_string())
    }

    #[test]
    fn a_value_may_be_written_in_another_way() {
        for (wanted, found) in [
            ("60", "60.000000"),
            ("STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION", "no_engine_substitution,STRICT_ALL_TABLES"),
            ("wal", "WAL"),
            ("18446744073709551615", "18446744073709551615"),
            ("+00:00", "+00:00"),
        ] {
            assert_eq!(complaint("a", wanted, Some(found)), None, "{wanted} {found}");
        }
    }

    #[test]
    fn a_setting_that_is_not_in_force_is_named_with_the_value_that_is() {
        for (name, wanted, found) in [
            ("lock_timeout", "20000", Some("0")),
            ("sql_mode", "STRICT_ALL_TABLES", Some("")),
            ("sql_mode", "STRICT_ALL_TABLES", Some("STRICT_ALL_TABLES,ANSI_QUOTES")),
            ("journal_mode", "wal", Some("delete")),
            ("synchronous", "1", None),
        ] {
            let said = complaint(name, wanted, found).expect("it was to be refused");
            for part in [name, wanted, found.unwrap_or_default()] {
                assert!(said.contains(part), "{said}");
            }
            assert!(matches!(
                Fault::from(check(&[Setting::new(name, wanted)], &BTreeMap::new()).unwrap_err()).class,
                Class::Configuration
            ));
        }
    }

    #[test]
    fn a_session_is_known_by_its_mark_alone() {
        let (mine, others) = (Mark::new(), Mark::new());
        assert_ne!(mine.as_str(), others.as_str());
        mine.expect(Some(mine.as_str())).unwrap();
        for found in [None, Some(""), Some(others.as_str())] {
            assert!(mine.expect(found).unwrap_err().to_string().contains("pool_mode = session"));
        }
        expect_unmarked(None).unwrap();
        expect_unmarked(Some("")).unwrap();
        assert!(expect_unmarked(Some(others.as_str())).is_err());
    }
}
