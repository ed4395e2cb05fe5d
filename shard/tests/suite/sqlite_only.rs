//! What only a file can show.

use std::fs;

use sluice_shard::{Class, Shard, register};

use crate::support::{Fixture, append, at, identity, named, names, numbered, of, refused, stored, takes_nothing};

#[tokio::test]
async fn a_missing_file_is_not_made_by_connecting() {
    let fixture = Fixture::sqlite().await;
    let refused = Shard::connect(&fixture.address, &identity()).await.err().expect("there is no such shard");
    assert_eq!(refused.class, Class::Configuration);
    assert!(!fs::exists(&fixture.address.database).unwrap());
}

#[tokio::test]
async fn a_file_put_in_the_place_of_an_open_one_is_noticed() {
    let fixture = Fixture::sqlite().await;
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 3)).await;
    // An older copy comes back: the same shard, with nothing in it.
    let file = &fixture.address.database;
    for suffix in ["", "-wal", "-shm"] {
        fs::rename(format!("{file}{suffix}"), format!("{file}.old{suffix}")).unwrap();
    }
    register(&fixture.address, &identity(), &[at(0, 0)]).await.unwrap();
    assert_eq!(shard.append(&numbered(3, 3)).await.unwrap_err().class, Class::Transient);
    assert_eq!(shard.positions().await.unwrap_err().class, Class::Transient);
    assert_eq!(stored(&mut fixture.connect().await).await, 0);
}

#[tokio::test]
async fn where_sqlite_ends_the_transaction_by_itself_no_row_goes_in_without_its_position() {
    let fixture = Fixture::sqlite().await;
    let mut shard = fixture.shard().await;
    // A refusal that ends the whole transaction, as a full disk does, but with a code of the short list.
    fixture
        .admin(
            "CREATE TABLE trap (never TEXT NOT NULL ON CONFLICT ROLLBACK);
             CREATE TRIGGER spring BEFORE INSERT ON person WHEN NEW.name = 'poison'
             BEGIN INSERT INTO trap VALUES (NULL); END",
        )
        .await;
    // Good rows before and after it: neither may be there afterwards.
    let batch = named(0, ["a", "b", "c", "poison", "d", "e", "f"]);
    let failed = shard.append(&batch).await.unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{failed}: {}", failed.source);
    let mut reader = fixture.connect().await;
    assert_eq!((stored(&mut reader).await, names(&mut reader).await.len()), (0, 0));
}

#[tokio::test]
async fn a_file_whose_texts_are_utf_16_holds_every_text() {
    let fixture = Fixture::sqlite().await;
    fixture.admin("PRAGMA encoding = 'UTF-16le'; CREATE TABLE first (n INT)").await;
    let mut shard = fixture.shard().await;
    let odd = ["Łódź 👩‍🚀", "100 €", "\u{10ffff}", "a\u{301}", "plain"];
    append(&mut shard, &named(0, odd)).await;
    assert_eq!(names(&mut shard).await, odd);
    assert_eq!(shard.all_customers().await.unwrap(), ["42"]);
}

#[tokio::test]
async fn a_table_whose_rows_have_no_numbers_is_measured_by_counting() {
    let fixture = Fixture::sqlite().await;
    fixture
        .admin(
            "CREATE TABLE person (customer_id TEXT NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
             address TEXT NOT NULL, PRIMARY KEY (customer_id, id)) WITHOUT ROWID",
        )
        .await;
    append(&mut fixture.shard().await, &numbered(0, 1_234)).await;
    assert_eq!(fixture.connect().await.size().await.unwrap().rows, 1_234);
}

#[tokio::test]
async fn a_value_that_an_expression_cannot_read_is_a_refused_row() {
    let fixture = Fixture::sqlite().await;
    let mut shard = fixture.shard().await;
    fixture.admin("CREATE INDEX own ON person (CASE name WHEN 'j' THEN json_extract(name, '$.a') END)").await;
    // "malformed JSON", with the code of a missing table
    refused(&mut shard, &of("42", 0, "j")).await;
    append(&mut shard, &of("42", 0, "Ada")).await;
}

#[tokio::test]
async fn a_foreign_key_that_waits_for_the_commit_stops_nobody_for_good() {
    let fixture = Fixture::sqlite().await;
    let mut shard = fixture.shard().await;
    fixture
        .admin(
            "DROP TABLE person; CREATE TABLE known (customer TEXT PRIMARY KEY);
             CREATE TABLE person (customer_id TEXT NOT NULL REFERENCES known DEFERRABLE INITIALLY DEFERRED,
             id BIGINT NOT NULL, name TEXT NOT NULL, address TEXT NOT NULL, PRIMARY KEY (customer_id, id))",
        )
        .await;
    takes_nothing(&mut shard, &of("42", 0, "Ada")).await;
    fixture.admin("INSERT INTO known VALUES ('42')").await;
    append(&mut fixture.connect().await, &of("42", 0, "Ada")).await;
}
