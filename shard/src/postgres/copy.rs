//! `COPY person FROM STDIN` in PostgreSQL's binary format: lengths instead of delimiters, so no text needs escaping.

use std::ops::Range;

use sluice_model::{Rows, rows::Row};
use sqlx::PgConnection;

use crate::fault::Fault;

pub(super) const COPY: &str = "COPY person ({customer}, id, name, address) FROM STDIN (FORMAT binary)";
/// Signature, no flags, no header extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const COLUMNS: [u8; 2] = 4_i16.to_be_bytes();
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
    let expected = range.len() as u64;
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
    let stored = copy.finish().await?;
    if stored != expected {
        return Err(Fault::invariant(format!(
            "{stored} of {expected} rows were stored: has person a trigger or rule?"
        )));
    }
    Ok(())
}

fn encode(row: Row<'_>, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&COLUMNS);
    encode_field(row.customer_id.as_bytes(), buffer);
    encode_field(&row.id.get().to_be_bytes(), buffer);
    encode_field(row.name.as_bytes(), buffer);
    encode_field(row.address.as_bytes(), buffer);
}

fn encode_field(bytes: &[u8], buffer: &mut Vec<u8>) {
    let length = i32::try_from(bytes.len()).expect("a checked field is far below 2 GiB");
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(bytes);
}
