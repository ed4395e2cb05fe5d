//! Multi-row `INSERT`s of a few fixed lengths.

use std::{ops::Range, sync::LazyLock};

use sluice_model::Rows;
use sqlx::SqliteConnection;

use crate::fault::Fault;

/// Rows of one statement. Fixed lengths, so that the connection's cache holds every statement it will ever need; the
/// longest binds 4,000 values of the 32,766 that SQLite takes.
const CHUNK_ROWS: [usize; 4] = [1_000, 100, 10, 1];

static INSERTS: LazyLock<[String; CHUNK_ROWS.len()]> = LazyLock::new(|| {
    CHUNK_ROWS.map(|rows| {
        let values = vec!["(?, ?, ?, ?)"; rows].join(", ");
        format!("INSERT INTO person (customer_id, id, name, address) VALUES {values}")
    })
});

/// Inserts the rows of a range.
pub(super) async fn insert(connection: &mut SqliteConnection, rows: &Rows, range: Range<usize>) -> Result<(), Fault> {
    for (chunk, sql) in chunks(range) {
        let expected = chunk.len() as u64;
        let mut query = sqlx::query(sql);
        for row in rows.range(chunk) {
            query = query.bind(row.customer_id).bind(row.id.get()).bind(row.name).bind(row.address);
        }
        let stored = query.execute(&mut *connection).await?.rows_affected();
        if stored != expected {
            return Err(Fault::invariant(format!("{stored} of {expected} rows were stored: has person a trigger?")));
        }
    }
    Ok(())
}

/// Cuts a range into chunks that there is a statement for, the long ones first.
fn chunks(range: Range<usize>) -> impl Iterator<Item = (Range<usize>, &'static str)> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let left = range.end - start;
        let at = CHUNK_ROWS.iter().position(|rows| *rows <= left)?;
        let chunk = start..start + CHUNK_ROWS[at];
        start = chunk.end;
        Some((chunk, INSERTS[at].as_str()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_cover_a_range_in_order_with_few_statements(start in 0usize..5_000, rows in 0usize..5_000) {
            let mut next = start;
            let mut count = 0;
            for (chunk, sql) in chunks(start..start + rows) {
                prop_assert_eq!(chunk.start, next);
                prop_assert_eq!(sql.matches('?').count(), 4 * chunk.len());
                next = chunk.end;
                count += 1;
            }
            prop_assert_eq!(next, start + rows);
            prop_assert!(count <= rows / 1_000 + 27);
        }
    }
}
