//! Whether rows are wrong or their table: the code of a refusal does not say.

use sluice_model::Rows;
use sluice_shard::{Appended, Batch, Flavor};

use crate::support::{Fixture, append, at, customer, named, names, numbered, of, refused, step, stored, takes_nothing};

/// One row of each of so many customers, all of the same name.
fn of_many(from: u64, customers: u64, name: &str) -> Batch {
    let mut rows = Rows::new();
    for n in 1..=customers {
        let person = sluice_model::Person { name: name.to_owned().into(), address: "there".into() };
        rows.push(&customer(&format!("c{n:03}")), at(0, from + n).event(0), &person);
    }
    Batch { rows, advances: vec![step(0, from, from + customers)] }
}

pub(crate) async fn while_a_table_takes_no_row_none_is_refused_and_all_are_stored_once_it_does(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    // Neither where it has never taken one, nor where it has; neither one row, nor many.
    for from in [0, 1_006] {
        fixture.add_unfilled_column(false).await;
        for batch in [of("7", from, "Ada"), numbered(from, 5), numbered(from, 1_000), of_many(from, 100, "Ada")] {
            let said = takes_nothing(&mut shard, &batch).await;
            assert!(said.contains("region") && said.contains("person"), "{said}");
            // Whoever connects anew knows nothing, and finds the same.
            takes_nothing(&mut fixture.connect().await, &batch).await;
            shard = fixture.connect().await;
        }
        assert_eq!(stored(&mut shard).await, from);
        fixture.add_unfilled_column(true).await;
        append(&mut shard, &of("7", from, "Ada")).await;
        append(&mut shard, &numbered(from + 1, 1_005)).await;
    }
    assert_eq!((stored(&mut shard).await, shard.counts().await.unwrap().rows), (2_012, 2_012));
}

pub(crate) async fn bad_rows_of_many_customers_are_refused_and_hold_nobody_up(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    // One by one, before any row was ever stored.
    for from in 0..20 {
        refused(&mut shard, &of(&format!("c{from}"), from, "poison")).await;
        append(&mut shard, &Batch { rows: Rows::new(), advances: vec![step(0, from, from + 1)] }).await;
    }
    refused(&mut shard, &of_many(20, 50, "poison")).await;
    append(&mut shard, &Batch { rows: Rows::new(), advances: vec![step(0, 20, 70)] }).await;
    append(&mut shard, &named(70, ["good"])).await;
    // After a row that was stored, and over a new connection.
    refused(&mut shard, &of_many(71, 50, "poison")).await;
    refused(&mut fixture.connect().await, &of_many(71, 50, "poison")).await;
    assert!(matches!(shard.append(&of_many(71, 600, "poison")).await.unwrap(), Appended::TooMany(_)));
    append(&mut shard, &named(71, ["good"])).await;
    assert_eq!(names(&mut shard).await, ["good", "good"]);
}

pub(crate) async fn a_trigger_that_shuts_one_customer_out_stops_nobody_else(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 2)).await;
    // The only one who has ever had a row.
    fixture.refuse_by_trigger("NEW.customer_id = '42'").await;
    refused(&mut shard, &numbered(2, 3)).await;
    refused(&mut fixture.connect().await, &numbered(2, 3)).await;
    append(&mut shard, &of("43", 2, "Ada")).await;
    assert_eq!((stored(&mut shard).await, shard.counts().await.unwrap().rows), (3, 3));
}

pub(crate) async fn a_trigger_that_shuts_everybody_out_is_a_matter_of_configuration(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_by_trigger("NEW.id > 0").await;
    let said = takes_nothing(&mut shard, &of("42", 0, "Ada")).await;
    assert!(said.contains("shut out"), "{said}");
    takes_nothing(&mut fixture.connect().await, &of_many(0, 30, "Ada")).await;
    let drop =
        if fixture.address.flavor == Flavor::Postgres { "DROP TRIGGER shut ON person" } else { "DROP TRIGGER shut" };
    fixture.admin(drop).await;
    append(&mut fixture.connect().await, &of_many(0, 30, "Ada")).await;
}

pub(crate) async fn what_refuses_every_row_from_some_id_on_refuses_none_of_them(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 2)).await;
    fixture.refuse_by_trigger(&format!("NEW.id > {}", at(0, 5).event(0).get())).await;
    // Some rows of this batch would be taken, and all that come after it would not.
    takes_nothing(&mut shard, &numbered(2, 5)).await;
    append(&mut fixture.connect().await, &numbered(2, 3)).await;
}

pub(crate) async fn what_an_index_of_the_users_own_refuses_is_a_refused_row(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let column = if fixture.address.flavor == Flavor::Mysql { "name(100)" } else { "name" };
    fixture.admin(&format!("CREATE UNIQUE INDEX own ON person ({column})")).await;
    append(&mut shard, &of("1", 0, "Ada")).await;
    refused(&mut shard, &of("1", 1, "Ada")).await;
    refused(&mut fixture.connect().await, &of("2", 1, "Ada")).await;
    let mut batch = named(1, ["Grace", "Ada", "Mary", "Grace"]);
    let Appended::Refused(rows) = shard.append(&batch).await.unwrap() else { panic!("two rows are refused") };
    assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), [1, 3]);
    batch.rows.retain(|id| rows.iter().all(|row| row.id != id));
    append(&mut shard, &batch).await;
    assert_eq!(names(&mut shard).await, ["Grace", "Mary"]);
}

pub(crate) async fn where_no_plain_row_will_do_a_row_that_the_table_holds_shows_that_it_takes_rows(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &of("7", 0, "Odd Grace")).await;
    fixture.refuse_by_trigger("NEW.name NOT LIKE 'Odd %'").await;
    // After a restart nobody remembers a row, and the bad ones come alone.
    let mut shard = fixture.connect().await;
    refused(&mut shard, &of_many(1, 30, "poison")).await;
    refused(&mut shard, &of("9", 1, "poison")).await;
    append(&mut shard, &of("9", 1, "Odd Ada")).await;
}
