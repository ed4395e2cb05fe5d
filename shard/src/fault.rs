//! What an engine reports: an error with its class, before anybody says during which operation it came.

use std::{borrow::Cow, error::Error, fmt};

use crate::{Class, Operation, ShardError, mysql, postgres, session::UnfitSession, sqlite};

/// An engine's error. `?` makes one from every [`sqlx::Error`], with the class its code has.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) class: Class,
    pub(crate) source: Box<dyn Error + Send + Sync>,
}

impl Fault {
    pub(crate) fn new(class: Class, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { class, source: source.into() }
    }

    /// Something somebody has to mend.
    pub(crate) fn configuration(what: impl fmt::Display) -> Self {
        Self::new(Class::Configuration, what.to_string())
    }

    /// Something that may not happen as long as our own rules are kept.
    pub(crate) fn invariant(what: impl fmt::Display) -> Self {
        Self::new(Class::Invariant, what.to_string())
    }

    /// The database's own code, where it was the database that failed.
    pub(crate) fn code(&self) -> Option<Cow<'_, str>> {
        self.source.downcast_ref::<sqlx::Error>()?.as_database_error()?.code()
    }

    /// Says what to do where a table could not be created.
    pub(crate) fn at_creating(self, table: &str) -> Self {
        match self.class {
            // A missing right has the code of a refused row.
            Class::Configuration | Class::Data => {
                Self::new(Class::Configuration, CannotCreate { table: table.to_owned(), source: self.source })
            }
            _ => self,
        }
    }

    /// The error as callers see it. A refusal that could not be brought home to a row is nobody's
    /// value: somebody has to look.
    pub(crate) fn during(self, operation: Operation) -> ShardError {
        let class = if self.class == Class::Data { Class::Configuration } else { self.class };
        ShardError::new(operation, class, self.source)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        if is_of_another_session(&error) {
            return UnfitSession::Shared(Some(error)).into();
        }
        Self::new(class_of(&error), error)
    }
}

/// A table is missing, and the user may not create it.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot create the table {table}: let the user create tables, or create them beforehand as the section Least rights of \
     docs/DATABASES.md says"
)]
struct CannotCreate {
    table: String,
    source: Box<dyn Error + Send + Sync>,
}

/// Whether a prepared statement of ours is not there, or one of another client bears its name. No
/// single session does that.
fn is_of_another_session(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        Some(error) => error.number() == mysql::UNKNOWN_STATEMENT,
        None => matches!(error.code().as_deref(), Some("42P05" | "26000")),
    }
}

/// A database's own error has its engine's class; one of the driver is a lost connection, or something unheard of.
fn class_of(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                code.parse().map_or(Class::Configuration, sqlite::class_of)
            } else if let Some(error) = database.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
                mysql::class_of(error.number(), &code)
            } else {
                postgres::class_of(&code)
            }
        }
        // `Protocol` is what a server's sudden end looks like in the middle of an answer.
        sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed => Class::Transient,
        _ => Class::Configuration,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_lost_connection_is_transient_and_an_unreadable_row_is_not() {
        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(Fault::from(sqlx::Error::from(lost)).class, Class::Transient);
        assert_eq!(Fault::from(sqlx::Error::WorkerCrashed).class, Class::Transient);
        assert_eq!(Fault::from(sqlx::Error::ColumnNotFound("id".into())).class, Class::Configuration);
    }

    #[test]
    fn a_refusal_that_is_no_rows_is_a_matter_of_configuration_and_stops_nobody_for_good() {
        let refused = Fault::new(Class::Data, "a trigger of journal_position").during(Operation::Append);
        assert_eq!(refused.class, Class::Configuration);
    }
}
