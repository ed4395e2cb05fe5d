//! The tables of a shard in PostgreSQL: which there are, and which way rows go into them.

use sqlx::{Executor, PgConnection, Row};

use crate::{CustomerColumn, fault::Fault};

/// Each table that there is; of those with partitions the worst persistence of all. Row-level
/// security counts where it holds for this user. `'3'` is a rule on INSERT.
const LOOK: &str = "
    SELECT c.relname::text, c.relkind::text,
        c.relpersistence = 'p' AND NOT EXISTS (
            SELECT 1 FROM pg_partition_tree(c.oid) AS t JOIN pg_class AS part ON part.oid = t.relid
            WHERE part.relpersistence <> 'p'),
        row_security_active(c.oid),
        EXISTS (SELECT 1 FROM pg_rewrite AS r WHERE r.ev_class = c.oid AND r.ev_type = '3'),
        (SELECT l.collname::text FROM pg_attribute AS a JOIN pg_collation AS l ON l.oid = a.attcollation
         WHERE a.attrelid = c.oid AND a.attname = '{customer}' AND NOT l.collisdeterministic)
    FROM pg_class AS c
    WHERE c.oid IN (to_regclass('person'), to_regclass('journal_position'), to_regclass('sluice_shard'))";

/// Which way many rows go into `person`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By `COPY`, the quickest.
    Copy,
    /// By `INSERT`, where `COPY` is refused, or passes the table's own rules by.
    Insert,
}

/// What was found of the tables.
pub(super) struct Tables {
    /// The names of those that there are.
    pub(super) names: Vec<String>,
    /// How rows go into `person`.
    pub(super) way: Way,
}

/// Looks at the tables that there are, in the catalog alone: no lock is waited for.
///
/// Refuses tables whose rows do not come and go with the transaction and its log, and customers
/// that would be taken for one another.
pub(super) async fn look(connection: &mut PgConnection, customer: &CustomerColumn) -> Result<Tables, Fault> {
    let sql = LOOK.replace("{customer}", customer.as_str());
    let mut tables = Tables { names: Vec::new(), way: Way::Copy };
    for row in connection.fetch_all(sqlx::raw_sql(&sql)).await? {
        let (name, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        if kind == "f" {
            return Err(Fault::configuration(format!(
                "{name} is a foreign table: its rows are committed by another server than its position. Name that \
                 server's own database"
            )));
        }
        if !row.try_get::<bool, _>(2)? {
            return Err(Fault::configuration(format!(
                "the table {name} is not logged, so a crash empties it and leaves the others: ALTER TABLE {name} SET LOGGED"
            )));
        }
        if let Some(collation) = row.try_get::<Option<String>, _>(5)? {
            return Err(Fault::configuration(format!(
                "the column {customer} of {name} takes customers for one another, by its collation {collation}: \
                 ALTER TABLE {name} ALTER {customer} TYPE text COLLATE \"C\""
            )));
        }
        let is_plain =
            matches!(kind.as_str(), "r" | "p") && !row.try_get::<bool, _>(3)? && !row.try_get::<bool, _>(4)?;
        if name == "person" && !is_plain {
            tables.way = Way::Insert;
        }
        tables.names.push(name);
    }
    Ok(tables)
}
