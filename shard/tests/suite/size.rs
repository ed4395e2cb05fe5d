//! How much there is, and whose.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use sluice_model::{Person, Rows};
use sluice_shard::{Batch, Flavor, Size};

use crate::support::{Fixture, append, at, customer, numbered, step};

pub(crate) async fn the_size_is_about_right(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let empty = shard.size().await.unwrap();
    assert!(empty.rows <= 1, "{empty:?}");
    append(&mut shard, &numbered(0, 10_000)).await;
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
    assert_eq!(shard.all_customers().await.unwrap(), [""; 0]);
    let mut rows = Rows::new();
    let names: Vec<_> = (0..300).map(|n| format!("c-{}", n % 100)).chain(["Abc".into(), "abc".into()]).collect();
    for (index, name) in names.iter().enumerate() {
        rows.push(&customer(name), at(0, 1).event(index), &Person { name: "n".into(), address: "a".into() });
    }
    append(&mut shard, &Batch { rows, advances: vec![step(0, 0, 1)] }).await;
    fixture.admin("INSERT INTO person VALUES ('by hand', -5, '', '')").await;
    let listed: Vec<_> = shard.all_customers().await.unwrap();
    let expected: BTreeSet<_> = names.into_iter().chain(["by hand".into()]).collect();
    assert_eq!(listed.len(), 103);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
}

/// Fills the table behind the shard's back, by the engine's own means: `customers` names of `rows` rows each.
async fn fill(fixture: &Fixture, customers: u32, rows: u32) {
    let numbers = |count: u32| match fixture.address.flavor {
        Flavor::Postgres => format!("SELECT n FROM generate_series(1, {count}) AS g (n)"),
        Flavor::Mysql => format!("SELECT seq AS n FROM seq_1_to_{count}"),
        Flavor::Sqlite => format!(
            "WITH RECURSIVE g (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {count}) SELECT n FROM g"
        ),
    };
    let name = match fixture.address.flavor {
        Flavor::Mysql => "concat('c-', c.n)",
        _ => "'c-' || c.n",
    };
    let (customers, rows) = (numbers(customers), numbers(rows));
    let sql = format!("INSERT INTO person SELECT {name}, r.n, 'n', 'a' FROM ({customers}) AS c, ({rows}) AS r");
    fixture.admin(&sql).await;
}

pub(crate) async fn of_a_hundred_thousand_customers_each_is_listed_once(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fill(fixture, 100_000, 1).await;
    let begun = Instant::now();
    let listed = shard.all_customers().await.unwrap();
    assert_eq!(listed.len(), 100_000);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), (1..=100_000).map(|n| format!("c-{n}")).collect());
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

pub(crate) async fn few_customers_of_many_rows_are_listed_without_reading_those(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fill(fixture, 10, 20_000).await;
    // The quickest of some: a loaded machine holds any of them up.
    let mut took = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let listed = shard.all_customers().await.unwrap();
        took = took.min(begun.elapsed());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), (1..=10).map(|n| format!("c-{n}")).collect());
    }
    let begun = Instant::now();
    assert_eq!(shard.counts().await.unwrap().customers, 10);
    let all = begun.elapsed();
    assert!(took * 5 < all, "{took:?} for ten names, {all:?} for all rows");
}
