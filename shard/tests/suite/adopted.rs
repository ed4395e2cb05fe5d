//! Tables that somebody else made.

use sluice_shard::{Class, Flavor, Shard, register};

use crate::support::{Fixture, append, at, identity, names, numbered, stored};

/// A table of persons with more in it than Sluice knows of.
async fn make_person(fixture: &Fixture, more: &str) {
    let customer = match fixture.address.flavor {
        Flavor::Postgres => "TEXT COLLATE \"C\"",
        Flavor::Mysql => "VARCHAR(64)",
        Flavor::Sqlite => "TEXT",
    };
    let end = if fixture.address.flavor == Flavor::Mysql { "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" } else { "" };
    fixture
        .admin(&format!(
            "CREATE TABLE person (customer_id {customer} NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
             address TEXT NOT NULL, {more}, PRIMARY KEY (customer_id, id)) {end}"
        ))
        .await;
}

pub(crate) async fn a_column_of_somebody_elses_that_fills_itself_stays_theirs(fixture: &Fixture) {
    let generated = match fixture.address.flavor {
        Flavor::Postgres => "GENERATED ALWAYS AS (length(name)) STORED",
        _ => "GENERATED ALWAYS AS (length(name)) VIRTUAL",
    };
    make_person(
        fixture,
        &format!("region VARCHAR(9) NOT NULL DEFAULT 'eu', seen INT, letters INT {generated}, tag VARCHAR(9)"),
    )
    .await;
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 5)).await;
    append(&mut shard, &numbered(5, 1_000)).await;
    fixture.admin("DELETE FROM person WHERE region <> 'eu' OR seen IS NOT NULL").await;
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (1_005, 1_005));
}

pub(crate) async fn a_column_that_nothing_fills_is_refused_by_name_and_nothing_is_registered(fixture: &Fixture) {
    make_person(fixture, "region VARCHAR(9) NOT NULL").await;
    let refused = register(&fixture.address, &identity(), &[at(0, 0)]).await.unwrap_err();
    assert_eq!(refused.class, Class::Configuration);
    let said = refused.source.to_string();
    assert!(said.contains("region") && said.contains("default"), "{said}");
    assert!(Shard::connect(&fixture.address, &identity()).await.is_err());
}

/// At registration, and also where the table was changed since.
pub(crate) async fn customers_that_the_table_takes_for_one_another_are_refused(fixture: &Fixture) {
    let change = match fixture.address.flavor {
        Flavor::Postgres => {
            "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             ALTER TABLE person ALTER customer_id TYPE TEXT COLLATE any_case"
        }
        Flavor::Mysql => "ALTER TABLE person CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        Flavor::Sqlite => {
            "DROP TABLE person; CREATE TABLE person (customer_id TEXT COLLATE NOCASE NOT NULL, id BIGINT NOT NULL,
             name TEXT NOT NULL, address TEXT NOT NULL, PRIMARY KEY (customer_id, id))"
        }
    };
    fixture.shard().await.close().await;
    fixture.admin(change).await;
    let registered = register(&fixture.address, &identity(), &[at(0, 0)]).await.unwrap_err();
    let connected = Shard::connect(&fixture.address, &identity()).await.err().expect("it was to be refused");
    for refused in [registered, connected] {
        assert_eq!(refused.class, Class::Configuration, "{refused}: {}", refused.source);
        assert!(refused.source.to_string().contains("customer_id"), "{}", refused.source);
    }
}
