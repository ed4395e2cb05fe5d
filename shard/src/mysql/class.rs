//! What an error of MySQL or MariaDB means for a lane, by its number and SQLSTATE alone.

use crate::Class;

/// The class of an error number and its SQLSTATE (`https://mariadb.com/kb/en/mariadb-error-code-reference/`,
/// `https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html`).
///
/// A number that is not listed is a matter of configuration: nothing is dropped, somebody looks at it.
pub(crate) fn class_of(number: u16, sqlstate: &str) -> Class {
    match number {
        // BAD_NULL, WARN_DATA_OUT_OF_RANGE, TRUNCATED_WRONG_VALUE, TRUNCATED_WRONG_VALUE_FOR_FIELD, DATA_TOO_LONG,
        // CHECK_CONSTRAINT_VIOLATED (MySQL): this very value, and for ever. Nothing else may be in this line.
        1048 | 1264 | 1292 | 1366 | 1406 | 3819 => Class::Data,
        // CONSTRAINT_FAILED: a check, in MariaDB. In MySQL the same number is something else, with another SQLSTATE.
        4025 if sqlstate == "23000" => Class::Data,
        // DUP_KEY, DUP_ENTRY, DUP_ENTRY_WITH_KEY_NAME, DUP_UNKNOWN_IN_INDEX
        1022 | 1062 | 1586 | 1859 => Class::Invariant,
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
        _ => Class::Configuration,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_the_class_that_decides_what_a_lane_does() {
        let cases = [
            (Class::Data, &[1048, 1264, 1292, 1366, 1406, 3819, 4025][..]),
            (Class::Invariant, &[1022, 1062, 1586, 1859]),
            (Class::Transient, &[1205, 1213, 1040, 1203, 1053, 1021, 1114, 1290, 1836, 1792, 1969, 3024]),
            (Class::Transient, &[1026, 1030, 1037, 1041, 1152, 1158, 1159, 1161, 1180, 1184, 1317, 1927, 4031]),
            // Access denied to a database, to us, to a table, no such database, column, table or savepoint
            (Class::Configuration, &[1044, 1045, 1142, 1049, 1054, 1146, 1305]),
            // Not null without default, syntax, a packet that is too large, binlog format, a trigger's own, foreign key
            (Class::Configuration, &[1364, 1064, 1153, 1665, 1644, 1452, 0]),
        ];
        for (class, numbers) in cases {
            for number in numbers {
                assert_eq!(class_of(*number, "23000"), class, "{number}");
            }
        }
        assert_eq!(class_of(4025, "HY000"), Class::Configuration);
        assert_eq!(class_of(1047, "08S01"), Class::Transient);
        assert_eq!(class_of(1047, "42000"), Class::Configuration);
    }
}
