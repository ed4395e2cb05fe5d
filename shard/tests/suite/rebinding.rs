//! A shard whose journal was made anew: given over, whole or not at all.

use sluice_model::Partition;
use sluice_shard::{Batch, Class, Identity, Operation, Shard, ShardError, StoredPosition, journal_of, rebind};

use crate::support::{Fixture, append, at, identity, names, numbered, stored};

fn anew() -> Identity {
    Identity { journal_id: "journal-2".into(), ..identity() }
}

fn after(partition: u16, n: u64) -> StoredPosition {
    StoredPosition { position: at(partition, n), stamp: 77 }
}

/// `count` rows behind the position that the shard was given over with.
fn numbered_after(from: u64, count: u64) -> Batch {
    let mut batch = numbered(from, count);
    batch.advances[0].from = after(0, from);
    batch
}

async fn given_over(fixture: &Fixture, positions: &[StoredPosition]) -> Result<(), ShardError> {
    rebind(&fixture.address, &identity(), &anew(), positions).await
}

async fn connect_error(fixture: &Fixture, identity: &Identity) -> ShardError {
    Shard::connect(&fixture.address, identity).await.err().expect("this identity is not the shard's")
}

pub(crate) async fn a_shard_is_given_over_and_goes_on_beyond_and_its_rows_stay(fixture: &Fixture) {
    append(&mut fixture.shard().await, &numbered(0, 3)).await;
    given_over(fixture, &[after(0, 50), after(2, 7)]).await.unwrap();
    let refused = connect_error(fixture, &identity()).await;
    assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::VerifyIdentity));
    let mut shard = Shard::connect(&fixture.address, &anew()).await.unwrap();
    assert_eq!(names(&mut shard).await, ["person 0", "person 1", "person 2"]);
    let positions = shard.positions().await.unwrap();
    let untouched = |p| StoredPosition { position: at(p, 0), stamp: 0 };
    let expected = [after(0, 50), untouched(1), after(2, 7), untouched(3)];
    assert_eq!(positions, expected.map(|stored| (stored.position.partition(), stored)).into());
    append(&mut shard, &numbered_after(50, 2)).await;
    assert_eq!((names(&mut shard).await.len(), stored(&mut shard).await), (5, 52));
}

pub(crate) async fn a_shard_of_a_third_journal_or_name_is_refused_and_stays_as_it_is(fixture: &Fixture) {
    append(&mut fixture.shard().await, &numbered(0, 3)).await;
    let third = Identity { journal_id: "journal-3".into(), ..identity() };
    let other = |identity: Identity| Identity { shard: "beta".into(), ..identity };
    for (from, to) in [(third, anew()), (other(identity()), other(anew()))] {
        let refused = rebind(&fixture.address, &from, &to, &[after(0, 50)]).await.unwrap_err();
        assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::Rebind));
    }
    let mut shard = fixture.connect().await;
    assert_eq!((names(&mut shard).await.len(), stored(&mut shard).await), (3, 3));
}

pub(crate) async fn giving_over_again_changes_nothing_and_never_takes_a_position_back(fixture: &Fixture) {
    append(&mut fixture.shard().await, &numbered(0, 3)).await;
    given_over(fixture, &[after(0, 2)]).await.unwrap();
    let mut shard = Shard::connect(&fixture.address, &anew()).await.unwrap();
    let kept = StoredPosition { position: at(0, 3), stamp: 1_003 };
    assert_eq!(shard.positions().await.unwrap()[&Partition::new(0)], kept);
    given_over(fixture, &[after(0, 9)]).await.unwrap();
    append(&mut shard, &numbered_after(9, 1)).await;
    // Once more, by somebody who knows nothing of that; and to the journal that it belongs to already.
    given_over(fixture, &[after(0, 9)]).await.unwrap();
    rebind(&fixture.address, &anew(), &anew(), &[after(0, 9), after(1, 4)]).await.unwrap();
    let positions = shard.positions().await.unwrap();
    assert_eq!(positions[&Partition::new(0)], StoredPosition { position: at(0, 10), stamp: 1_010 });
    assert_eq!(positions[&Partition::new(1)].position, at(1, 4));
}

pub(crate) async fn a_lane_that_was_connected_before_cannot_store_at_its_old_position(fixture: &Fixture) {
    let mut lane = fixture.shard().await;
    append(&mut lane, &numbered(0, 3)).await;
    given_over(fixture, &[after(0, 9)]).await.unwrap();
    let refused = lane.append(&numbered(3, 2)).await.unwrap_err();
    assert_eq!(refused.class, Class::PositionMoved);
    let mut shard = Shard::connect(&fixture.address, &anew()).await.unwrap();
    assert_eq!((names(&mut shard).await.len(), stored(&mut shard).await), (3, 9));
}

pub(crate) async fn a_missing_position_row_leaves_the_shard_with_its_journal(fixture: &Fixture) {
    fixture.shard().await;
    fixture.admin("DELETE FROM journal_position WHERE journal_partition = 3").await;
    let refused = given_over(fixture, &[after(0, 9), after(3, 9)]).await.unwrap_err();
    assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::Rebind));
    assert_eq!(stored(&mut fixture.connect().await).await, 0);
}

pub(crate) async fn a_database_says_which_journal_it_belongs_to_if_it_is_that_shard(fixture: &Fixture) {
    fixture.shard().await;
    assert_eq!(journal_of(&fixture.address, "alpha").await.unwrap(), "journal-1");
    given_over(fixture, &[]).await.unwrap();
    assert_eq!(journal_of(&fixture.address, "alpha").await.unwrap(), "journal-2");
    let refused = journal_of(&fixture.address, "beta").await.unwrap_err();
    assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::VerifyIdentity));
}
