//! Publisher and dead letters on one server.

use std::{collections::BTreeMap, path::Path, time::Duration};

use sluice_journal::{
    Ask, Journal, PublishError, Publisher, Settings,
    dead::Grave,
    publish::{Piece, max_message_bytes},
    subject,
};
use sluice_model::{
    CustomerId, Indexes, MessageBuilder, Partition, PartitionCount, Person, Position, Reason, Refusal, message::decode,
};
use sluice_testbed::{Process, nats_server::NatsServer, proxy::Proxy};

use super::set_max_payload;

async fn server(folder: &Path) -> (Process, String) {
    sluice_service::telemetry::init_for_test();
    NatsServer::start_on_free_port(folder, PartitionCount::try_from(2).unwrap(), false).await.unwrap()
}

async fn journal(url: &str) -> Journal {
    let partitions = Some(PartitionCount::try_from(2).unwrap());
    let settings = Settings { journal_partitions: partitions, journal_max_bytes: 64 << 20, ..Settings::default() };
    Journal::open(async_nats::connect(url).await.unwrap(), &settings).await.unwrap()
}

/// Persons with these numbers as names, each of about so many bytes.
fn people(numbers: std::ops::Range<usize>, bytes: usize) -> MessageBuilder {
    let mut message = MessageBuilder::new();
    for number in numbers {
        message.push(&Person { name: number.to_string().into(), address: "x".repeat(bytes).into() });
    }
    message
}

/// How often each name stands in the journal, as the server has it, customer by customer.
async fn names(url: &str, journal: &Journal) -> BTreeMap<(String, String), u32> {
    let mut names = BTreeMap::new();
    let context = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
    for partition in journal.partitions().all() {
        let bounds = journal.bounds(partition).await.unwrap();
        for sequence in bounds.first.get()..=bounds.last.get() {
            let stream = context.get_stream(subject::stream_name(partition)).await.unwrap();
            let message = stream.get_raw_message(sequence).await.unwrap();
            let customer: CustomerId = message.subject.rsplit('.').next().unwrap().parse().unwrap();
            for person in decode(&message.payload, &customer) {
                *names.entry((customer.to_string(), person.unwrap().name.into_owned())).or_default() += 1;
            }
        }
    }
    names
}

fn all_once(names: &BTreeMap<(String, String), u32>, customers: &[&str], count: usize) {
    let expected = customers
        .iter()
        .flat_map(|customer| (0..count).map(move |number| (((*customer).to_owned(), number.to_string()), 1)));
    assert_eq!(*names, expected.collect());
}

fn assert_stored(pieces: &[Piece], events: usize) {
    assert!(pieces.iter().all(|piece| piece.stored.is_ok()), "{pieces:?}");
    assert_eq!(pieces.iter().map(|piece| piece.events.len()).sum::<usize>(), events);
}

