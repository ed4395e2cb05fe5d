//! The steps of a repair on a real server: what each promises, also to those who come too late.

use std::path::Path;

use sluice_journal::{
    Ask, Message, PublishError, Publisher,
    repair::{CopyError, Finished, JumpError, Lost, Origin, Standing, Way},
};
use sluice_model::{MessageBuilder, PartitionCount, Person, Place};
use sluice_testbed::{Process, nats_server::NatsServer};

use super::*;

const ZERO: fn() -> Partition = || Partition::new(0);

fn at(n: u64) -> Position {
    Position::new(Position::before_first(ZERO()).get() + n).unwrap()
}

async fn server(folder: &Path) -> (Process, Journal) {
    sluice_service::telemetry::init_for_test();
    let one = PartitionCount::try_from(1).unwrap();
    let (server, url) = NatsServer::start_on_free_port(folder, one, false).await.unwrap();
    let settings = Settings { journal_partitions: Some(one), journal_max_bytes: 64 << 20, ..Settings::default() };
    let journal = Journal::open(async_nats::connect(url).await.unwrap(), &settings).await.unwrap();
    (server, journal)
}

fn person(name: &str) -> MessageBuilder {
    let mut message = MessageBuilder::new();
    message.push(&Person { name: name.into(), address: "somewhere".into() });
    message
}

async fn store(journal: &Journal, names: &[&str]) -> Vec<Position> {
    let publisher = Publisher::start(journal, std::time::Duration::from_secs(5)).await.unwrap();
    let mut stored = Vec::new();
    for name in names {
        stored.push(
            publisher.publish(&"1".parse().unwrap(), person(name), Ask::default()).await.unwrap().first.position(),
        );
    }
    stored
}

async fn messages(journal: &Journal) -> Vec<Message> {
    let bounds = journal.bounds(ZERO()).await.unwrap();
    let mut reader = journal.read(bounds.before()).await.unwrap();
    let mut all = Vec::new();
    while reader.next_position() <= bounds.last {
        all.extend(reader.next_chunk(1_000).await.unwrap());
    }
    all
}

#[tokio::test]
async fn fillers_take_up_positions_and_are_no_events_and_a_message_of_that_subject_that_holds_something_is_no_filler() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, journal) = server(folder.path()).await;
    store(&journal, &["a", "b"]).await;
    let mut told = Vec::new();
    assert_eq!(journal.fill(at(2_500), |left| told.push(left)).await.unwrap(), 2_498);
    assert_eq!(told, [2_498, 1_498, 498, 0]);
    assert_eq!(journal.fill(at(2_500), |_| {}).await.unwrap(), 0);
    assert_eq!(store(&journal, &["c"]).await, [at(2_501)]);
    let jetstream = async_nats::jetstream::new(journal.client().clone());
    jetstream.publish(subject::filler(ZERO()), "meant".into()).await.unwrap().await.unwrap();
    let fillers: Vec<_> = messages(&journal).await.iter().map(Message::is_filler).collect();
    let events: Vec<_> = (1u64..).zip(fillers).filter(|(_, filler)| !filler).map(|(n, _)| n).collect();
    assert_eq!(events, [1, 2, 2_501, 2_502]);
    let bytes = journal.bounds(ZERO()).await.unwrap().bytes;
    assert!(bytes < 2_500 * sluice_journal::repair::FILLER_BYTES, "{bytes} bytes");
}

#[tokio::test]
async fn a_copy_bears_its_origin_and_whoever_lost_the_turn_can_store_none() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, journal) = server(folder.path()).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", "mine");
    headers.insert("Theirs", "stays");
    let jetstream = async_nats::jetstream::new(journal.client().clone());
    let subject = subject::create(journal.partitions(), &"1".parse().unwrap());
    let published = jetstream.publish_with_headers(subject.clone(), headers, "x".into()).await.unwrap();
    assert_eq!(published.await.unwrap().sequence, at(1).get());

    let original = messages(&journal).await.remove(0);
    let (first, second) = (journal.take_turn(ZERO()).await.unwrap(), journal.take_turn(ZERO()).await.unwrap());
    assert!(matches!(first.copy(&original).await, Err(CopyError::Overtaken)));
    store(&journal, &["others publish meanwhile"]).await;
    assert_eq!(second.copy(&original).await.unwrap(), at(5));
    let copy = messages(&journal).await.pop().unwrap();
    let origin = Origin { position: original.position, stamp: original.stamp };
    assert_eq!((Origin::of(&copy), Origin::of(&original)), (Some(origin), None));
    assert_eq!((&copy.subject, &copy.payload), (&original.subject, &original.payload));
    let header = |name: &str| copy.headers.as_ref().unwrap().get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Theirs").as_deref(), Some("stays"));
    assert_ne!(header("Nats-Msg-Id").as_deref(), Some("mine"));
}

