//! What the journal does on three servers it does as on one, whichever copy is asked.

use std::time::Duration;

use sluice_journal::{Ask, PublishError, Publisher, Settings, dead::Grave};
use sluice_model::{MessageBuilder, Partition, Person, Position, Reason, Refusal};
use sluice_testbed::nats_server::NatsServer;

use super::electing::{open, settings, three};

fn one_person(name: &str) -> MessageBuilder {
    let mut message = MessageBuilder::new();
    message.push(&Person { name: name.to_owned().into(), address: "b".repeat(1_000).into() });
    message
}

fn grave(index: usize) -> Grave {
    let (refusal, stored) = (Refusal::new(Reason::MalformedJson, "not JSON"), ("journal.0.person.create.a", 17));
    let position = Position::first(Partition::new(0));
    Grave::of_event(position, index, Some("a".parse().unwrap()), refusal, stored, "{".into())
}

#[tokio::test]
async fn a_full_journal_refuses_and_what_it_took_is_read_whole_and_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, client) = three(folder.path()).await;
    let _processes = NatsServer::start_all(servers).await.unwrap();
    let journal = open(&client, &Settings { journal_max_bytes: 200_000, ..settings(3) }).await;
    let publisher = Publisher::start(&journal, Duration::from_secs(5)).await.unwrap();
    let customer = "a".parse().unwrap();
    let mut stored = Vec::new();
    let refused = loop {
        match publisher.publish(&customer, one_person(&stored.len().to_string()), Ask::default()).await {
            Ok(id) => stored.push(id.first.position()),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PublishError::Full), "{refused}");
    assert!(stored.len() > 50, "{}", stored.len());
    let mut reader = journal.read(stored[0].previous().into()).await.unwrap();
    let mut read = Vec::new();
    while read.len() < stored.len() {
        read.extend(reader.next_chunk(10).await.unwrap().into_iter().map(|message| message.position));
    }
    assert_eq!(read, stored);
    assert_eq!(journal.purge_below(stored[10]).await.unwrap(), 10);
    let bounds = journal.bounds(Partition::new(0)).await.unwrap();
    assert_eq!((bounds.first, bounds.last), (stored[10], *stored.last().unwrap()));
    publisher.publish(&customer, one_person("again"), Ask::default()).await.unwrap();
}

#[tokio::test]
async fn an_event_that_two_bury_at_once_has_one_dead_letter_and_is_listed() {
    const GRAVES: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let (servers, client) = three(folder.path()).await;
    let _processes = NatsServer::start_all(servers).await.unwrap();
    let journal = open(&client, &settings(3)).await;
    let dead = journal.dead_letters();
    for index in 0..GRAVES {
        // Both bury the same event: one of them finds it there, or on its way, and then tries again.
        let mut both = [false; 2];
        while both != [true; 2] {
            let (one, other) = (grave(index), grave(index));
            let (first, second) = (async { dead.store(&[one]).await }, async { dead.store(&[other]).await });
            let (first, second) = tokio::join!(first, second);
            both = [both[0] || first.is_ok(), both[1] || second.is_ok()];
        }
        let listed: Vec<_> = dead.list().await.unwrap().into_iter().map(|letter| letter.id).collect();
        assert_eq!(listed, (0..=index).map(|index| grave(index).id).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn registrations_at_the_same_time_are_all_announced() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, client) = three(folder.path()).await;
    let _processes = NatsServer::start_all(servers).await.unwrap();
    let journal = open(&client, &settings(3)).await;
    // The first makes the bucket.
    journal.trim_ledger().await.unwrap();
    let announce = async |number: usize| {
        let ledger = journal.trim_ledger().await.unwrap();
        ledger.announce(&format!("shard{number}")).await.unwrap()
    };
    let announced = futures::future::join_all((0..10).map(announce)).await;
    let ledger = journal.trim_ledger().await.unwrap();
    let (record, _) = ledger.load().await.unwrap();
    assert_eq!(record.registering.len(), 10, "{record:?}");
    for announced in &announced {
        ledger.withdraw(announced).await.unwrap();
    }
    assert!(ledger.load().await.unwrap().0.registering.is_empty());
}