#[tokio::test]
async fn events_on_their_way_when_the_server_takes_less_are_stored_once_in_smaller_messages() {
    let folder = tempfile::tempdir().unwrap();
    let (server, url) = server(folder.path()).await;
    let journal = journal(&url).await;
    let publisher = Publisher::start(&journal, Duration::from_secs(5)).await.unwrap();
    let customers: Vec<CustomerId> = ["a", "b", "c"].map(|name| name.parse().unwrap()).to_vec();
    set_max_payload(&server, folder.path(), &url, 32 << 10).await;
    assert_eq!(max_message_bytes(&journal), 512 << 10, "our connection knows nothing of it");
    let began = std::time::Instant::now();
    let offers = customers
        .iter()
        .map(async |customer| publisher.offer(customer, people(0..1_000, 100), Ask::default()).await.unwrap().await);
    for pieces in futures::future::join_all(offers).await {
        assert_stored(&pieces, 1_000);
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(max_message_bytes(&journal), 16 << 10, "and now it does");
    let pieces = publisher.offer(&customers[0], people(1_000..2_000, 100), Ask::default()).await.unwrap().await;
    assert_stored(&pieces, 1_000);
    let (own, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        names(&url, &journal).await.into_iter().partition(|((customer, _), _)| customer == "a");
    all_once(&own, &["a"], 2_000);
    all_once(&others, &["b", "c"], 1_000);
}

#[tokio::test]
async fn an_event_that_the_server_takes_no_more_is_known_to_be_stored_nowhere_and_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (server, url) = server(folder.path()).await;
    let journal = journal(&url).await;
    let publisher = Publisher::start(&journal, Duration::from_secs(5)).await.unwrap();
    let customer: CustomerId = "a".parse().unwrap();
    // Three bytes in one: the largest person that there can be, and one that still fits afterwards,
    // on either side.
    let mut mixed = people(0..1, 50);
    mixed.push(&Person { name: "large".into(), address: "\u{1}".repeat(4_000).into() });
    mixed.append(&people(1..2, 50));
    set_max_payload(&server, folder.path(), &url, 8 << 10).await;
    let pieces = publisher.offer(&customer, mixed.clone(), Ask::default()).await.unwrap().await;
    let mut told: Vec<_> = pieces.iter().map(|piece| (piece.events.start, piece.stored.is_ok())).collect();
    told.sort_unstable();
    assert_eq!(told, [(0, true), (1, false), (2, true)], "{pieces:?}");
    let too_large = pieces.iter().find_map(|piece| piece.stored.as_ref().err()).unwrap();
    assert!(matches!(too_large, PublishError::TooLarge { max: 4_096, .. }), "{too_large}");

    // Alone it is known as well: the server is asked for its id.
    set_max_payload(&server, folder.path(), &url, 1 << 20).await;
    let again = Journal::open(async_nats::connect(&url).await.unwrap(), &Settings::default()).await.unwrap();
    let publisher = Publisher::start(&again, Duration::from_secs(5)).await.unwrap();
    set_max_payload(&server, folder.path(), &url, 8 << 10).await;
    let alone = publisher.publish(&customer, mixed.part(1..2), Ask::default()).await.unwrap_err();
    assert!(matches!(alone, PublishError::TooLarge { .. }), "{alone}");
    let from_now_on = publisher.publish(&customer, mixed.part(1..2), Ask::default()).await.unwrap_err();
    assert!(matches!(from_now_on, PublishError::TooLarge { .. }), "{from_now_on}");
    all_once(&names(&url, &journal).await, &["a"], 2);
}

#[tokio::test]
async fn a_message_that_was_stored_before_the_server_took_less_is_not_stored_again() {
    let folder = tempfile::tempdir().unwrap();
    let (server, url) = server(folder.path()).await;
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::before(port).await.unwrap();
    let journal = journal(&format!("nats://127.0.0.1:{}", proxy.port())).await;
    let publisher = Publisher::start(&journal, Duration::from_secs(30)).await.unwrap();
    let customer: CustomerId = "a".parse().unwrap();
    // It is stored, and its acknowledgement is lost.
    proxy.delay(Duration::from_secs(60));
    let offered = publisher.offer(&customer, people(0..500, 100), Ask::default()).await.unwrap();
    let offered = tokio::spawn(offered);
    let direct = Journal::open(async_nats::connect(&url).await.unwrap(), &Settings::default()).await.unwrap();
    let partition = direct.partitions().of(&customer);
    let stored = async || direct.bounds(partition).await.unwrap().messages == 1;
    sluice_testbed::wait::until("the message", Duration::from_secs(10), stored).await.unwrap();
    set_max_payload(&server, folder.path(), &url, 8 << 10).await;
    proxy.delay(Duration::ZERO);
    proxy.lead_to(port);
    let pieces = offered.await.unwrap();
    assert_stored(&pieces, 500);
    for Piece { events, stored } in &pieces {
        let expected = Position::first(partition).event(events.start);
        assert_eq!(stored.as_ref().unwrap().first, expected, "each event has the id that it got then");
    }
    all_once(&names(&url, &direct).await, &["a"], 500);
}

#[tokio::test]
async fn dead_letters_that_the_server_takes_no_more_are_divided_and_name_each_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let (server, url) = server(folder.path()).await;
    let journal = journal(&url).await;
    let dead = journal.dead_letters();
    let letter = |position: Position| {
        let events: Indexes = (0..100).collect();
        let lines: Vec<String> = (0..100).map(|index| format!("{index:0>1000}")).collect();
        let refusal = Refusal::new(Reason::MalformedJson, "not JSON");
        let stored = ("journal.0.person.create.a", 17);
        Grave { events, ..Grave::of_event(position, 0, None, refusal, stored, lines.join("\n").into()) }
    };
    let first = Position::first(Partition::new(0));
    set_max_payload(&server, folder.path(), &url, 32 << 10).await;
    let letters = [letter(first), letter(first.next())];
    dead.store(&letters).await.unwrap();
    dead.store(&letters).await.unwrap();
    let mut events = Vec::new();
    for letter in dead.list().await.unwrap() {
        assert!(letter.whole_bytes.is_none(), "nothing of it is cut off");
        let lines = letter.message();
        let lines = lines.split(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line).unwrap());
        for (id, line) in letter.ids().zip(lines) {
            assert_eq!(line.parse::<usize>().unwrap(), id.index());
            events.push(id);
        }
    }
    events.sort_unstable();
    let expected = letters.iter().flat_map(|letter| (0..100).map(|index| letter.id.position().event(index)));
    assert_eq!(events, expected.collect::<Vec<_>>());
}
