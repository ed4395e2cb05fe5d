//! Which field of a definition is to blame, where a database refuses: by operation and code, never by text.

use sluice_shard::{Class, Operation, ShardError};

/// The field as a JSON pointer.
pub(super) fn field(error: &ShardError) -> &'static str {
    let code = error.source.downcast_ref::<sqlx::Error>().and_then(|e| e.as_database_error()?.code());
    of_code(error.class, error.operation, code.as_deref())
}

fn of_code(class: Class, operation: Operation, code: Option<&str>) -> &'static str {
    match (operation, code) {
        // invalid_password, invalid_authorization_specification (MySQL's 1045 too): which of the two it was, no database tells.
        (_, Some("28P01" | "28000")) => "/password",
        // invalid_catalog_name; MySQL's 1049; SQLITE_CANTOPEN
        (_, Some("3D000" | "42000" | "14")) => "/database",
        // It was reached, and is not what it should be.
        (operation, _) if operation != Operation::Connect => "/database",
        _ if class == Class::Transient => "/host",
        _ => "/database",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_is_wrong_is_named() {
        let (connect, verify) = (Operation::Connect, Operation::VerifyIdentity);
        for (class, operation, code, field) in [
            (Class::Configuration, connect, Some("28P01"), "/password"),
            (Class::Configuration, connect, Some("3D000"), "/database"),
            (Class::Transient, connect, None, "/host"),
            (Class::Configuration, verify, None, "/database"),
            (Class::Configuration, Operation::Register, None, "/database"),
        ] {
            assert_eq!(of_code(class, operation, code), field, "{operation} {code:?}");
        }
    }
}
