//! The shards themselves.

use sluice_directory::{
    Pool, RouteAnswer, ShardState,
    api::ShardChange,
    placement::Policy,
    store::{Adopted, Earlier, Placing, Removal},
};
use sluice_shard::Size;

use crate::support::{Meta, add, ask, assert_counts, customer, placed, set_state, shard};

pub(crate) async fn a_shard_is_changed_field_by_field_and_its_version_grows(meta: &Meta) {
    let store = meta.open().await;
    add(&store, "a", Pool::Shared).await;
    let before = store.shard("a").await.unwrap().unwrap();
    let change = ShardChange { host: Some("h2".into()), port: Some(7), weight: Some(9), ..ShardChange::default() };
    assert!(store.change_shard("a", &change).await.unwrap());
    let after = store.shard("a").await.unwrap().unwrap();
    assert_eq!((after.host.as_str(), after.port, after.weight), ("h2", 7, 9));
    assert_eq!((after.state, &after.database, &after.user), (before.state, &before.database, &before.user));
    assert!(after.version > before.version);
    assert!(!store.change_shard("none", &change).await.unwrap());
}

pub(crate) async fn only_a_closed_shard_that_nobody_is_on_is_taken_out(meta: &Meta) {
    let store = meta.open().await;
    for name in ["a", "b"] {
        add(&store, name, Pool::Shared).await;
    }
    store.place(&customer(1), "a").await.unwrap();
    assert_eq!(store.remove_shard("none").await.unwrap(), Removal::NoSuchShard);
    assert_eq!(store.remove_shard("b").await.unwrap(), Removal::NotClosed(ShardState::Open));
    for name in ["a", "b"] {
        set_state(&store, name, ShardState::Closed).await;
    }
    assert_eq!(store.remove_shard("a").await.unwrap(), Removal::Occupied(customer(1)));
    assert_eq!(store.remove_shard("b").await.unwrap(), Removal::Gone);
    assert_counts(meta, &store, &[("a", 1)]).await;
}

pub(crate) async fn customers_that_come_with_their_rows_are_placed_where_those_are(meta: &Meta) {
    let store = meta.open().await;
    add(&store, "a", Pool::Shared).await;
    store.place(&customer("known"), "a").await.unwrap();
    // Refused once, up to position 9: rows from before that have nothing to do with it.
    store.resolve(&[ask("refused", 9)], Policy::Strict).await.unwrap();
    let mut customers: Vec<_> = (0..2_345).map(customer).collect();
    customers.extend([customer("known"), customer("refused")]);
    let adopted = store.add_shard(&shard("old", Pool::Shared), &customers, &Earlier::default()).await.unwrap().unwrap();
    assert_eq!(adopted, Adopted { placed: 2_346, elsewhere: Some((1, customer("known"))) });
    assert!(store.shard("old").await.unwrap().unwrap().adopted);
    assert_counts(meta, &store, &[("a", 1), ("old", 2_346)]).await;
    let answers = store.resolve(&[ask(7, 1), ask("refused", 10), ask("known", 1)], Policy::Auto).await.unwrap();
    assert_eq!(answers, [placed("old", 0), placed("old", 10), placed("a", 0)]);
    // Once more, with one who came since: only that one is new.
    customers.push(customer("late"));
    let again = store.adopt("old", &customers).await.unwrap();
    assert_eq!((again.placed, again.elsewhere), (1, Some((1, customer("known")))));
    assert_counts(meta, &store, &[("a", 1), ("old", 2_347)]).await;
}

pub(crate) async fn a_held_shard_takes_new_customers_once_every_adopted_shard_was_asked(meta: &Meta) {
    let store = meta.open().await;
    for name in ["old", "older"] {
        store.add_shard(&shard(name, Pool::Shared), &[customer(name)], &Earlier::default()).await.unwrap().unwrap();
    }
    let earlier = Earlier { asked: vec!["older".to_owned()], silent: true };
    store.add_shard(&shard("new", Pool::Shared), &[], &earlier).await.unwrap().unwrap();
    let flags = async || {
        let shards = store.shards().await.unwrap();
        shards.into_iter().map(|shard| (shard.name, shard.adopted, shard.held)).collect::<Vec<_>>()
    };
    let named = |adopted, held| {
        [("new", false, held), ("old", adopted, false), ("older", false, false)].map(|(n, a, h)| (n.to_owned(), a, h))
    };
    assert_eq!(flags().await, named(true, true));
    assert_eq!(store.place(&customer(1), "new").await.unwrap(), Placing::Held);
    let questions: Vec<_> = (0..20).map(|n| ask(format!("c{n}"), 1)).collect();
    let placed_on_new = |answers: &[RouteAnswer]| answers.contains(&placed("new", 0));
    assert!(!placed_on_new(&store.resolve(&questions, Policy::Auto).await.unwrap()));
    assert_eq!(store.settle(&[]).await.unwrap(), 0, "one was not asked yet");
    assert_eq!(store.settle(&["old".to_owned()]).await.unwrap(), 1);
    assert_eq!(flags().await, named(false, false));
    let questions: Vec<_> = (20..40).map(|n| ask(format!("c{n}"), 1)).collect();
    assert!(placed_on_new(&store.resolve(&questions, Policy::Auto).await.unwrap()));
}

pub(crate) async fn a_shard_that_does_not_answer_keeps_what_was_measured(meta: &Meta) {
    let store = meta.open().await;
    add(&store, "a", Pool::Shared).await;
    assert_eq!(store.shard("a").await.unwrap().unwrap().measured, None);
    store.place(&customer(1), "a").await.unwrap();
    let size = Size { rows: 5, bytes: 4_096 };
    store.note_size("a", Ok(size)).await.unwrap();
    store.note_size("a", Err("it is away".into())).await.unwrap();
    let silent = store.shard("a").await.unwrap().unwrap();
    let measured = silent.measured.unwrap();
    assert!(silent.asked_ms.unwrap() >= measured.ms, "{silent:?}");
    assert_eq!((measured.size, measured.customers, silent.trouble.as_deref()), (size, 1, Some("it is away")));
    store.note_size("a", Ok(size)).await.unwrap();
    assert_eq!(store.shard("a").await.unwrap().unwrap().trouble, None);
}
