//! PostgreSQL's binary `COPY` format: lengths instead of delimiters, so no text needs escaping. No I/O.
//! (PostgreSQL's manual, "COPY", "Binary Format".)

use sluice_model::rows::Row;

/// What begins the data: signature, no flags, no header extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What ends it.
pub const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const COLUMNS: [u8; 2] = 4_i16.to_be_bytes();

/// Adds one row: customer, id, name, address.
pub fn encode(row: Row<'_>, buffer: &mut Vec<u8>) {
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
