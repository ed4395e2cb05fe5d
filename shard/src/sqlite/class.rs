//! What a SQLite error means for a lane, by extended result code alone. Whether a row or its table
//! is wrong, `append` finds out.

use crate::Class;

/// The class of an extended result code (`https://www.sqlite.org/rescode.html`).
///
/// A code that is not listed is a matter of configuration: nothing is dropped, somebody looks at it.
pub(crate) fn class_of(code: i32) -> Class {
    match code {
        // SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_ROWID: our
        // primary key, or an index of the user's
        1555 | 2067 | 2579 => Class::Invariant,
        // SQLITE_ERROR: a missing table or column, and what a function says of a value ("malformed
        // JSON")
        1 => Class::Data,
        _ => match code & 0xff {
            // TOOBIG, CONSTRAINT (not null, check, foreign key, a trigger's, a STRICT table's
            // type), MISMATCH
            18..=20 => Class::Data,
            // ABORT, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, PROTOCOL (lock contention), SCHEMA
            4..=10 | 13 | 15 | 17 => Class::Transient,
            _ => Class::Configuration,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_the_class_that_decides_what_a_lane_does() {
        let cases = [
            // Also ERROR (a function's, no such table), a plain, foreign-key, trigger or data-type
            // CONSTRAINT
            (Class::Data, &[18, 275, 1299, 1, 19, 787, 1811, 3091, 20][..]),
            (Class::Invariant, &[1555, 2067, 2579]),
            // BUSY, BUSY_SNAPSHOT, LOCKED, NOMEM, READONLY, READONLY_DBMOVED, IOERR, IOERR_WRITE, FULL
            (Class::Transient, &[5, 517, 6, 7, 8, 1032, 10, 778, 13]),
            // PERM, CORRUPT, CANTOPEN, NOTADB
            (Class::Configuration, &[3, 11, 14, 26]),
        ];
        for (class, codes) in cases {
            for code in codes {
                assert_eq!(class_of(*code), class, "{code}");
            }
        }
    }
}
