//! How much there is, and whose.

use std::{collections::BTreeSet, time::Duration};

use futures::TryStreamExt;
use sluice_model::{Person, Rows};
use sluice_shard::{Batch, Flavor, Size};

use crate::support::{Fixture, at, customer, no_burial, numbered, step};

pub(crate) async fn the_size_is_about_right(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let empty = shard.size().await.unwrap();
    assert!(empty.rows <= 1, "{empty:?}");
    shard.append(&numbered(0, 10_000), no_burial).await.unwrap();
    match fixture.address.flavor {
        // PostgreSQL's counters come with the end of the session that counted, at the latest.
        Flavor::Postgres => {
            shard.close().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Flavor::Mysql => fixture.admin("ANALYZE TABLE person").await,
        Flavor::Sqlite => {}
    }
    let Size { rows, bytes } = fixture.connect().await.size().await.unwrap();
    assert!((5_000..=20_000).contains(&rows), "{rows} rows");
    // A row has some 30 bytes of values.
    assert!((300_000..=6_000_000).contains(&bytes), "{bytes} bytes");
}

pub(crate) async fn each_customer_is_listed_once(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    assert_eq!(shard.customers().try_collect::<Vec<_>>().await.unwrap(), [""; 0]);
    let mut rows = Rows::new();
    let names: Vec<_> = (0..300).map(|n| format!("c-{}", n % 100)).chain(["Abc".into(), "abc".into()]).collect();
    for (index, name) in names.iter().enumerate() {
        rows.push(&customer(name), at(0, 1).event(index), &Person { name: "n".into(), address: "a".into() });
    }
    shard.append(&Batch { rows, advances: vec![step(0, 0, 1)] }, no_burial).await.unwrap();
    fixture.admin("INSERT INTO person VALUES ('by hand', -5, '', '')").await;
    let listed: Vec<_> = shard.customers().try_collect().await.unwrap();
    let expected: BTreeSet<_> = names.into_iter().chain(["by hand".into()]).collect();
    assert_eq!(listed.len(), 103);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
}
