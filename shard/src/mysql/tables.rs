//! The three tables, and whether those that are there will do.

use sluice_model::CustomerId;
use sqlx::{Executor, MySqlConnection, Row, mysql::MySqlRow};

use crate::{
    CustomerColumn,
    fault::Fault,
    schema::{Column, Kind},
};

/// `utf8mb4_bin` compares as bytes but for spaces at the end, which no customer id has. What a
/// server's own default would be (latin1, a collation that ignores case) does not matter. `TEXT`
/// holds 65,535 bytes. One that exists is not made: that alone would ask for the right to create.
pub(super) const CREATE: [(&str, &str); 3] = [
    (
        "person",
        "CREATE TABLE IF NOT EXISTS `person` (
            {customer} VARCHAR({length}) NOT NULL,
            `id` BIGINT NOT NULL,
            `name` TEXT NOT NULL,
            `address` TEXT NOT NULL,
            PRIMARY KEY ({customer}, `id`)) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    ),
    (
        "journal_position",
        "CREATE TABLE IF NOT EXISTS `journal_position` (
            `journal_partition` INT PRIMARY KEY,
            `position` BIGINT NOT NULL,
            `stamp` BIGINT NOT NULL) ENGINE = InnoDB",
    ),
    (
        "sluice_shard",
        "CREATE TABLE IF NOT EXISTS `sluice_shard` (
            `name` VARCHAR(255) NOT NULL,
            `journal_id` VARCHAR(255) NOT NULL) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    ),
];
const ENGINES: &str = "
    SELECT table_name, engine FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name IN ('person', 'journal_position', 'sluice_shard')";
/// Texts that could not be held, and customers that would be taken for one another.
const UNFIT_TEXTS: &str = "
    SELECT column_name, column_type, collation_name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'person' AND column_name IN ('{customer}', 'name', 'address')
        AND (character_set_name <> 'utf8mb4' OR column_name = '{customer}' AND collation_name NOT LIKE '%\\_bin')";
/// The last one: whether a row that does not name the column can be stored (also where a trigger
/// may see to it).
const PERSON_COLUMNS: &str = "
    SELECT c.column_name, c.column_type, c.data_type, c.collation_name,
        CAST(LEAST(c.character_octet_length, 4294967295) AS SIGNED), CAST(k.seq_in_index AS SIGNED), c.extra,
        CAST(c.is_nullable = 'YES' OR c.column_default IS NOT NULL OR c.extra LIKE '%auto_increment%'
            OR c.data_type = 'enum' OR EXISTS (
                SELECT 1 FROM information_schema.triggers t
                WHERE t.event_object_schema = c.table_schema AND t.event_object_table = c.table_name
                    AND t.event_manipulation = 'INSERT' AND t.action_timing = 'BEFORE') AS SIGNED)
    FROM information_schema.columns c
    LEFT JOIN information_schema.statistics k ON k.table_schema = c.table_schema AND k.table_name = c.table_name
        AND k.column_name = c.column_name AND k.index_name = 'PRIMARY'
    WHERE c.table_schema = DATABASE() AND c.table_name = 'person'";

/// Gives the names of the tables that there are. Refuses those that would not do, whoever made or
/// changed them.
///
/// Only InnoDB has transactions: in another engine rows and position would not stand or fall together.
pub(super) async fn look(connection: &mut MySqlConnection) -> Result<Vec<String>, Fault> {
    let mut names = Vec::new();
    for row in connection.fetch_all(sqlx::raw_sql(ENGINES)).await? {
        let (table, engine) = (text(&row, 0)?, row.try_get_unchecked::<Option<String>, _>(1)?.unwrap_or_default());
        if engine != "InnoDB" {
            return Err(Fault::configuration(format!("the table {table} is kept by {engine:?}, not by InnoDB")));
        }
        names.push(table);
    }
    Ok(names)
}

/// Refuses texts that were changed since the registration, which looks at each column.
pub(super) async fn check_texts(connection: &mut MySqlConnection, customer: &CustomerColumn) -> Result<(), Fault> {
    let unfit = UNFIT_TEXTS.replace("{customer}", customer.as_str());
    if let Some(row) = connection.fetch_all(sqlx::raw_sql(&unfit)).await?.first() {
        let (name, kind, collation) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        return Err(Fault::configuration(format!(
            "the column {name} of person is {kind} in {collation}, which does not hold every text, or takes customers for \
             one another: ALTER TABLE person CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )));
    }
    Ok(())
}

/// The columns of `person`. A value that is too long for a name or an address becomes a dead
/// letter; a customer has to fit.
pub(super) async fn person_columns(connection: &mut MySqlConnection, customer: &str) -> Result<Vec<Column>, Fault> {
    let mut columns = Vec::new();
    for row in connection.fetch_all(sqlx::raw_sql(PERSON_COLUMNS)).await? {
        let (name, full, plain, extra) = (text(&row, 0)?, text(&row, 1)?, text(&row, 2)?, text(&row, 6)?);
        let collation: Option<String> = row.try_get_unchecked(3)?;
        let bytes = row.try_get::<Option<i64>, _>(4)?.unwrap_or_default();
        let needed = if name == customer { CustomerId::MAX_BYTES as u64 } else { 1 };
        let is_generated = ["VIRTUAL GENERATED", "STORED GENERATED"].iter().any(|how| extra.contains(how));
        let kind = match (plain.as_str(), collation) {
            _ if is_generated => Kind::Other(format!("{full}, generated")),
            ("bigint", _) if !full.contains("unsigned") => Kind::BigInt,
            ("varchar" | "text" | "mediumtext" | "longtext", Some(collation)) => {
                let told_apart = name != customer || collation.ends_with("_bin");
                if collation.starts_with("utf8mb4") && told_apart && bytes.unsigned_abs() >= needed {
                    Kind::Text
                } else {
                    Kind::Other(format!("{full} in {collation}"))
                }
            }
            _ => Kind::Other(full),
        };
        let filled = is_generated || row.try_get::<i64, _>(7)? != 0;
        columns.push(Column { name, kind, key: row.try_get(5)?, filled });
    }
    Ok(columns)
}

/// Text of a column, whatever its collation: the driver takes text in a binary collation for bytes, and would refuse it.
pub(super) fn text(row: &MySqlRow, column: usize) -> Result<String, Fault> {
    Ok(row.try_get_unchecked(column)?)
}
