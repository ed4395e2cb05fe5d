//! What an error of MySQL or MariaDB means for a lane, by its number and SQLSTATE alone. Whether a
//! row or its table is wrong, `append` finds out.

use crate::Class;

/// The class of an error number and its SQLSTATE (`https://mariadb.com/kb/en/mariadb-error-code-reference/`,
/// `https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html`).
///
/// A number that is not listed is a matter of configuration: nothing is dropped, somebody looks at it.
pub(crate) fn class_of(number: u16, sqlstate: &str) -> Class {
    match number {
        // DUP_KEY, DUP_ENTRY, DUP_UNIQUE, DUP_ENTRY_WITH_KEY_NAME, DUP_UNKNOWN_IN_INDEX: our
        // primary key, or an index of the user's
        1022 | 1062 | 1169 | 1586 | 1859 => Class::Invariant,
        // NO_DEFAULT_FOR_FIELD, TRUNCATED_WRONG_VALUE_FOR_FIELD, WARN_DATA_TRUNCATED (no such value
        // of an ENUM), WRONG_VALUE_FOR_TYPE, DIVISION_BY_ZERO, VIEW_CHECK_FAILED,
        // CHECK_CONSTRAINT_VIOLATED (MySQL)
        1364 | 1366 | 1265 | 1411 | 1365 | 1369 | 3819 => Class::Data,
        // NO_PARTITION_FOR_GIVEN_VALUE, ROW_DOES_NOT_MATCH_GIVEN_PARTITION_SET, TOO_BIG_ROWSIZE
        1526 | 1748 | 1118 => Class::Data,
        // SIGNAL_EXCEPTION of a trigger, TOO_MANY_ROWS
        1644 | 1172 => Class::Data,
        // Disk full, cannot write a file, storage engine (mostly I/O), table full, no room for temporary files
        1021 | 1026 | 1030 | 1114 | 1878 => Class::Transient,
        // Out of memory (of several kinds), no more threads, connections, transactions or a user's share of them
        1037 | 1038 | 1040 | 1041 | 1135 | 1203 | 1206 | 1226 | 1637 => Class::Transient,
        // Shutdown, killed, interrupted, and statements that took too long (MariaDB, MySQL)
        1053 | 1317 | 1927 | 1969 | 3024 => Class::Transient,
        // LOCK_WAIT_TIMEOUT, LOCK_DEADLOCK, TABLE_DEF_CHANGED
        1205 | 1213 | 1412 => Class::Transient,
        // OPTION_PREVENTS_STATEMENT (read_only), READ_ONLY_MODE, CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
        1290 | 1792 | 1836 => Class::Transient,
        // The connection: aborted, packets out of order or unreadable, time limits of the network, idle for too long (MySQL)
        1152 | 1156 | 1157 | 1158 | 1159 | 1160 | 1161 | 1184 | 4031 => Class::Transient,
        // COMMIT failed
        1180 => Class::Transient,
        // A node of a cluster that is not ready; elsewhere a command that the server does not know.
        1047 if sqlstate == "08S01" => Class::Transient,
        _ => match sqlstate.get(..2) {
            // a value (too long, out of range, of another form), a constraint (not null, check,
            // foreign key), one row where a trigger found several, a view's check option, a
            // condition that a trigger makes up
            Some("22" | "23" | "21" | "44" | "45") => Class::Data,
            _ => Class::Configuration,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_the_class_that_decides_what_a_lane_does() {
        let cases = [
            (Class::Data, "22001", &[1406, 1264, 1292, 1690, 3140][..]),
            // Null, a check (MariaDB), a foreign key
            (Class::Data, "23000", &[1048, 4025, 1452, 1216]),
            // No default, a wrong value, a check (MySQL), no partition, too long a row
            (Class::Data, "HY000", &[1364, 1366, 3819, 1526, 1118, 1411]),
            // A trigger's own, also with a number that it makes up; a value that is none of an
            // ENUM's
            (Class::Data, "45000", &[1644, 30_001]),
            (Class::Data, "01000", &[1265]),
            (Class::Invariant, "23000", &[1022, 1062, 1169, 1586, 1859]),
            (Class::Transient, "HY000", &[1205, 1213, 1040, 1203, 1053, 1021, 1114, 1290, 1836, 1792, 1969, 3024]),
            (
                Class::Transient,
                "HY000",
                &[1026, 1030, 1037, 1041, 1152, 1158, 1159, 1161, 1180, 1184, 1317, 1927, 4031],
            ),
            // Access denied to a database, to us, to a table, no such database, column, table or savepoint
            (Class::Configuration, "42000", &[1044, 1045, 1142, 1049, 1054, 1146, 1305]),
            // Syntax, a packet that is too large, binlog format
            (Class::Configuration, "HY000", &[1064, 1153, 1665, 0]),
        ];
        for (class, sqlstate, numbers) in cases {
            for number in numbers {
                assert_eq!(class_of(*number, sqlstate), class, "{number}");
            }
        }
        assert_eq!(class_of(4025, "HY000"), Class::Configuration);
        assert_eq!(class_of(1047, "08S01"), Class::Transient);
        assert_eq!(class_of(1047, "42000"), Class::Configuration);
    }
}
