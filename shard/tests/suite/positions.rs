//! The lane rule: rows and position stand or fall together.

use sluice_model::{Partition, Person, Rows};
use sluice_shard::{Appended, Batch, Class, Operation, StoredPosition};

use crate::support::{Fixture, append, at, customer, names, numbered, step, stored};

pub(crate) async fn rows_and_position_move_together(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 3)).await;
    // Read over another connection: only what is committed shows there.
    let mut reader = fixture.connect().await;
    assert_eq!(names(&mut reader).await, ["person 0", "person 1", "person 2"]);
    let moved = StoredPosition { position: at(0, 3), stamp: 1_003 };
    assert_eq!(reader.positions().await.unwrap()[&Partition::new(0)], moved);
    append(&mut shard, &numbered(3, 1)).await;
    assert_eq!((names(&mut reader).await.len(), stored(&mut reader).await), (4, 4));
}

pub(crate) async fn a_batch_from_another_position_is_refused_and_changes_nothing(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 5)).await;
    // Too low (somebody else was quicker), and too high (the shard went back in time).
    for from in [0, 4, 6] {
        let refused = shard.append(&numbered(from, 2)).await.unwrap_err();
        assert_eq!((refused.class, refused.operation), (Class::PositionMoved, Operation::Append));
        assert_eq!((names(&mut shard).await.len(), stored(&mut shard).await), (5, 5));
    }
    append(&mut shard, &numbered(5, 1)).await;
}

pub(crate) async fn a_batch_without_rows_advances(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let steps = (0..4).map(|partition| step(partition, 0, 100)).collect();
    append(&mut shard, &Batch { rows: Rows::new(), advances: steps }).await;
    let stored = shard.positions().await.unwrap();
    let expected = |p| (Partition::new(p), StoredPosition { position: at(p, 100), stamp: 1_100 });
    assert_eq!(stored, (0..4).map(expected).collect());
    assert_eq!(shard.counts().await.unwrap().rows, 0);
    // And without anything at all it is nothing.
    append(&mut shard, &Batch::default()).await;
}

pub(crate) async fn several_partitions_move_in_one_transaction_or_not_at_all(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let mut rows = Rows::new();
    for partition in 0..4 {
        let person = Person { name: format!("of {partition}").into(), address: "".into() };
        rows.push(&customer("42"), at(partition, 2).event(7), &person);
    }
    let mut advances: Vec<_> = (0..4).map(|partition| step(partition, 0, 2)).collect();
    // The last one is not where the batch believes it to be.
    advances[3].from = at(3, 1).into();
    let mut batch = Batch { rows, advances };
    let refused = shard.append(&batch).await.unwrap_err();
    assert_eq!(refused.class, Class::PositionMoved);
    assert!(refused.source.to_string().contains("3/0"), "{}", refused.source);
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (0, 0));
    batch.advances[3].from = at(3, 0).into();
    append(&mut shard, &batch).await;
    assert_eq!(names(&mut shard).await, ["of 0", "of 1", "of 2", "of 3"]);
    assert_eq!(shard.positions().await.unwrap()[&Partition::new(3)].position, at(3, 2));
}

/// The same position of another history: the journal lost its end, and gave positions a second time.
pub(crate) async fn a_batch_that_follows_on_another_message_of_the_same_position_is_refused(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 3)).await;
    // Small, and too large for one statement.
    for count in [1, 1_000] {
        let mut batch = numbered(3, count);
        batch.advances[0].from.stamp += 1;
        let refused = shard.append(&batch).await.unwrap_err();
        assert_eq!(refused.class, Class::PositionMoved);
        assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (3, 3));
    }
    append(&mut shard, &numbered(3, 1)).await;
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (4, 4));
}

pub(crate) async fn a_missing_position_row_is_a_matter_of_configuration(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.admin("DELETE FROM journal_position WHERE journal_partition = 0").await;
    let refused = shard.append(&numbered(0, 2)).await.unwrap_err();
    assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::Append));
    assert_eq!(shard.positions().await.unwrap().len(), 3);
    assert_eq!(shard.counts().await.unwrap().rows, 0);
}

pub(crate) async fn of_two_connections_that_append_the_same_step_exactly_one_wins(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let (mut wins, mut losses) = (0, 0);
    for round in 0..10 {
        // As a lane does it: in a task of its own.
        let tasks = [fixture.connect().await, fixture.connect().await].map(|mut shard| {
            tokio::spawn(async move {
                let batch = numbered(round * 50, 50);
                let appended = shard.append(&batch).await;
                (shard, appended)
            })
        });
        for task in tasks {
            match task.await.unwrap().1 {
                Ok(appended) => {
                    assert_eq!(appended, Appended::Stored);
                    wins += 1;
                }
                Err(e) => {
                    assert_eq!(e.class, Class::PositionMoved, "{e}: {}", e.source);
                    losses += 1;
                }
            }
        }
        assert_eq!(stored(&mut shard).await, (round + 1) * 50);
    }
    assert_eq!((wins, losses), (10, 10));
    assert_eq!(names(&mut shard).await.len(), 500);
}

pub(crate) async fn the_same_id_twice_is_an_invariant_and_changes_nothing(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 2)).await;
    fixture.admin(&format!("INSERT INTO person VALUES ('42', {}, 'not ours', '')", at(0, 4).event(0).get())).await;
    let refused = shard.append(&numbered(2, 3)).await.unwrap_err();
    assert_eq!((refused.class, refused.operation), (Class::Invariant, Operation::Append));
    let mut shard = fixture.connect().await;
    assert_eq!(stored(&mut shard).await, 2);
    assert_eq!(names(&mut shard).await, ["person 0", "person 1", "not ours"]);
}

pub(crate) async fn a_row_that_no_step_covers_never_reaches_the_database(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    let mut batch = numbered(0, 3);
    batch.advances = vec![step(0, 0, 2)];
    let refused = shard.append(&batch).await.unwrap_err();
    assert_eq!(refused.class, Class::Invariant);
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (0, 0));
}

pub(crate) async fn a_missing_table_is_a_matter_of_configuration(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    fixture.admin("DROP TABLE person").await;
    let refused = shard.append(&numbered(0, 2)).await.unwrap_err();
    assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::Append));
    assert_eq!(stored(&mut fixture.connect().await).await, 0);
}
