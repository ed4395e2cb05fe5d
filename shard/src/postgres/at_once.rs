//! The lane's transaction as one statement, for batches so small that round trips cost more than rows.

use std::ops::Range;

use sluice_model::{Row, Rows};
use sqlx::PgConnection;

use crate::{Advance, Batch, chunks::expect_all, engine::position_i64, fault::Fault};

/// Up to so many rows go in one statement. Fewer: batches of some rows pay for four round trips. More: a row costs the server about twice what it
/// does by `COPY` (2.6 and 1.3 µs where it was measured). Where the two meet was worked out, not measured: a few hundred rows.
const ROWS: usize = 256;
/// Larger batches of few rows had better not be copied once more.
const BYTES: usize = 128 << 10;

/// Compares and advances, in order of partition, and stores the rows. It fails as a whole, by a
/// division by zero, where not every position is the expected one, not every row is stored, or the
/// session is not the one that was set up: a statement that fails leaves nothing behind. `FOR
/// UPDATE` behind `ORDER BY` makes the order in which rows are locked sure; one that waited
/// compares with the row as it was committed (READ COMMITTED).
pub(super) const STORE: &str = "
    WITH step AS (
        SELECT journal_partition, reached, new.stamp
        FROM journal_position JOIN unnest($1::int4[], $2::int8[], $3::int8[], $4::int8[], $11::int8[])
            AS new (journal_partition, expected, reached, stamp, expected_stamp) USING (journal_partition)
        WHERE position = expected AND journal_position.stamp = expected_stamp {in_session}
        ORDER BY journal_partition
        FOR UPDATE OF journal_position
    ), advanced AS (
        UPDATE journal_position SET position = step.reached, stamp = step.stamp
        FROM step WHERE journal_position.journal_partition = step.journal_partition
        RETURNING 1
    ), stored AS (
        INSERT INTO person ({customer}, id, name, address) OVERRIDING SYSTEM VALUE
        SELECT * FROM unnest($5::text[], $6::int8[], $7::text[], $8::text[])
        RETURNING 1
    )
    SELECT 1 / ((SELECT count(*) FROM advanced) = $9 AND (SELECT count(*) FROM stored) = $10)::int";

/// Stores rows, within a transaction. `OVERRIDING` as `COPY` does: an id is ours also where the
/// column is an identity.
pub(super) const INSERT: &str = "
    INSERT INTO person ({customer}, id, name, address) OVERRIDING SYSTEM VALUE
    SELECT * FROM unnest($1::text[], $2::int8[], $3::text[], $4::text[])";

/// Whether a batch is for this.
pub(super) fn is_for(batch: &Batch) -> bool {
    is_small(batch.rows.len()) && batch.rows.bytes() <= BYTES
}

/// Whether so few rows had better be stored by one statement than by `COPY`, which takes a round trip more.
pub(super) fn is_small(rows: usize) -> bool {
    rows <= ROWS
}

/// Stores the batch: all of it, or, on an error, nothing (but for a lost answer).
pub(super) async fn store(connection: &mut PgConnection, sql: &str, batch: &Batch) -> Result<(), Fault> {
    let Batch { rows, advances } = batch;
    let of_advances = |value: fn(&Advance) -> i64| advances.iter().map(value).collect::<Vec<i64>>();
    let partitions: Vec<i32> = advances.iter().map(|advance| advance.partition().number().into()).collect();
    let query = sqlx::query(sql)
        .bind(partitions)
        .bind(of_advances(|advance| position_i64(advance.from.position)))
        .bind(of_advances(|advance| position_i64(advance.to.position)))
        .bind(of_advances(|advance| advance.to.stamp))
        .bind(texts(rows, 0..rows.len(), |row| row.customer_id))
        .bind(ids(rows, 0..rows.len()))
        .bind(texts(rows, 0..rows.len(), |row| row.name))
        .bind(texts(rows, 0..rows.len(), |row| row.address));
    let count = |length: usize| i64::try_from(length).expect("far fewer than 2^63");
    let query = query.bind(count(advances.len())).bind(count(rows.len()));
    query.bind(of_advances(|advance| advance.from.stamp)).execute(connection).await?;
    Ok(())
}

/// Stores the rows of a range, all or none.
pub(super) async fn insert(
    connection: &mut PgConnection,
    sql: &str,
    rows: &Rows,
    range: Range<usize>,
) -> Result<(), Fault> {
    if range.is_empty() {
        return Ok(());
    }
    let expected = range.len();
    let query = sqlx::query(sql)
        .bind(texts(rows, range.clone(), |row| row.customer_id))
        .bind(ids(rows, range.clone()))
        .bind(texts(rows, range.clone(), |row| row.name))
        .bind(texts(rows, range, |row| row.address));
    expect_all(query.execute(connection).await?.rows_affected(), expected)
}

fn texts(rows: &Rows, range: Range<usize>, text: for<'a> fn(Row<'a>) -> &'a str) -> Vec<&str> {
    rows.range(range).map(text).collect()
}

fn ids(rows: &Rows, range: Range<usize>) -> Vec<i64> {
    rows.range(range).map(|row| row.id.get()).collect()
}
