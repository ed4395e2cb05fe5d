//! Dead letters stored on a real server: each once, however often they are given, and whatever the server takes.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, SystemTime},
};

use sluice_journal::{
    DeadLetters, Journal, Settings,
    dead::{
        Grave,
        store::{WINDOW_BYTES, WINDOW_LETTERS},
    },
};
use sluice_model::{EventId, Indexes, PartitionCount, Position, Reason, Refusal};
use sluice_testbed::{Process, nats_server::NatsServer};

/// The `n`-th message of the only partition.
fn at(n: usize) -> Position {
    Position::new(n as u64).unwrap()
}

fn letter(n: usize, index: usize) -> Grave {
    let refusal = Refusal::new(Reason::MalformedJson, "line 1\r\nEvil: header");
    Grave::of_event(at(n), index, Some("a".parse().unwrap()), refusal, ("journal.0.person.create.a", 17), "{".into())
}

/// A letter of several events of one message, whose lines are so long.
fn group(n: usize, events: &str, line_bytes: usize) -> Grave {
    let events: Indexes = events.parse().unwrap();
    let (first, last) = (events.first().unwrap(), events.last().unwrap());
    let lines: Vec<String> = (first..=last).map(|index| format!("{index:0>line_bytes$}")).collect();
    Grave { events, payload: lines.join("\n").into(), ..letter(n, first) }
}

async fn server(folder: &Path) -> (Process, Journal, async_nats::Client) {
    sluice_service::telemetry::init_for_test();
    let partitions = PartitionCount::try_from(1).unwrap();
    let (server, url) = NatsServer::start_on_free_port(folder, partitions, true).await.unwrap();
    let client = async_nats::connect(url).await.unwrap();
    let settings =
        Settings { journal_partitions: Some(partitions), journal_max_bytes: 64 << 20, ..Settings::default() };
    (server, Journal::open(client.clone(), &settings).await.unwrap(), client)
}

/// Every event that has a letter; fails where one has two.
async fn dead_events(letters: &DeadLetters) -> BTreeSet<EventId> {
    let mut all = BTreeSet::new();
    for letter in letters.list().await.unwrap() {
        letter.ids().for_each(|id| assert!(all.insert(id), "{id} is in two letters"));
    }
    all
}

#[tokio::test]
async fn an_event_has_one_dead_letter_however_often_it_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, journal, _) = server(folder.path()).await;
    let dead = journal.dead_letters();
    let mut letters: Vec<_> = (0..3).map(|index| letter(1, index)).collect();
    letters[0].customer = None;
    for _ in 0..3 {
        dead.store(&letters).await.unwrap();
    }
    let listed = dead.list().await.unwrap();
    let seen: Vec<_> = listed.iter().map(|l| (l.id, l.customer.as_str(), l.reason.as_str(), l.stamp)).collect();
    let (id, reason) = (|index: usize| at(1).event(index), "malformed_json");
    assert_eq!(seen, [(id(0), "_", reason, 17), (id(1), "a", reason, 17), (id(2), "a", reason, 17)]);
}

#[tokio::test]
async fn a_letter_that_does_not_say_when_its_message_was_stored_has_the_time_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, journal, _) = server(folder.path()).await;
    let dead = journal.dead_letters();
    dead.store(&[Grave { stamp: 0, ..letter(1, 0) }]).await.unwrap();
    let now = i64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
    let minute = 60_000_000_000;
    let listed = dead.list().await.unwrap().remove(0);
    for letter in [listed, dead.find(at(1).event(0)).await.unwrap().unwrap()] {
        let time = letter.time().unwrap();
        assert!((now - minute..=now + minute).contains(&time), "{time} at {now}");
    }
}