#[tokio::test]
async fn an_empty_partition_jumps_and_one_that_holds_something_does_not_and_while_it_is_shut_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, journal) = server(folder.path()).await;
    let gate = journal.shut(ZERO()).await.unwrap();
    let publisher = Publisher::start(&journal, std::time::Duration::from_secs(5)).await.unwrap();
    let refused = publisher.publish(&"1".parse().unwrap(), person("a"), Ask::default()).await.unwrap_err();
    assert!(matches!(refused, PublishError::Refused(_)) && journal.is_shut(ZERO()).await.unwrap(), "{refused}");
    Journal::open(journal.client().clone(), &Settings::default()).await.expect("services start, and so does a repair");
    gate.jump(at(5_000_000_000)).await.unwrap();
    // Done again, by another who had begun as well.
    let other = journal.shut(ZERO()).await.unwrap();
    gate.open().await.unwrap();
    other.jump(at(5_000_000_000)).await.unwrap();
    other.open().await.unwrap();
    assert!(!journal.is_shut(ZERO()).await.unwrap());
    let (landing, stamp) = journal.landing(at(5_000_000_000)).await.unwrap();
    assert_eq!(landing, at(5_000_000_001));
    server.kill();
    server.restart().await.unwrap();
    let opened = async || journal.bounds(ZERO()).await.is_ok();
    wait::until("the server answers", LIMIT, opened).await.unwrap();
    assert_eq!(store(&journal, &["b"]).await, [at(5_000_000_002)]);
    journal.verify(Place { position: landing, stamp }).await.unwrap();
    assert!(messages(&journal).await[0].is_filler());

    let gate = journal.shut(ZERO()).await.unwrap();
    // Nor does one that has come so far by itself since somebody looked.
    for to in [at(6_000_000_000), at(5_000_000_002)] {
        let held = gate.jump(to).await.unwrap_err();
        assert!(matches!(held, JumpError::NotEmpty(2)), "{held}");
    }
    gate.open().await.unwrap();
    assert_eq!(messages(&journal).await.len(), 2);
}

#[tokio::test]
async fn a_finished_repair_is_accepted_to_the_letter_and_only_while_the_journal_holds_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, journal) = server(folder.path()).await;
    store(&journal, &["a", "b", "c"]).await;
    let stamp = |n| {
        let journal = journal.clone();
        async move { journal.stamp(at(n)).await.unwrap().unwrap() }
    };
    let other = stamp(2).await - 1;
    let lost = [Lost { shard: "s".to_owned(), cut: at(1), stored: at(2), stamp: other }];
    assert!(matches!(journal.standing("s", at(2), other).await.unwrap(), Standing::Replaced { .. }));
    assert_eq!(journal.last_until(ZERO(), other).await.unwrap(), at(1));
    assert_eq!(journal.last_until(ZERO(), 0).await.unwrap(), at(0));
    assert_eq!(journal.last_until(ZERO(), i64::MAX).await.unwrap(), at(3));

    journal.begin_repair(ZERO(), &lost, Way::Fill, None).await.unwrap();
    assert!(journal.verify(Place { position: at(2), stamp: other }).await.is_err(), "it is not done");
    let end = Finished { at: 1, end: at(3), stamp: stamp(3).await };
    journal.finish_repair(ZERO(), &lost, Way::Fill, end).await.unwrap();
    journal.verify(Place { position: at(2), stamp: other }).await.unwrap();
    assert_eq!(journal.standing("s", at(2), other).await.unwrap(), Standing::Repaired);
    assert!(
        journal.verify(Place { position: at(2), stamp: other - 1 }).await.is_err()
            && journal.verify(Place { position: at(3), stamp: other }).await.is_err()
    );
    // Somebody who was at the same, and is later; and one whose repair nobody knows any more.
    journal.finish_repair(ZERO(), &lost, Way::Fill, end).await.unwrap();
    let jump = Way::Jump { from: at(1), to: at(2) };
    assert!(journal.finish_repair(ZERO(), &lost, jump, end).await.is_err());

    // Another message stands at the end: the journal lost it once more.
    let again = Finished { stamp: end.stamp - 1, ..end };
    let lost = [Lost { stamp: other - 5, ..lost[0].clone() }];
    journal.begin_repair(ZERO(), &lost, Way::Fill, None).await.unwrap();
    journal.finish_repair(ZERO(), &lost, Way::Fill, again).await.unwrap();
    assert!(journal.verify(Place { position: at(2), stamp: other - 5 }).await.is_err());
    journal.verify(Place { position: at(2), stamp: other }).await.unwrap();
    // A position that no message was read at is only compared with the end.
    journal.verify(Place { position: at(3), stamp: 0 }).await.unwrap();
    assert!(journal.verify(Place { position: at(4), stamp: 0 }).await.is_err());
}
