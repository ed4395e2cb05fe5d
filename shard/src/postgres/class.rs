//! What a PostgreSQL error means for a lane, by SQLSTATE alone. Whether a row or its table is
//! wrong, `append` finds out.

use crate::Class;

/// The class of a SQLSTATE (`https://www.postgresql.org/docs/current/errcodes-appendix.html`).
///
/// A code that is not listed is a matter of configuration: nothing is dropped, somebody looks at it.
pub(crate) fn class_of(sqlstate: &str) -> Class {
    match sqlstate {
        // unique_violation: of our primary key, or of an index of the user's
        "23505" => Class::Invariant,
        // insufficient_privilege: also what a row-level security policy says of one row
        "42501" => Class::Data,
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
            // a value (too long, of another form, out of range), a constraint, a limit (of an index
            // row), a view's check option
            Some("22" | "23" | "44" | "54") => Class::Data,
            // a trigger, or what it calls: PL/pgSQL (`RAISE`), other languages, one row where it
            // found several
            Some("09" | "21" | "27" | "2F" | "38" | "39" | "P0") => Class::Data,
            Some(class) if is_users_own(class) => Class::Data,
            _ => Class::Configuration,
        },
    }
}

/// Whether a class of SQLSTATEs is one that a trigger makes up: by the standard those that begin
/// with 5 to 9 or I to Z, of which the server has some itself; 45 is the standard's for conditions
/// that have no other.
fn is_users_own(class: &str) -> bool {
    let is_made_up = class.starts_with(|first| matches!(first, '5'..='9' | 'I'..='Z'));
    class == "45" || is_made_up && !matches!(class, "55" | "72" | "XX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_the_class_that_decides_what_a_lane_does() {
        let cases = [
            (
                Class::Data,
                &["22001", "22021", "22P05", "22P02", "23502", "23503", "23514", "23P01", "42501", "54000"][..],
            ),
            (Class::Data, &["P0001", "45000", "U0001", "77777", "21000", "38000", "44000"]),
            (Class::Invariant, &["23505"]),
            (Class::Transient, &["08006", "40P01", "40001", "53100", "53300", "55P03", "57014", "57P01", "57P03"]),
            (Class::Transient, &["25006", "25P03", "58030"]),
            (Class::Configuration, &["28P01", "28000", "3D000", "42P01", "42703", "42804", "57P04", "XX001", "", "é"]),
            // What the server cannot do for any row, damage, and a setting that somebody has to
            // change
            (Class::Configuration, &["0A000", "XX002", "55000", "72000", "F0001", "HV000"]),
        ];
        for (class, codes) in cases {
            for code in codes {
                assert_eq!(class_of(code), class, "{code}");
            }
        }
    }
}
