//! Who a database is.

use sluice_model::Partition;
use sluice_shard::{Class, Identity, Operation, Shard, ShardAddress, ShardError, StoredPosition, register};

use crate::support::{Fixture, append, at, identity, names, numbered, stored};

/// A second registration of the same file may find it busy; that is to be tried again, like everything transient.
async fn register_at_last(address: &ShardAddress, identity: &Identity) -> Result<(), ShardError> {
    loop {
        match register(address, identity, &[at(0, 0)]).await {
            Err(e) if e.class == Class::Transient => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

fn other() -> Identity {
    Identity { shard: "beta".into(), ..identity() }
}

fn connect_error(result: Result<Shard, ShardError>) -> ShardError {
    result.err().expect("the connection was to be refused")
}

pub(crate) async fn registration_is_idempotent_and_never_touches_an_existing_position(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 3)).await;
    let before = shard.positions().await.unwrap();
    register(&fixture.address, &identity(), &[at(0, 0), at(1, 9), at(7, 5)]).await.unwrap();
    let after = fixture.connect().await.positions().await.unwrap();
    let mut expected = before;
    expected.insert(Partition::new(7), StoredPosition { position: at(7, 5), stamp: 0 });
    assert_eq!(after, expected);
    assert_eq!(names(&mut shard).await.len(), 3);
}

pub(crate) async fn registration_refuses_a_database_that_bears_another_identity(fixture: &Fixture) {
    let mut shard = fixture.shard().await;
    for identity in [other(), Identity { journal_id: "journal-2".into(), ..identity() }] {
        let refused = register(&fixture.address, &identity, &[at(9, 9)]).await.unwrap_err();
        assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::Register));
        assert!(refused.source.to_string().contains("alpha"), "{}", refused.source);
    }
    assert_eq!(shard.positions().await.unwrap().len(), 4);
}

pub(crate) async fn two_registrations_at_once_leave_one_identity(fixture: &Fixture) {
    let identity = identity();
    let (one, two) =
        tokio::join!(register_at_last(&fixture.address, &identity), register_at_last(&fixture.address, &identity));
    one.unwrap();
    two.unwrap();
    assert_eq!(stored(&mut fixture.connect().await).await, 0);
}

pub(crate) async fn two_registrations_of_different_shards_at_once_have_one_winner(fixture: &Fixture) {
    let (mine, theirs) = (identity(), other());
    let (one, two) =
        tokio::join!(register_at_last(&fixture.address, &mine), register_at_last(&fixture.address, &theirs));
    let (winner, refused) = match (one, two) {
        (Ok(()), Err(refused)) => (mine, refused),
        (Err(refused), Ok(())) => (theirs, refused),
        both => panic!("one was to win: {both:?}"),
    };
    assert_eq!(refused.class, Class::Configuration);
    Shard::connect(&fixture.address, &winner).await.unwrap();
}

pub(crate) async fn a_connection_under_another_name_or_journal_is_refused(fixture: &Fixture) {
    fixture.shard().await;
    for identity in [other(), Identity { journal_id: "journal-2".into(), ..identity() }] {
        let refused = connect_error(Shard::connect(&fixture.address, &identity).await);
        assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::VerifyIdentity));
    }
}

pub(crate) async fn a_database_that_was_never_registered_is_a_matter_of_configuration(fixture: &Fixture) {
    fixture.admin("CREATE TABLE unrelated (id BIGINT)").await;
    let refused = connect_error(Shard::connect(&fixture.address, &identity()).await);
    assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::VerifyIdentity));
}

pub(crate) async fn a_person_table_of_other_columns_is_refused_by_name(fixture: &Fixture) {
    fixture.admin("CREATE TABLE person (customer_id TEXT, id BIGINT, name TEXT, email TEXT)").await;
    let refused = register(&fixture.address, &identity(), &[at(0, 0)]).await.unwrap_err();
    assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::Register));
    assert!(refused.source.to_string().contains("address"), "{}", refused.source);
    // Nothing of the registration has remained.
    let unregistered = connect_error(Shard::connect(&fixture.address, &identity()).await);
    assert_eq!(unregistered.class, Class::Configuration);
}
