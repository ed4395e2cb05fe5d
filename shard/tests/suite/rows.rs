//! What goes in comes out.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use sluice_model::{Person, Rows};
use sluice_shard::{Batch, Counts, StoredRow};

use crate::support::{Fixture, append, at, customer, names, numbered, step, stored};

pub(crate) async fn awkward_text_survives(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let long = "ä".repeat(2_048);
    let texts = [
        "",
        "'",
        "''; DROP TABLE person; --",
        "\"",
        "\t",
        "\n",
        "\r\n",
        "\\",
        "\\.",
        "\\N",
        "\\.\n",
        "NULL",
        "{}",
        "$1",
        "?",
        "👩‍👩‍👧‍👦 e\u{301} \u{202e}",
        "\u{1}\u{7f}\u{feff}\u{10ffff}",
        " padded ",
        long.as_str(),
    ];
    let mut rows = Rows::new();
    for (index, text) in texts.iter().enumerate() {
        let person = Person { name: (*text).into(), address: texts[texts.len() - 1 - index].into() };
        rows.push(&customer("42"), at(0, 1).event(index), &person);
    }
    append(&mut shard, &Batch { rows, advances: vec![step(0, 0, 1)] }).await;
    let read = shard.customer_rows(&customer("42"), None, 100).await.unwrap();
    let expected = texts.iter().enumerate().map(|(index, text)| StoredRow {
        customer_id: "42".into(),
        id: at(0, 1).event(index),
        name: (*text).into(),
        address: texts[texts.len() - 1 - index].into(),
    });
    assert_eq!(read, expected.collect::<Vec<_>>());
}

pub(crate) async fn customers_that_differ_in_case_are_two(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let mut rows = Rows::new();
    for id in ["abc", "ABC"] {
        rows.push(&customer(id), at(0, 1).event(0), &Person { name: id.into(), address: "".into() });
    }
    append(&mut shard, &Batch { rows, advances: vec![step(0, 0, 1)] }).await;
    for id in ["abc", "ABC"] {
        let read = shard.customer_rows(&customer(id), None, 10).await.unwrap();
        assert_eq!(read.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), [id]);
    }
    assert_eq!(shard.customer_rows(&customer("Abc"), None, 10).await.unwrap(), []);
    assert_eq!(shard.counts().await.unwrap(), Counts { rows: 2, customers: 2 });
}

pub(crate) async fn ten_thousand_rows_go_in_one_batch(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 10_000)).await;
    // An odd number of rows, over the same connection: the buffers of the first batch are used again.
    append(&mut shard, &numbered(10_000, 1_234)).await;
    assert_eq!(stored(&mut shard).await, 11_234);
    let names = names(&mut shard).await;
    assert_eq!(names.len(), 11_234);
    for (index, name) in names.iter().enumerate() {
        assert_eq!(*name, format!("person {}", index % 10_000));
    }
}

pub(crate) async fn a_customers_rows_come_in_pages_in_order_of_id(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let mut rows = Rows::new();
    // Stored in another order than that of their ids, among those of another customer.
    for index in (0..25).rev() {
        let person = Person { name: format!("{index}").into(), address: "".into() };
        rows.push(&customer("42"), at(0, 1).event(index), &person);
        rows.push(&customer("43"), at(0, 2).event(index), &person);
    }
    append(&mut shard, &Batch { rows, advances: vec![step(0, 0, 2)] }).await;
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let page = shard.customer_rows(&customer("42"), after, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        pages.push(page.iter().map(|row| row.id.index()).collect::<Vec<_>>());
    }
    assert_eq!(pages, [(0..10).collect::<Vec<_>>(), (10..20).collect(), (20..25).collect()]);
}

pub(crate) async fn ids_and_counts_show_every_row(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    assert_eq!(shard.counts().await.unwrap(), Counts { rows: 0, customers: 0 });
    append(&mut shard, &numbered(0, 2_000)).await;
    // One that no journal ever gave, written by hand: it is shown as well.
    fixture.admin("INSERT INTO person VALUES ('by hand', -5, '', '')").await;
    assert_eq!(shard.counts().await.unwrap(), Counts { rows: 2_001, customers: 2 });
    let ids: BTreeSet<_> = shard.ids().try_collect().await.unwrap();
    let mut expected: BTreeSet<_> = (1..=2_000).map(|n| ("42".to_owned(), at(0, n).event(0).get())).collect();
    expected.insert(("by hand".into(), -5));
    assert_eq!(ids, expected);
    // The connection is as good as before.
    append(&mut shard, &numbered(2_000, 1)).await;
}

pub(crate) async fn a_stream_of_ids_may_be_left_half_way(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 5_000)).await;
    assert_eq!(shard.ids().take(3).count().await, 3);
    append(&mut shard, &numbered(5_000, 10)).await;
    assert_eq!(shard.counts().await.unwrap().rows, 5_010);
    assert_eq!(stored(&mut fixture.connect().await).await, 5_010);
}
