//! Rows into SQLite.

use std::ops::Range;

use sluice_model::Rows;
use sqlx::SqliteConnection;

use crate::{
    chunks::{Inserts, expect_all},
    fault::Fault,
};

/// Inserts the rows of a range.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    inserts: &Inserts,
    rows: &Rows,
    range: Range<usize>,
) -> Result<(), Fault> {
    for (chunk, sql) in inserts.chunks(range) {
        let sent = chunk.len();
        let mut query = sqlx::query(sql);
        for row in rows.range(chunk) {
            query = query.bind(row.customer_id).bind(row.id.get()).bind(row.name).bind(row.address);
        }
        expect_all(query.execute(&mut *connection).await?.rows_affected(), sent)?;
    }
    Ok(())
}
