//! Events that can never become a row.

use sluice_journal::{Journal, Settings};
use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, Placement, wait};

use crate::{LIMIT, all_rows, fleet};

#[tokio::test]
async fn a_malformed_event_becomes_a_dead_letter_with_its_reason_and_its_batch_mates_commit() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    let client = fleet.nats_client().await.unwrap();
    let good = r#"{"name":"Ada","address":"London"}"#;
    let mixed = format!("{good}\nnonsense\n{{\"name\":\"a\"}}\n{good}");
    for (subject, payload) in [
        ("person.create.1", good),
        ("person.create.1", mixed.as_str()),
        ("person.create.1", ""),
        ("person.create.1", r#"{"name":"a","address":"b","customer_id":"2"}"#),
        ("person.delete.1", good),
        ("person.create.*", good),
        ("person.create.1", good),
    ] {
        client.publish(subject, payload.to_owned().into()).await.unwrap();
    }
    client.flush().await.unwrap();
    wait::until("4 rows", LIMIT, async || all_rows(&fleet).await == 4).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");

    let journal = Journal::open(client, &Settings::default()).await.unwrap();
    let letters = journal.dead_letters().list().await.unwrap();
    let mut reasons: Vec<_> = letters.iter().map(|l| (l.customer.as_str(), l.reason.as_str(), l.id.index())).collect();
    reasons.sort_unstable();
    let expected = [
        ("1", "customer_mismatch", 0),
        ("1", "empty_message", 0),
        ("1", "invalid_event", 2),
        ("1", "malformed_json", 1),
        ("_", "invalid_customer", 0),
        ("_", "unknown_subject", 0),
    ];
    assert_eq!(reasons, expected);
    let nonsense = letters.iter().find(|letter| letter.reason == "malformed_json").unwrap();
    assert_eq!(nonsense.payload, "nonsense");
}

#[tokio::test]
async fn under_strict_placement_an_unplaced_customers_events_are_dead_letters_and_stay_so() {
    let options = FleetOptions { placement: Placement::Strict, ..FleetOptions::default() };
    let fleet = fleet(Flavor::Sqlite, options).await;
    let admin = fleet.admin().unwrap();
    admin.place("1", "shard1").await.unwrap();
    assert_eq!(fleet.load(&["--customers", "1,9", "--count", "20"]).await.unwrap().accepted, 20);
    wait::until("10 rows", LIMIT, async || all_rows(&fleet).await == 10).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && verified.dead_letters == 10, "{verified:?}");

    // Placed now, its later events become rows; those that were refused do not.
    admin.place("9", "shard2").await.unwrap();
    assert_eq!(fleet.load(&["--customers", "1,9", "--count", "20"]).await.unwrap().accepted, 20);
    wait::until("30 rows", LIMIT, async || all_rows(&fleet).await == 30).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && verified.dead_letters == 10, "{verified:?}");
}
