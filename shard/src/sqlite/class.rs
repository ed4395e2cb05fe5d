//! What a SQLite error means for a lane, by extended result code alone.

use crate::Class;

/// The class of an extended result code (`https://www.sqlite.org/rescode.html`).
///
/// A code that is not listed is a matter of configuration: nothing is dropped, somebody looks at it.
pub(crate) fn class_of(code: i32) -> Class {
    match code {
        // SQLITE_TOOBIG, SQLITE_CONSTRAINT_CHECK, SQLITE_CONSTRAINT_NOTNULL: this very value, and for ever.
        18 | 275 | 1299 => Class::Data,
        // SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_ROWID
        1555 | 2067 | 2579 => Class::Invariant,
        _ => match code & 0xff {
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
            (Class::Data, &[18, 275, 1299][..]),
            (Class::Invariant, &[1555, 2067, 2579]),
            // BUSY, BUSY_SNAPSHOT, LOCKED, NOMEM, READONLY, READONLY_DBMOVED, IOERR, IOERR_WRITE, FULL
            (Class::Transient, &[5, 517, 6, 7, 8, 1032, 10, 778, 13]),
            // ERROR (no such table), PERM, CORRUPT, CANTOPEN, NOTADB, and a plain, foreign-key or trigger CONSTRAINT
            (Class::Configuration, &[1, 3, 11, 14, 26, 19, 787, 1811]),
        ];
        for (class, codes) in cases {
            for code in codes {
                assert_eq!(class_of(*code), class, "{code}");
            }
        }
    }
}
