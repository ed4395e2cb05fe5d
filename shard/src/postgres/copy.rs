//! `COPY person FROM STDIN`, in the binary format.

use std::ops::Range;

use sluice_model::Rows;
use sqlx::PgConnection;

use crate::{
    chunks::expect_all,
    copy_format::{HEADER, TRAILER, encode},
    fault::Fault,
};

pub(super) const COPY: &str = "COPY person ({customer}, id, name, address) FROM STDIN (FORMAT binary)";
/// A message a row would cost a third of the rate; from 8 KiB up to a whole batch all sizes are equally quick.
const CHUNK_BYTES: usize = 128 * 1024;

/// The memory in which a chunk is put together, kept from one batch to the next.
#[derive(Default)]
pub(super) struct CopyBuffer(Vec<u8>);

/// Copies the rows of a range in. It must never be cancelled: the connection would be one answer behind from then on.
pub(super) async fn copy_in(
    connection: &mut PgConnection,
    sql: &str,
    CopyBuffer(buffer): &mut CopyBuffer,
    rows: &Rows,
    range: Range<usize>,
) -> Result<(), Fault> {
    if range.is_empty() {
        return Ok(());
    }
    let sent = range.len();
    let mut copy = connection.copy_in_raw(sql).await?;
    buffer.clear();
    buffer.extend_from_slice(HEADER);
    for row in rows.range(range) {
        encode(row, buffer);
        if buffer.len() >= CHUNK_BYTES {
            copy.send(buffer.as_slice()).await?;
            buffer.clear();
        }
    }
    buffer.extend_from_slice(&TRAILER);
    copy.send(buffer.as_slice()).await?;
    // A commit after a failed COPY says that all is well: only this answer tells.
    expect_all(copy.finish().await?, sent)
}
