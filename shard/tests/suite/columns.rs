//! A customer's column of another name.

use futures::TryStreamExt;
use sluice_shard::{Class, Counts, CustomerColumn, Operation, Shard, ShardAddress, register};

use crate::support::{Fixture, append, at, customer, identity, numbered};

fn renamed(fixture: &Fixture, name: &str) -> ShardAddress {
    let customer_column: CustomerColumn = name.parse().unwrap();
    ShardAddress { customer_column, ..fixture.address.clone() }
}

pub(crate) async fn a_shard_whose_customer_column_has_another_name_works_like_any_other(fixture: &Fixture) {
    // The second is a word that every engine reserves.
    for name in ["tenant_id", "order"] {
        let address = renamed(fixture, name);
        register(&address, &identity(), &[at(0, 0)]).await.unwrap();
        let mut shard = Shard::connect(&address, &identity()).await.unwrap();
        append(&mut shard, &numbered(0, 1_234)).await;
        // The column is there, by that name.
        let quote = if address.flavor == sluice_shard::Flavor::Postgres { '"' } else { '`' };
        fixture.admin(&format!("DELETE FROM person WHERE {quote}{name}{quote} <> '42'")).await;
        let rows = shard.customer_rows(&customer("42"), None, 5_000).await.unwrap();
        assert_eq!((rows.len(), rows[0].customer_id.as_str(), rows[0].name.as_str()), (1_234, "42", "person 0"));
        assert_eq!(shard.counts().await.unwrap(), Counts { rows: 1_234, customers: 1 });
        assert_eq!(shard.all_customers().await.unwrap(), ["42"]);
        let ids: Vec<_> = shard.ids().try_collect().await.unwrap();
        assert!(ids.len() == 1_234 && ids.iter().all(|(customer, _)| customer == "42"));
        shard.close().await;
        fixture.admin("DROP TABLE person; DROP TABLE journal_position; DROP TABLE sluice_shard").await;
    }
}

pub(crate) async fn another_name_than_the_tables_is_refused(fixture: &Fixture) {
    fixture.shard().await;
    let address = renamed(fixture, "tenant_id");
    let refused = register(&address, &identity(), &[at(0, 0)]).await.unwrap_err();
    assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::Register));
    assert!(refused.source.to_string().contains("tenant_id"), "{}", refused.source);
    let mut shard = Shard::connect(&address, &identity()).await.unwrap();
    let refused = shard.append(&numbered(0, 1)).await.unwrap_err();
    assert_eq!(refused.class, Class::Configuration, "{}", refused.source);
    let mut shard = Shard::connect(&address, &identity()).await.unwrap();
    assert!(shard.all_customers().await.is_err());
    let mut shard = Shard::connect(&address, &identity()).await.unwrap();
    assert!(shard.customer_rows(&customer("42"), None, 5).await.is_err());
}
