//! Whose rows a shard holds, read page by page along the primary key.
//!
//! `SELECT DISTINCT` reads the whole table, however few customers there are. Here a page ends after so many customers, or rows, and the
//! next one begins behind the last name: so the rows of a customer are not read to their end.

use crate::customer_column::CustomerColumn;

/// The most customers of a page where each is found by a descent of the index. Lower: more round trips. Higher: a page takes
/// long where the index is not in memory.
const DESCENTS: usize = 500;
/// The most rows of a page where rows are read. Lower: more round trips where customers have few rows. Higher: more is read in
/// vain where they have many.
const ROWS: usize = 100;

/// A *skip scan*: the next customer is the first name after the one before, found by one descent of the primary key's index.
const BY_DESCENTS: &str = "
    WITH RECURSIVE listed (customer, n) AS (
        SELECT customer, 1 FROM (
            SELECT {customer} AS customer FROM person WHERE {customer} {beyond} {after} ORDER BY {customer} LIMIT 1
        ) AS least
        UNION ALL
        SELECT (SELECT {customer} FROM person WHERE {customer} > listed.customer ORDER BY {customer} LIMIT 1), n + 1
        FROM listed WHERE listed.customer IS NOT NULL AND n < {limit})
    SELECT customer FROM listed WHERE customer IS NOT NULL ORDER BY n";
/// MariaDB would read the index from its beginning for each name: what it compares with has to be a constant. Rows stand
/// together there in the order of the primary key, so that some of them are as quick to read as one.
const BY_ROWS: &str = "
    SELECT DISTINCT customer FROM (
        SELECT {customer} AS customer FROM person WHERE {customer} {beyond} {after} ORDER BY {customer} LIMIT {limit}
    ) AS some ORDER BY customer";

/// The statements of one engine. Each has one parameter: the name to begin at, or behind.
pub(crate) struct CustomerPages {
    first: String,
    next: String,
}

impl CustomerPages {
    /// By a skip scan; with the engine's quote of names, and its parameter.
    pub(crate) fn by_descents(customer: &CustomerColumn, quote: char, parameter: &str) -> Self {
        Self::new(&customer.fill(BY_DESCENTS, quote), DESCENTS, parameter)
    }

    /// By the rows themselves.
    pub(crate) fn by_rows(customer: &CustomerColumn, quote: char, parameter: &str) -> Self {
        Self::new(&customer.fill(BY_ROWS, quote), ROWS, parameter)
    }

    fn new(sql: &str, limit: usize, parameter: &str) -> Self {
        let sql = sql.replace("{after}", parameter).replace("{limit}", &limit.to_string());
        Self { first: sql.replace("{beyond}", ">="), next: sql.replace("{beyond}", ">") }
    }

    /// The statement of the page behind a name, and its parameter. The first page begins at the least text there is.
    pub(crate) fn after<'a>(&self, after: Option<&'a str>) -> (&str, &'a str) {
        after.map_or((self.first.as_str(), ""), |after| (self.next.as_str(), after))
    }
}
