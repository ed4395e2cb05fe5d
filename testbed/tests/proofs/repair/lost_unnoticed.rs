//! The journal lost its end while the writer had something of it in hand, or had read nothing of it
//! yet.

use super::*;
use crate::fleet;

/// One partition and one shard with 5 rows, and a copy of the journal as it was then.
async fn with_copy() -> (Fleet, CustomerId, Older) {
    let writer_args = ["--shard-statement-ms", "1000"].map(str::to_owned).to_vec();
    // A lane asks its shard for nothing else than to store events.
    let (partitions, idle_advance_ms) = (1.try_into().unwrap(), 600_000);
    let options = FleetOptions { partitions, idle_advance_ms, shard_count: 1, writer_args, ..one_writer() };
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let customer = with_customers(&fleet).await[0][0].clone();
    people(&fleet, &[&customer], "early", 5).await;
    rows_are(&fleet, 5).await;
    let older = copy_unnoticed(&mut fleet);
    (fleet, customer, older)
}

/// Copies NATS' disk as it is now, without a connection that ends: as a snapshot of a volume does.
fn copy_unnoticed(fleet: &mut Fleet) -> Older {
    let copy = fleet.folder().join("older");
    let store = stores(fleet).remove(0);
    fleet.nats().freeze();
    copy_folder(&store, &copy).unwrap();
    fleet.nats().thaw();
    Older(vec![(store, copy)])
}

/// Rows of events whose names begin so, as few or as many as there are.
async fn count(fleet: &Fleet, name: &str) -> usize {
    every_row(fleet).await.iter().filter(|(_, _, _, of)| of.starts_with(name)).count()
}

#[tokio::test]
async fn what_waits_for_its_shard_while_the_journal_loses_it_is_never_stored_in_the_place_of_what_came_since() {
    let (mut fleet, customer, older) = with_copy().await;
    let database = std::path::PathBuf::from(&fleet.shards()[0].address.database);
    let away = database.with_extension("away");
    std::fs::rename(&database, &away).unwrap();
    people(&fleet, &[&customer], "late", 48).await;
    let log = fleet.writer().log().to_owned();
    let failed = async || std::fs::read_to_string(&log).unwrap().contains("trying the shard again");
    wait::until("a commit that fails", LIMIT, failed).await.unwrap();
    put_back(&mut fleet, older).await;
    people(&fleet, &[&customer], "again", 80).await;
    refused(&mut fleet, 1).await;
    std::fs::rename(&away, &database).unwrap();

    // The shard has nothing that the journal lacks: once it is looked at again, all goes on without
    // a repair.
    let there = async || count(&fleet, "again").await == 80;
    if wait::until("every event that the journal holds", LIMIT, there).await.is_err() {
        let (again, late) = (count(&fleet, "again").await, count(&fleet, "late").await);
        panic!("{again} of 80 accepted events have a row, and {late} that the journal lost have one");
    }
    let rows = every_row(&fleet).await;
    assert_eq!((once(&rows, "again"), once(&rows, "late"), rows.len()), (80, 0, 85));
    verified(&fleet).await;
}

#[tokio::test]
async fn a_writer_that_has_read_nothing_yet_refuses_a_journal_that_lost_its_end_and_was_filled_again_beyond_it() {
    let (mut fleet, customer, older) = with_copy().await;
    people(&fleet, &[&customer], "late", 50).await;
    rows_are(&fleet, 55).await;
    // Its reader starts at the journal's end.
    fleet.writer().restart().await.unwrap();
    // It sees the journal next when that has all that came since.
    fleet.writer().freeze();
    put_back(&mut fleet, older).await;
    people(&fleet, &[&customer], "again", 300).await;
    fleet.writer().thaw();
    let log = fleet.writer().log().to_owned();
    let told = async || std::fs::read_to_string(&log).unwrap().contains("`writer journal repair`");
    if wait::until("the writer offers the repair", LIMIT, told).await.is_err() {
        let again = count(&fleet, "again").await;
        panic!("the writer has stored {again} of 300 accepted events and skipped the others without an error");
    }
    assert_eq!(count(&fleet, "again").await, 0, "a partition that is refused is not read");

    assert_eq!(journal(&fleet, "repair --yes").await.0, 0);
    rows_are(&fleet, 355).await;
    let rows = every_row(&fleet).await;
    assert_eq!((once(&rows, "early"), once(&rows, "late"), once(&rows, "again")), (5, 50, 300));
    verified(&fleet).await;
}
