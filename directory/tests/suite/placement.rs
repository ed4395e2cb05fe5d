//! Who goes where, for good.

use std::time::{Duration, Instant};

use sluice_directory::{
    Pool, RouteAnswer, ShardState,
    placement::{Policy, Question},
    store::{Earlier, Placing, ResolveError},
};
use sluice_shard::Size;

use crate::support::{Meta, add, ask, assert_counts, customer, placed, route, set_state, shard};

pub(crate) async fn two_directories_that_place_the_same_customers_at_once_agree(meta: &Meta) {
    let stores = [meta.open().await, meta.open().await];
    for name in ["a", "b", "c"] {
        add(&stores[0], name, Pool::Shared).await;
    }
    let mut asking = tokio::task::JoinSet::new();
    for task in 0..8 {
        let store = stores[task % 2].clone();
        asking.spawn(async move {
            let mut routes = Vec::new();
            for batch in 0..10 {
                let questions: Vec<_> = (0..30).map(|index| ask(batch * 30 + index, 7)).collect();
                routes.extend(store.resolve(&questions, Policy::Auto).await.unwrap());
            }
            routes
        });
    }
    let answers = asking.join_all().await;
    assert!(answers.iter().all(|routes| routes == &answers[0]), "two askers got different routes");
    assert!(answers[0].iter().all(|answer| matches!(answer, RouteAnswer::Placed(_))));
    assert_counts(meta, &stores[1], &[("a", 100), ("b", 100), ("c", 100)]).await;
}

pub(crate) async fn a_refusal_outlives_the_process_and_a_later_placement_counts_from_beyond_it(meta: &Meta) {
    let store = meta.open().await;
    add(&store, "a", Pool::Shared).await;
    let strict = [ask(1, 10), ask(1, 12), ask(1, 11)];
    assert_eq!(store.resolve(&strict, Policy::Strict).await.unwrap(), vec![RouteAnswer::Refused; 3]);
    assert_eq!(store.resolve(&[ask(1, 4)], Policy::Strict).await.unwrap(), [RouteAnswer::Refused]);
    store.close().await;

    let store = meta.open().await;
    assert_eq!(store.place(&customer(1), "a").await.unwrap(), Placing::There(route("a", 13)));
    let answers = store.resolve(&[ask(1, 12), ask(1, 13), ask(1, 14)], Policy::Strict).await.unwrap();
    assert_eq!(answers, [RouteAnswer::Refused, placed("a", 13), placed("a", 13)]);
    // Asked about now, an unknown customer is refused, but no event of it was: nothing is noted.
    let now = Question { customer: customer(2), at: None };
    assert_eq!(store.resolve(&[now], Policy::Strict).await.unwrap(), [RouteAnswer::Refused]);
    assert_eq!(store.resolve(&[ask(2, 1)], Policy::Auto).await.unwrap(), [placed("a", 0)]);
}

pub(crate) async fn only_open_shards_of_the_shared_pool_are_chosen_and_a_batch_that_cannot_be_placed_leaves_nothing(
    meta: &Meta,
) {
    let store = meta.open().await;
    add(&store, "a", Pool::Dedicated).await;
    for (name, state) in [("b", ShardState::Draining), ("c", ShardState::Closed)] {
        add(&store, name, Pool::Shared).await;
        set_state(&store, name, state).await;
    }
    let error = store.resolve(&[ask(1, 1), ask(2, 1)], Policy::Auto).await.unwrap_err();
    assert!(matches!(error, ResolveError::NoOpenShard(_)), "{error}");
    assert!(store.known(&[customer(1), customer(2)]).await.unwrap().is_empty());
    add(&store, "d", Pool::Shared).await;
    assert_eq!(store.resolve(&[ask(1, 1), ask(2, 1)], Policy::Auto).await.unwrap(), vec![placed("d", 0); 2]);
    assert_counts(meta, &store, &[("a", 0), ("b", 0), ("c", 0), ("d", 2)]).await;
}

