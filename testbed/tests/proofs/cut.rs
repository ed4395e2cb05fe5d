//! A connection is cut in the middle of what its client says.

use sluice_shard::Flavor;
use sluice_testbed::{
    proxy::Cut,
    traffic::{Load, Receiver, Traffic},
    wait,
};

use crate::{
    LIMIT, one_full_partition,
    under_load::{every_row_is_there, go_on, third_behind_a_proxy},
};

/// Bytes from the end of the word `COPY` to the first one of the rows: the rest of the statement, and the type and length of
/// the message that they begin.
const TO_ROWS: usize = " person (\"customer_id\", id, name, address) FROM STDIN (FORMAT binary)\0".len() + 5;

/// Each place in the lane's transaction that a cut can fall into. Every batch here has 300 rows or more of 60 bytes or more: too many for one
/// statement.
const CUTS: [(&str, usize); 16] = [
    // Before the positions, in the statement that moves them, and just not at its end.
    ("BEGIN", 0),
    ("BEGIN", 1),
    ("BEGIN", 40),
    ("BEGIN", 90),
    // In the statement, in a message's length, in the header of the rows, in a row, in one of the last.
    ("COPY", 0),
    ("COPY", 30),
    ("COPY", TO_ROWS - 2),
    ("COPY", TO_ROWS + 7),
    ("COPY", TO_ROWS + 60),
    ("COPY", TO_ROWS + 1_000),
    ("COPY", TO_ROWS + 2_400),
    // In the word itself: it begins as the transaction's end does. All but the last byte of the commit.
    ("COMM", 0),
    ("COMMI", 0),
    ("COMMIT", 0),
    // All of it: it is carried out, and nobody hears of it.
    ("COMMIT", 1),
    ("COMMIT", 1),
];

/// The address of every row.
const ADDRESS: &str = "xxxxxxxxxxxxxxxxxxxx";
/// Places in the one statement that stores a small batch, here of 40 rows or a few times as many: before its values (or, where the lane has
/// just connected, in another statement), among the first addresses, among the last, in the numbers behind them, at its end.
const CUTS_AT_ONCE: [(&str, usize); 10] = [
    ("sqlx_s_", 0),
    ("sqlx_s_", 40),
    (ADDRESS, 0),
    (ADDRESS, 2),
    (ADDRESS, 900),
    (ADDRESS, 39 * 24),
    (ADDRESS, 39 * 24 + 13),
    (ADDRESS, 39 * 24 + 26),
    (ADDRESS, 39 * 24 + 40),
    (ADDRESS, 39 * 24 + 60),
];

#[tokio::test]
async fn a_connection_cut_at_any_byte_of_a_transaction_neither_loses_nor_doubles_a_row() {
    cut_at(&CUTS, 10, 300).await;
}

#[tokio::test]
async fn a_connection_cut_in_the_statement_of_a_small_batch_neither_loses_nor_doubles_a_row() {
    cut_at(&CUTS_AT_ONCE, 60, 40).await;
}

async fn cut_at(cuts: &[(&'static str, usize)], messages_per_s: u32, events_per_message: u32) {
    let (fleet, third, proxy) = third_behind_a_proxy(Flavor::Postgres, one_full_partition()).await;
    let receivers = ["1", "2", "3"].map(Receiver::small).to_vec();
    let traffic = Traffic::start(&fleet, Load { receivers, messages_per_s, events_per_message }).await.unwrap();
    for (done, &(after, bytes)) in (1..).zip(cuts) {
        go_on(&[&third.address]).await;
        proxy.cut(Cut { after, bytes });
        let cut = || std::future::ready(proxy.cuts() == done);
        wait::until(&format!("a cut {bytes} bytes after {after}"), LIMIT, cut).await.unwrap();
        let verified = fleet.verify().await.unwrap();
        assert!(verified.ok, "{bytes} bytes after {after}: {verified:?}");
    }
    go_on(&[&fleet.shards()[0].address, &fleet.shards()[1].address, &third.address]).await;
    let sent = traffic.stop().await.unwrap();
    every_row_is_there(&fleet, &third.address, &sent).await;
}
