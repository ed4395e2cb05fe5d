//! Messages that no shard stores: whoever would bury them may begin beyond them after a repair.

use sluice_journal::DeadLetter;
use sluice_testbed::Placement;

use super::*;
use crate::fleet;

const GOOD: &str = r#"{"name":"Ada","address":"London"}"#;

/// Strict placement, one partition, and everybody but customer 9 is placed. All shards have 10 rows.
async fn strict() -> (Fleet, Vec<Vec<CustomerId>>) {
    let partitions = 1.try_into().unwrap();
    let options = FleetOptions { partitions, shard_count: 2, placement: Placement::Strict, ..one_writer() };
    let fleet = fleet(Flavor::Sqlite, options).await;
    let customers = with_customers(&fleet).await;
    people(&fleet, &customers.iter().flatten().collect::<Vec<_>>(), "early", 10).await;
    rows_are(&fleet, 10).await;
    (fleet, customers)
}

async fn plainly(fleet: &Fleet, messages: &[(&str, &str)]) {
    let client = fleet.nats_client().await.unwrap();
    for (customer, payload) in messages {
        client.publish(format!("person.create.{customer}"), (*payload).to_owned().into()).await.unwrap();
    }
    client.flush().await.unwrap();
}

/// The dead letters: customer, the message's number, payload.
async fn letters(journal: &Journal) -> Vec<(String, u64, String)> {
    let letters = journal.dead_letters().list().await.unwrap();
    let payload = |letter: &DeadLetter| String::from_utf8_lossy(&letter.payload).into_owned();
    letters.iter().map(|letter| (letter.customer.clone(), letter.id.position().get(), payload(letter))).collect()
}

#[tokio::test]
async fn what_was_given_again_to_nobody_has_its_dead_letter_though_every_reader_begins_beyond_it() {
    let (mut fleet, customers) = strict().await;
    let older = copy_journal(&mut fleet).await;
    people(&fleet, &customers.iter().flatten().collect::<Vec<_>>(), "late", 40).await;
    rows_are(&fleet, 50).await;
    fleet.writer().kill();
    put_back(&mut fleet, older).await;
    plainly(&fleet, &[("9", GOOD), ("*", "what is that")]).await;
    let opened = opened(&fleet).await;
    let (code, plan) = journal(&fleet, "repair").await;
    assert_eq!((code, &plan["partitions"][0]["unplaced"], &plan["partitions"][0]["dead"]), (1, &1.into(), &1.into()));
    assert!(letters(&opened).await.is_empty(), "nothing is changed yet");

    assert_eq!(journal(&fleet, "repair --yes").await.0, 0);
    let expected = [("9", 11, GOOD), ("_", 12, "what is that")].map(|(c, n, p)| (c.to_owned(), n, p.to_owned()));
    assert_eq!(letters(&opened).await, expected);
    fleet.writer().restart().await.unwrap();
    people(&fleet, &[&customers[0][0]], "later", 1).await;
    rows_are(&fleet, 51).await;
    verified(&fleet).await;
    assert_eq!(letters(&opened).await, expected);
}

#[tokio::test]
async fn an_event_that_dies_under_an_id_that_is_anothers_dead_letter_gets_one_of_its_own() {
    let (mut fleet, customers) = strict().await;
    // Only the partition is lost later, not the dead letters.
    let older = copy(&mut fleet, "jetstream/SLUICE/streams/JOURNAL-0").await;
    plainly(&fleet, &[("9", r#"{"name":"lost","address":""}"#)]).await;
    people(&fleet, &customers.iter().flatten().collect::<Vec<_>>(), "late", 4).await;
    rows_are(&fleet, 14).await;
    fleet.writer().kill();
    put_back(&mut fleet, older).await;
    plainly(&fleet, &[("9", r#"{"name":"again","address":""}"#)]).await;
    people(&fleet, &[&customers[0][0]], "again", 4).await;
    assert_eq!(journal(&fleet, "repair --yes").await.0, 0);

    fleet.writer().restart().await.unwrap();
    rows_are(&fleet, 18).await;
    let opened = opened(&fleet).await;
    let both = async || letters(&opened).await.len() == 2;
    wait::until("both have a dead letter", LIMIT, both).await.unwrap();
    let letters = letters(&opened).await;
    assert_eq!((letters[0].1, letters[0].2.contains("lost")), (11, true), "{letters:?}");
    assert!(letters[1].1 > 15 && letters[1].2.contains("again"), "{letters:?}");
    verified(&fleet).await;
}
