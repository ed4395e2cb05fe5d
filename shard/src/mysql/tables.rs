//! The three tables, and whether those that are there will do.

use sluice_model::{CustomerId, Person};
use sqlx::{Executor, MySqlConnection, Row, mysql::MySqlRow};

use crate::{
    fault::Fault,
    schema::{Column, Kind},
};

/// `utf8mb4_bin` compares as bytes but for spaces at the end, which no customer id has. What a server's own default would be
/// (latin1, a collation that ignores case) does not matter. `TEXT` holds 65,535 bytes.
pub(super) const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS `person` (
        {customer} VARCHAR({length}) NOT NULL,
        `id` BIGINT NOT NULL,
        `name` TEXT NOT NULL,
        `address` TEXT NOT NULL,
        PRIMARY KEY ({customer}, `id`)) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
    CREATE TABLE IF NOT EXISTS `journal_position` (
        `journal_partition` INT PRIMARY KEY,
        `position` BIGINT NOT NULL,
        `stamp` BIGINT NOT NULL) ENGINE = InnoDB;
    CREATE TABLE IF NOT EXISTS `sluice_shard` (
        `name` VARCHAR(255) NOT NULL,
        `journal_id` VARCHAR(255) NOT NULL) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
const ENGINES: &str = "
    SELECT table_name, engine FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name IN ('person', 'journal_position', 'sluice_shard')";
const PERSON_COLUMNS: &str = "
    SELECT c.column_name, c.column_type, c.data_type, c.collation_name,
        CAST(LEAST(c.character_octet_length, 4294967295) AS SIGNED), CAST(k.seq_in_index AS SIGNED)
    FROM information_schema.columns c
    LEFT JOIN information_schema.statistics k ON k.table_schema = c.table_schema AND k.table_name = c.table_name
        AND k.column_name = c.column_name AND k.index_name = 'PRIMARY'
    WHERE c.table_schema = DATABASE() AND c.table_name = 'person'";

/// Only InnoDB has transactions: in another engine rows and position would not stand or fall together.
pub(super) async fn check_engines(connection: &mut MySqlConnection) -> Result<(), Fault> {
    for row in connection.fetch_all(sqlx::raw_sql(ENGINES)).await? {
        let (table, engine) = (text(&row, 0)?, row.try_get_unchecked::<Option<String>, _>(1)?.unwrap_or_default());
        if engine != "InnoDB" {
            return Err(Fault::configuration(format!("the table {table} is kept by {engine:?}, not by InnoDB")));
        }
    }
    Ok(())
}

/// The columns of `person`; of another kind is also text that could not hold, or would not tell apart, what may come.
pub(super) async fn person_columns(connection: &mut MySqlConnection, customer: &str) -> Result<Vec<Column>, Fault> {
    let mut columns = Vec::new();
    for row in connection.fetch_all(sqlx::raw_sql(PERSON_COLUMNS)).await? {
        let (name, full, plain) = (text(&row, 0)?, text(&row, 1)?, text(&row, 2)?);
        let collation: Option<String> = row.try_get_unchecked(3)?;
        let bytes = row.try_get::<Option<i64>, _>(4)?.unwrap_or_default();
        let needed = if name == customer { CustomerId::MAX_BYTES } else { Person::NAME_MAX_BYTES };
        let needed = if name == "address" { Person::ADDRESS_MAX_BYTES } else { needed };
        let kind = match (plain.as_str(), collation) {
            ("bigint", _) if !full.contains("unsigned") => Kind::BigInt,
            ("varchar" | "text" | "mediumtext" | "longtext", Some(collation)) => {
                let told_apart = name != customer || collation.ends_with("_bin");
                if collation.starts_with("utf8mb4") && told_apart && bytes.unsigned_abs() >= needed as u64 {
                    Kind::Text
                } else {
                    Kind::Other(format!("{full} in {collation}"))
                }
            }
            _ => Kind::Other(full),
        };
        columns.push(Column { name, kind, key: row.try_get(5)? });
    }
    Ok(columns)
}

/// Text of a column, whatever its collation: the driver takes text in a binary collation for bytes, and would refuse it.
pub(super) fn text(row: &MySqlRow, column: usize) -> Result<String, Fault> {
    Ok(row.try_get_unchecked(column)?)
}