#[tokio::test]
async fn letters_of_many_windows_are_stored_and_some_of_them_again_with_others_between() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, journal, _) = server(folder.path()).await;
    let dead = journal.dead_letters();
    let count = 3 * WINDOW_LETTERS + 7;
    // As a crash in the middle leaves it.
    let before: Vec<_> = (1..=count).step_by(5).map(|n| letter(n, 0)).collect();
    dead.store(&before).await.unwrap();
    let all: Vec<_> = (1..=count).map(|n| letter(n, 0)).collect();
    dead.store(&all).await.unwrap();
    assert!(dead_events(&dead).await.into_iter().eq((1..=count).map(|n| at(n).event(0))));
    // As many bytes as a batch of the server's takes.
    let large: Vec<_> = (1..=2).map(|n| Grave { payload: vec![b'x'; 900_000].into(), ..letter(n, 5) }).collect();
    let large: Vec<_> = large.iter().cycle().take(10).cloned().collect();
    assert!(large.iter().map(|letter| letter.payload.len()).sum::<usize>() > WINDOW_BYTES);
    dead.store(&large).await.unwrap();
    assert_eq!(dead_events(&dead).await.len(), count + 2);
}

#[tokio::test]
async fn letters_that_were_grouped_in_another_way_before_leave_no_event_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, journal, _) = server(folder.path()).await;
    let dead = journal.dead_letters();
    let all: BTreeSet<_> = (1..=3).flat_map(|n| (0..=9).map(move |index| at(n).event(index))).collect();
    // Single letters, the group's first among them or not; a part of the group.
    dead.store(&[letter(1, 0), letter(1, 5), letter(2, 0), group(3, "0-4", 3)]).await.unwrap();
    let groups: Vec<_> = (1..=3).map(|n| group(n, "0-9", 3)).collect();
    for _ in 0..2 {
        dead.store(&groups).await.unwrap();
        let listed = dead.list().await.unwrap();
        let found: BTreeSet<_> = listed.iter().flat_map(|letter| letter.ids().collect::<Vec<_>>()).collect();
        assert_eq!(found, all);
    }
    let nine = dead.find(at(2).event(9)).await.unwrap().unwrap();
    assert_eq!((nine.payload.as_ref(), nine.events.count()), (b"009".as_slice(), 1));
}

#[tokio::test]
async fn a_letter_that_is_too_large_for_the_server_is_divided_and_none_of_its_lines_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, journal, _) = server(folder.path()).await;
    let dead = journal.dead_letters();
    let large = group(1, "1-1000", 1_040);
    dead.store(std::slice::from_ref(&large)).await.unwrap();
    let letters = dead.list().await.unwrap();
    let indexes: Vec<_> = letters.iter().map(|letter| letter.events.to_string()).collect();
    assert_eq!(indexes, ["1-500", "501-1000"]);
    let lines: Vec<_> = letters.iter().map(|letter| String::from_utf8(letter.message().to_vec()).unwrap()).collect();
    assert_eq!(lines.join("\n").as_bytes(), large.payload);
}

#[tokio::test]
async fn a_stream_that_takes_no_batches_gets_its_letters_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, journal, client) = server(folder.path()).await;
    let jetstream = async_nats::jetstream::new(client);
    let mut config = jetstream.get_stream("DEAD").await.unwrap().cached_info().config.clone();
    assert!(config.allow_atomic_publish, "a new stream takes batches");
    config.allow_atomic_publish = false;
    jetstream.update_stream(config).await.unwrap();
    let dead = journal.dead_letters();
    let letters: Vec<_> = (1..=600).map(|n| letter(n, 0)).collect();
    for _ in 0..2 {
        dead.store(&letters).await.unwrap();
    }
    assert_eq!(dead_events(&dead).await.len(), 600);
}

#[tokio::test]
async fn letters_whose_acknowledgement_is_late_are_sent_again_alone_and_the_storing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, journal, _) = server(folder.path()).await;
    let dead = journal.dead_letters();
    let letters: Vec<_> = (1..=20_000).map(|n| letter(n, 0)).collect();
    let storing = tokio::spawn({
        let (dead, letters) = (dead.clone(), letters.clone());
        async move { dead.store(&letters).await }
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!storing.is_finished(), "it has to be in the middle");
    server.freeze();
    // An acknowledgement may take 5 s.
    tokio::time::sleep(Duration::from_secs(7)).await;
    server.thaw();
    storing.await.unwrap().unwrap();
    assert_eq!(dead_events(&dead).await.len(), letters.len());
}
