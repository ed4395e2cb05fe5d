//! Rows that a database refuses for their values.

use sluice_shard::{Class, RefusedRow};

use crate::support::{Fixture, at, named, names, no_burial, stored};

/// 100 names, "poison" at these places.
fn poisoned(places: &[usize]) -> Vec<&'static str> {
    (0..100).map(|index| if places.contains(&index) { "poison" } else { "good" }).collect()
}

pub(crate) async fn a_refused_row_is_buried_and_its_batch_mates_commit(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    let mut buried: Vec<RefusedRow> = Vec::new();
    let mut seen_by_others = fixture.connect().await;
    let bury = async |refused: &[RefusedRow]| {
        // Nothing shows before the dead letters are stored.
        assert_eq!(stored(&mut seen_by_others).await, 0);
        buried.extend_from_slice(refused);
        Ok(())
    };
    shard.append(&named(0, poisoned(&[0, 40, 41, 99])), bury).await.unwrap();
    let found: Vec<_> = buried.iter().map(|row| (row.index, row.id)).collect();
    assert_eq!(found, [0, 40, 41, 99].map(|index| (index, at(0, index as u64 + 1).event(0))));
    assert!(buried.iter().all(|row| !row.detail.is_empty()));
    assert_eq!(names(&mut shard).await, vec!["good"; 96]);
    assert_eq!(stored(&mut shard).await, 100);
    // The lane goes on over the same connection.
    shard.append(&named(100, ["next"]), no_burial).await.unwrap();
    assert_eq!(names(&mut shard).await.len(), 97);
}

pub(crate) async fn a_batch_of_nothing_but_refused_rows_advances(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    for (from, count) in [(0, 1), (1, 7)] {
        let mut buried = 0;
        let bury = async |refused: &[RefusedRow]| {
            buried += refused.len();
            Ok(())
        };
        shard.append(&named(from, vec!["poison"; count]), bury).await.unwrap();
        assert_eq!(buried, count);
    }
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (8, 0));
}

pub(crate) async fn where_the_burial_fails_nothing_is_committed(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    let bury = async |_: &[RefusedRow]| Err("no journal to bury in".into());
    let failed = shard.append(&named(0, poisoned(&[50])), bury).await.unwrap_err();
    assert_eq!((failed.class, failed.source.to_string().as_str()), (Class::Transient, "no journal to bury in"));
    let mut reader = fixture.connect().await;
    assert_eq!((stored(&mut reader).await, names(&mut reader).await.len()), (0, 0));
}

pub(crate) async fn an_invariant_beside_a_refused_row_commits_nothing(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    fixture.admin(&format!("INSERT INTO person VALUES ('42', {}, 'not ours', '')", at(0, 80).event(0).get())).await;
    let failed = shard.append(&named(0, poisoned(&[20])), no_burial).await.unwrap_err();
    assert_eq!(failed.class, Class::Invariant);
    let mut reader = fixture.connect().await;
    assert_eq!(stored(&mut reader).await, 0);
    assert_eq!(names(&mut reader).await, ["not ours"]);
}