pub(crate) async fn a_customer_is_placed_by_hand_once_where_there_is_room(meta: &Meta) {
    let store = meta.open().await;
    add(&store, "ded", Pool::Dedicated).await;
    add(&store, "shut", Pool::Shared).await;
    add(&store, "open", Pool::Shared).await;
    let there = |shard: &str| Placing::There(route(shard, 0));
    assert_eq!(store.place(&customer(0), "shut").await.unwrap(), there("shut"));
    set_state(&store, "shut", ShardState::Closed).await;
    for (id, shard, wanted) in [
        (1, "none", Placing::NoSuchShard),
        (1, "shut", Placing::NotOpen(ShardState::Closed)),
        (1, "ded", there("ded")),
        (1, "ded", there("ded")),
        (2, "ded", Placing::Taken(customer(1))),
        (2, "open", there("open")),
        // Confirmed, although the shard takes no new ones.
        (0, "shut", there("shut")),
    ] {
        assert_eq!(store.place(&customer(id), shard).await.unwrap(), wanted, "customer {id} on {shard}");
    }
    let elsewhere = store.place(&customer(1), "open").await.unwrap();
    assert!(matches!(elsewhere, Placing::Elsewhere(route) if route.shard == "ded"));
    assert_counts(meta, &store, &[("ded", 1), ("open", 1), ("shut", 1)]).await;
}

pub(crate) async fn placement_goes_by_what_was_measured_and_by_weight(meta: &Meta) {
    let store = meta.open().await;
    add(&store, "giant", Pool::Shared).await;
    let mut wide = shard("wide", Pool::Shared);
    wide.weight = 3;
    store.add_shard(&wide, &[], &Earlier::default()).await.unwrap().unwrap();
    assert_eq!(store.place(&customer("big"), "giant").await.unwrap(), Placing::There(route("giant", 0)));
    for name in 0..9 {
        store.place(&customer(name), "wide").await.unwrap();
    }
    // By customers alone, `giant` would be next: 1 against 9 / 3.
    store.note_size("giant", Ok(Size { rows: 40_000_000, bytes: 4 << 30 })).await.unwrap();
    store.note_size("wide", Ok(Size { rows: 9_000, bytes: 9 << 20 })).await.unwrap();
    let answers = store.resolve(&[ask("x", 1), ask("y", 1)], Policy::Auto).await.unwrap();
    assert_eq!(answers, vec![placed("wide", 0); 2]);
    // A shard that does not answer gets nobody while another does.
    store.note_size("wide", Err("connection refused".into())).await.unwrap();
    assert_eq!(store.resolve(&[ask("z", 1)], Policy::Auto).await.unwrap(), [placed("giant", 0)]);
    // Asked again, all stay where they are.
    let again = store.resolve(&[ask("x", 1), ask("z", 1)], Policy::Auto).await.unwrap();
    assert_eq!(again, [placed("wide", 0), placed("giant", 0)]);
}

pub(crate) async fn a_placement_that_is_cut_off_half_way_leaves_nothing_and_keeps_nobody_out(meta: &Meta) {
    let (store, other) = (meta.open().await, meta.open().await);
    add(&store, "a", Pool::Shared).await;
    // Somebody is in the middle of a writing transaction: half a placement, by hand.
    let begin = if meta.url.starts_with("sqlite") {
        "BEGIN IMMEDIATE"
    } else {
        "BEGIN; LOCK TABLE shard IN SHARE ROW EXCLUSIVE MODE"
    };
    let half = "INSERT INTO route (customer, from_position, shard) VALUES ('1', 5, 'a')";
    let held = meta.hold(&format!("{begin}; {half}")).await;
    // Those who are known are answered; a new one waits, within a limit, and the error says that it is the database.
    let begun = Instant::now();
    let waiting = store.resolve(&[ask(1, 9)], Policy::Auto).await.unwrap_err();
    assert!(matches!(waiting, ResolveError::Store(_)), "{waiting}");
    assert!(begun.elapsed() < Duration::from_secs(8), "it waited {:?}", begun.elapsed());
    // It dies: its half is gone, and the next one places.
    drop(held);
    assert_eq!(other.resolve(&[ask(1, 9)], Policy::Auto).await.unwrap(), [placed("a", 0)]);
    assert_eq!(store.resolve(&[ask(1, 9)], Policy::Auto).await.unwrap(), [placed("a", 0)]);
    assert_counts(meta, &store, &[("a", 1)]).await;
}
