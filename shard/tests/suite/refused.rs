//! Rows that a database refuses for their values.

use std::time::{Duration, Instant};

use sluice_model::EventId;
use sluice_shard::{Appended, Batch, Class, RefusedRow, Shard};

use crate::support::{Fixture, append, at, named, names, stored};

/// Rows that are all refused, and how long it may take until all are found.
const MANY: usize = 25_000;
const SOON: Duration = Duration::from_secs(60);

/// 100 names, "poison" at these places.
fn poisoned(places: &[usize]) -> Vec<&'static str> {
    (0..100).map(|index| if places.contains(&index) { "poison" } else { "good" }).collect()
}

/// Appends the batch without what is refused until it is stored; gives the refused rows, and how often it was tried.
async fn append_the_rest(shard: &mut Shard, batch: &mut Batch) -> (Vec<RefusedRow>, usize) {
    let (mut all, mut tries) = (Vec::new(), 0);
    loop {
        tries += 1;
        let refused = match shard.append(batch).await.unwrap() {
            Appended::Stored => return (all, tries),
            Appended::Refused(rows) | Appended::TooMany(rows) => rows,
        };
        assert!(!refused.is_empty(), "a search that finds nothing never ends");
        for row in &refused {
            assert_eq!(batch.rows.get(row.index).map(|found| found.id), Some(row.id));
        }
        let ids: Vec<EventId> = refused.iter().map(|row| row.id).collect();
        batch.rows.retain(|id| ids.binary_search(&id).is_err());
        all.extend(refused);
    }
}

pub(crate) async fn refused_rows_are_named_and_nothing_is_stored_before_they_are_left_out(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    let mut batch = named(0, poisoned(&[0, 40, 41, 99]));
    let Appended::Refused(refused) = shard.append(&batch).await.unwrap() else { panic!("four rows are refused") };
    let found: Vec<_> = refused.iter().map(|row| (row.index, row.id)).collect();
    assert_eq!(found, [0, 40, 41, 99].map(|index| (index, at(0, index as u64 + 1).event(0))));
    assert!(refused.iter().all(|row| !row.detail.is_empty()));
    // Another connection sees nothing, and is kept from nothing.
    let mut other = fixture.connect().await;
    assert_eq!((stored(&mut other).await, names(&mut other).await.len()), (0, 0));
    batch.rows.retain(|id| refused.iter().all(|row| row.id != id));
    append(&mut shard, &batch).await;
    assert_eq!(names(&mut shard).await, vec!["good"; 96]);
    assert_eq!(stored(&mut shard).await, 100);
    // The lane goes on over the same connection.
    append(&mut shard, &named(100, ["next"])).await;
    assert_eq!(names(&mut shard).await.len(), 97);
}

pub(crate) async fn after_refused_rows_another_writer_may_go_on(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    let batch = named(0, poisoned(&[50]));
    assert!(matches!(shard.append(&batch).await.unwrap(), Appended::Refused(_)));
    // No lock is left behind, and no open transaction.
    let mut other = fixture.connect().await;
    append(&mut other, &named(0, vec!["theirs"; 100])).await;
    let failed = shard.append(&batch).await.unwrap_err();
    assert_eq!(failed.class, Class::PositionMoved);
    assert_eq!(names(&mut other).await, vec!["theirs"; 100]);
}

pub(crate) async fn a_batch_of_nothing_but_refused_rows_advances(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    for (from, count) in [(0, 1), (1, 7), (8, 9)] {
        let (refused, _) = append_the_rest(&mut shard, &mut named(from, vec!["poison"; count])).await;
        assert_eq!(refused.len(), count);
    }
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (17, 0));
}

pub(crate) async fn where_all_of_many_rows_are_refused_each_search_ends_soon_and_finds_some(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    let mut batch = named(0, vec!["poison"; MANY]);
    assert!(matches!(shard.append(&batch).await.unwrap(), Appended::TooMany(found) if found.len() > 100));
    let mut other = fixture.connect().await;
    assert_eq!((stored(&mut other).await, names(&mut other).await.len()), (0, 0));
    let begun = Instant::now();
    let (refused, tries) = append_the_rest(&mut shard, &mut batch).await;
    let ids: Vec<_> = refused.iter().map(|row| row.id).collect();
    assert!(ids.iter().copied().eq((1..=MANY).map(|n| at(0, n as u64).event(0))), "each once, in order");
    assert!(begun.elapsed() < SOON, "{tries} transactions took {:?}", begun.elapsed());
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (MANY as u64, 0));
}

pub(crate) async fn an_invariant_beside_a_refused_row_commits_nothing(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    fixture.admin(&format!("INSERT INTO person VALUES ('42', {}, 'not ours', '')", at(0, 80).event(0).get())).await;
    let failed = shard.append(&named(0, poisoned(&[20]))).await.unwrap_err();
    assert_eq!(failed.class, Class::Invariant);
    let mut reader = fixture.connect().await;
    assert_eq!(stored(&mut reader).await, 0);
    assert_eq!(names(&mut reader).await, ["not ours"]);
}
