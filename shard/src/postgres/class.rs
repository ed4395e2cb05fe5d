//! What a PostgreSQL error means for a lane, by SQLSTATE alone.

use crate::Class;

/// The class of a SQLSTATE (`https://www.postgresql.org/docs/current/errcodes-appendix.html`).
///
/// A code that is not listed is a matter of configuration: nothing is dropped, somebody looks at it.
pub(crate) fn class_of(sqlstate: &str) -> Class {
    match sqlstate {
        // string_data_right_truncation, character_not_in_repertoire, untranslatable_character,
        // not_null_violation, check_violation: this very value, and for ever. Nothing else may be in this line.
        "22001" | "22021" | "22P05" | "23502" | "23514" => Class::Data,
        // unique_violation, exclusion_violation
        "23505" | "23P01" => Class::Invariant,
        // read_only_sql_transaction, and the server's timeout on a transaction of ours that idled
        "25006" | "25P03" | "25P04" => Class::Transient,
        // lock_not_available
        "55P03" => Class::Transient,
        // database_dropped
        "57P04" => Class::Configuration,
        _ => match sqlstate.get(..2) {
            // connection, transaction rollback (deadlock, serialization), insufficient resources (disk, memory,
            // connections), operator intervention (shutdown, starting up, cancelled by timeout), system (I/O)
            Some("08" | "40" | "53" | "57" | "58") => Class::Transient,
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
            (Class::Data, &["22001", "22021", "22P05", "23502", "23514"][..]),
            (Class::Invariant, &["23505", "23P01"]),
            (Class::Transient, &["08006", "40P01", "40001", "53100", "53300", "55P03", "57014", "57P01", "57P03"]),
            (Class::Transient, &["25006", "25P03", "58030"]),
            (Class::Configuration, &["28P01", "28000", "3D000", "42P01", "42703", "42501", "57P04", "XX001", "", "é"]),
            // A bad COPY header or a foreign key is nobody's value.
            (Class::Configuration, &["22P03", "23503", "22P04", "54000"]),
        ];
        for (class, codes) in cases {
            for code in codes {
                assert_eq!(class_of(code), class, "{code}");
            }
        }
    }
}
