//! One suite for the meta database on both engines, a real PostgreSQL and real SQLite files: what a
//! [`sluice_directory::store::Store`] promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; clippy does not see that helpers here are tests")]

#[allow(dead_code, unreachable_pub, reason = "this is a module of testbed, whose other users need the rest")]
#[path = "../../testbed/src/postgres.rs"]
mod postgres_server;
mod suite;
#[allow(unreachable_pub, reason = "a test binary has nobody to be public to")]
mod support;

/// Runs each of the suite's tests, given as `file::name`, on both engines.
macro_rules! on_both_engines {
    ($($file:ident::$name:ident,)*) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                crate::suite::$file::$name(&crate::support::Meta::postgres().await).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                crate::suite::$file::$name(&crate::support::Meta::sqlite()).await;
            })*
        }
    };
}

on_both_engines! {
    placement::two_directories_that_place_the_same_customers_at_once_agree,
    placement::a_refusal_outlives_the_process_and_a_later_placement_counts_from_beyond_it,
    placement::only_open_shards_of_the_shared_pool_are_chosen_and_a_batch_that_cannot_be_placed_leaves_nothing,
    placement::a_customer_is_placed_by_hand_once_where_there_is_room,
    placement::placement_goes_by_what_was_measured_and_by_weight,
    placement::a_placement_that_is_cut_off_half_way_leaves_nothing_and_keeps_nobody_out,
    shards::a_shard_is_changed_field_by_field_and_its_version_grows,
    shards::only_a_closed_shard_that_nobody_is_on_is_taken_out,
    shards::customers_that_come_with_their_rows_are_placed_where_those_are,
    shards::a_held_shard_takes_new_customers_once_every_adopted_shard_was_asked,
    shards::a_shard_that_does_not_answer_keeps_what_was_measured,
    secrets::a_password_is_sealed_comes_back_and_is_never_shown,
    secrets::a_password_file_is_read_each_time_and_only_its_path_is_stored,
    secrets::another_key_is_refused_and_a_lost_one_is_not_made_anew,
    secrets::directories_that_start_at_once_agree_on_one_key,
}

#[tokio::test]
async fn a_url_of_another_engine_is_refused_and_not_repeated() {
    let refused = sluice_directory::store::Store::open("mysql://u:hunter2@h/meta", None).await.unwrap_err();
    assert!(refused.to_string().contains("sqlite://PATH or postgres://"), "{refused}");
    let bad = sluice_directory::store::Store::open("postgres://u:hunter2@h:port/meta", None).await.unwrap_err();
    assert!(!format!("{refused:?} {bad:?}").contains("hunter2"));
}
