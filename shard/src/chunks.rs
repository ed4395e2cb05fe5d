//! Multi-row `INSERT`s of a few fixed lengths, for the engines that have nothing quicker.

use std::ops::Range;

use crate::{Class, fault::Fault};

/// Rows of one statement. Fixed lengths, so that the connection's cache holds every statement it will ever need; the
/// longest binds 4,000 values of the 32,766 that SQLite takes (MySQL: 65,535).
pub(crate) const CHUNK_ROWS: [usize; 4] = [1_000, 100, 10, 1];

/// The statements of one connection, one for each length.
pub(crate) struct Inserts([String; CHUNK_ROWS.len()]);

impl Inserts {
    /// With the beginning of the statement, up to its values.
    pub(crate) fn new(into: &str) -> Self {
        Self(CHUNK_ROWS.map(|rows| format!("{into} VALUES {}", vec!["(?, ?, ?, ?)"; rows].join(", "))))
    }

    /// Cuts a range into chunks that there is a statement for, the long ones first.
    pub(crate) fn chunks(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, &str)> {
        let mut start = range.start;
        std::iter::from_fn(move || {
            let left = range.end - start;
            let at = CHUNK_ROWS.iter().position(|rows| *rows <= left)?;
            let chunk = start..start + CHUNK_ROWS[at];
            start = chunk.end;
            Some((chunk, self.0[at].as_str()))
        })
    }
}

/// The database says how many rows it stored; fewer than were sent would be lost silently. A
/// trigger may do that to one row or to all.
pub(crate) fn expect_all(stored: u64, sent: usize) -> Result<(), Fault> {
    if stored == sent as u64 {
        return Ok(());
    }
    let what =
        format!("{stored} of {sent} rows were stored: a trigger or rule of person does something else with them");
    Err(Fault::new(Class::Data, what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_cover_a_range_in_order_with_few_statements(start in 0usize..5_000, rows in 0usize..5_000) {
            let inserts = Inserts::new("INSERT INTO person");
            let mut next = start;
            let mut count = 0;
            for (chunk, sql) in inserts.chunks(start..start + rows) {
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
