//! One suite for every engine, on real PostgreSQL, real MariaDB and real SQLite files: what a [`sluice_shard::Shard`] promises.
//!
//! Each test is written once in `suite/` and runs once for each engine; what only one engine can show is in
//! `suite/postgres_only.rs`, `suite/mysql_only.rs` and `suite/sqlite_only.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; clippy does not see that helpers here are tests")]

#[allow(dead_code, unreachable_pub, reason = "this is a module of testbed, whose other users need the rest")]
#[path = "../../testbed/src/mariadb.rs"]
mod mariadb_server;
#[allow(dead_code, unreachable_pub, reason = "this is a module of testbed, whose other users need the rest")]
#[path = "../../testbed/src/postgres.rs"]
mod postgres_server;
mod suite;
#[allow(unreachable_pub, reason = "a test binary has nobody to be public to")]
mod support;

/// Runs each of the suite's tests, given as `file::name`, on all engines.
macro_rules! on_every_engine {
    ($($file:ident::$name:ident,)*) => {
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                crate::suite::$file::$name(&crate::support::Fixture::postgres().await).await;
            })*
        }
        mod on_mysql {
            $(#[tokio::test]
            async fn $name() {
                crate::suite::$file::$name(&crate::support::Fixture::mysql().await).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                crate::suite::$file::$name(&crate::support::Fixture::sqlite().await).await;
            })*
        }
    };
}

on_every_engine! {
    identity::registration_is_idempotent_and_never_touches_an_existing_position,
    identity::registration_refuses_a_database_that_bears_another_identity,
    identity::two_registrations_at_once_leave_one_identity,
    identity::two_registrations_of_different_shards_at_once_have_one_winner,
    identity::a_connection_under_another_name_or_journal_is_refused,
    identity::a_database_that_was_never_registered_is_a_matter_of_configuration,
    identity::a_person_table_of_other_columns_is_refused_by_name,
    adopted::a_column_of_somebody_elses_that_fills_itself_stays_theirs,
    adopted::a_column_that_nothing_fills_is_refused_by_name_and_nothing_is_registered,
    adopted::customers_that_the_table_takes_for_one_another_are_refused,
    rebinding::a_shard_is_given_over_and_goes_on_beyond_and_its_rows_stay,
    rebinding::a_shard_of_a_third_journal_or_name_is_refused_and_stays_as_it_is,
    rebinding::giving_over_again_changes_nothing_and_never_takes_a_position_back,
    rebinding::a_lane_that_was_connected_before_cannot_store_at_its_old_position,
    rebinding::a_missing_position_row_leaves_the_shard_with_its_journal,
    rebinding::a_database_says_which_journal_it_belongs_to_if_it_is_that_shard,
    positions::rows_and_position_move_together,
    positions::a_batch_from_another_position_is_refused_and_changes_nothing,
    positions::a_batch_without_rows_advances,
    positions::several_partitions_move_in_one_transaction_or_not_at_all,
    positions::a_batch_that_follows_on_another_message_of_the_same_position_is_refused,
    positions::a_missing_position_row_is_a_matter_of_configuration,
    positions::of_two_connections_that_append_the_same_step_exactly_one_wins,
    positions::the_same_id_twice_is_an_invariant_and_changes_nothing,
    positions::a_row_that_no_step_covers_never_reaches_the_database,
    positions::a_missing_table_is_a_matter_of_configuration,
    rows::awkward_text_survives,
    rows::customers_that_differ_in_case_are_two,
    rows::ten_thousand_rows_go_in_one_batch,
    rows::a_customers_rows_come_in_pages_in_order_of_id,
    rows::ids_and_counts_show_every_row,
    rows::a_stream_of_ids_may_be_left_half_way,
    columns::a_shard_whose_customer_column_has_another_name_works_like_any_other,
    columns::another_name_than_the_tables_is_refused,
    size::the_size_is_about_right,
    size::each_customer_is_listed_once,
    size::of_a_hundred_thousand_customers_each_is_listed_once,
    size::few_customers_of_many_rows_are_listed_without_reading_those,
    refused::refused_rows_are_named_and_nothing_is_stored_before_they_are_left_out,
    refused::after_refused_rows_another_writer_may_go_on,
    refused::a_batch_of_nothing_but_refused_rows_advances,
    refused::where_all_of_many_rows_are_refused_each_search_ends_soon_and_finds_some,
    refused::an_invariant_beside_a_refused_row_commits_nothing,
    wrong_table::while_a_table_takes_no_row_none_is_refused_and_all_are_stored_once_it_does,
    wrong_table::bad_rows_of_many_customers_are_refused_and_hold_nobody_up,
    wrong_table::a_trigger_that_shuts_one_customer_out_stops_nobody_else,
    wrong_table::a_trigger_that_shuts_everybody_out_is_a_matter_of_configuration,
    wrong_table::what_refuses_every_row_from_some_id_on_refuses_none_of_them,
    wrong_table::what_an_index_of_the_users_own_refuses_is_a_refused_row,
    wrong_table::where_no_plain_row_will_do_a_row_that_the_table_holds_shows_that_it_takes_rows,
}
