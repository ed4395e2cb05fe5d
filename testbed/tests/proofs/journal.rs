//! The journal, on a real server: made once, verified, stored by group commit, read without a gap.

use std::{path::Path, time::Duration};

use sluice_journal::{
    Ask, Journal, OpenError, PublishError, Publisher, ReadError, Settings, Verified,
    publish::max_message_bytes,
    repair::{AcceptedLoss, Gone},
    subject,
};
use sluice_model::{CustomerId, MessageBuilder, Partition, PartitionCount, Person, Place, Position, message::decode};
use sluice_testbed::{Process, nats_server::NatsServer};

/// A server whose mapping spreads customers over so many partitions.
async fn server(folder: &Path, mapped: u16) -> (Process, async_nats::Client) {
    sluice_service::telemetry::init_for_test();
    let partitions = PartitionCount::try_from(mapped).unwrap();
    let (server, url) = NatsServer::start_on_free_port(folder, partitions, false).await.unwrap();
    (server, async_nats::connect(url).await.unwrap())
}

fn settings(partitions: u16) -> Settings {
    Settings {
        journal_partitions: Some(PartitionCount::try_from(partitions).unwrap()),
        journal_max_bytes: 64 << 20,
        ..Settings::default()
    }
}

fn one_person(name: &str) -> MessageBuilder {
    let mut message = MessageBuilder::new();
    message.push(&Person { name: name.into(), address: "somewhere".into() });
    message
}

fn customer(name: &str) -> CustomerId {
    name.parse().unwrap()
}

#[tokio::test]
async fn our_partition_of_a_customer_is_the_servers_own() {
    let folder = tempfile::tempdir().unwrap();
    for partitions in [1, 3, 4, 64] {
        let (_server, client) = server(&folder.path().join(partitions.to_string()), partitions).await;
        let journal = Journal::open(client.clone(), &settings(partitions)).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        for n in 0..200u32 {
            let id = customer(&format!("{}{n}", ["c-", "X_", "", "long-name-of-a-customer-"][n as usize % 4]));
            let ack = jetstream.publish(subject::public_create(&id), "x".into()).await.unwrap().await.unwrap();
            let position = Position::new(ack.sequence).unwrap();
            assert_eq!(position.partition(), journal.partitions().of(&id), "customer {id} of {partitions}");
            assert_eq!(ack.stream, subject::stream_name(position.partition()));
        }
    }
}

#[tokio::test]
async fn a_mapping_that_is_missing_or_leads_elsewhere_is_refused_with_the_line_to_add_and_stores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = server(folder.path(), 4).await;
    let elsewhere = Journal::open(client.clone(), &settings(5)).await.unwrap_err();
    let OpenError::Mapping(error) = elsewhere else { panic!("{elsewhere}") };
    assert!(error.to_string().contains(r#""journal.{{partition(5,2)}}.person.{{wildcard(1)}}.{{wildcard(2)}}""#));
    let jetstream = async_nats::jetstream::new(client.clone());
    for partition in 0..5 {
        let name = subject::stream_name(Partition::new(partition));
        assert_eq!(jetstream.get_stream(&name).await.unwrap().cached_info().state.messages, 0);
        jetstream.delete_stream(&name).await.unwrap();
    }
    jetstream.delete_stream(subject::DEAD_STREAM).await.unwrap();

    let journal = Journal::open(client.clone(), &settings(4)).await.unwrap();
    let again = Journal::open(client.clone(), &Settings::default()).await.unwrap();
    assert_eq!((again.id(), again.partitions()), (journal.id(), journal.partitions()));
    let other = Journal::open(client, &settings(3)).await.unwrap_err();
    assert!(matches!(other, OpenError::Partitions { .. }), "{other}");
}

#[tokio::test]
async fn processes_that_make_the_journal_at_the_same_time_agree_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = server(folder.path(), 4).await;
    let settings = settings(4);
    let opened = futures::future::join_all((0..8).map(|_| Journal::open(client.clone(), &settings))).await;
    let ids: std::collections::BTreeSet<_> = opened.into_iter().map(|j| j.unwrap().id().to_owned()).collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_stream_that_contradicts_the_protocol_is_refused_with_the_setting_named_and_the_others_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = server(folder.path(), 4).await;
    drop(Journal::open(client.clone(), &settings(4)).await.unwrap());
    let jetstream = async_nats::jetstream::new(client.clone());
    let name = subject::stream_name(Partition::new(2));
    let mut config = jetstream.get_stream(&name).await.unwrap().cached_info().config.clone();
    config.discard = async_nats::jetstream::stream::DiscardPolicy::Old;
    config.max_age = Duration::from_secs(3_600);
    // It does not even answer to what tries the mapping.
    config.no_ack = true;
    jetstream.update_stream(&config).await.unwrap();
    let journal = Journal::open(client.clone(), &settings(4)).await.unwrap();
    let why = journal.misconfigured(Partition::new(2)).unwrap();
    for setting in ["JOURNAL-2", "discard is old", "max_age is 3600s", "no_ack is true"] {
        assert!(why.contains(setting), "{why}");
    }
    let publisher = Publisher::start(&journal, Duration::from_secs(10)).await.unwrap();
    let in_partition = |wanted| {
        (0..)
            .map(|n| customer(&format!("c{n}")))
            .find(move |c| PartitionCount::try_from(4).unwrap().of(c) == Partition::new(wanted))
    };
    let publish =
        async |partition| publisher.publish(&in_partition(partition).unwrap(), one_person("a"), Ask::default()).await;
    let refused = publish(2).await.unwrap_err();
    assert!(matches!(&refused, PublishError::Misconfigured(told) if *told == why), "{refused}");
    publish(1).await.unwrap();

    // A stream of another journal concerns the journal as a whole.
    config.metadata.insert("sluice.journal_id".to_owned(), "another".to_owned());
    jetstream.update_stream(&config).await.unwrap();
    let error = Journal::open(client, &settings(4)).await.unwrap_err();
    assert!(matches!(error, OpenError::Contradiction { .. }) && error.to_string().contains("another"), "{error}");
}

/// Each setting that can be changed while a stream is there, and that drops or refuses messages.
#[tokio::test]
async fn every_change_of_a_stream_that_could_drop_or_refuse_a_message_is_seen_and_so_is_its_end() {
    use async_nats::jetstream::stream::{Config, DiscardPolicy, Republish, SubjectTransform};
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = server(folder.path(), 1).await;
    let journal = Journal::open(client.clone(), &settings(1)).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let zero = Partition::new(0);
    let made = jetstream.get_stream(subject::stream_name(zero)).await.unwrap().cached_info().config.clone();
    let transform = || SubjectTransform { source: "journal.0.>".into(), destination: "journal.0.x.>".into() };
    let republish = || Republish { source: "journal.0.>".into(), destination: "dead.0.>".into(), headers_only: false };
    let of = |change: fn(&mut Config)| {
        let mut config = made.clone();
        change(&mut config);
        config
    };
    let changes = [
        ("discard", of(|c| c.discard = DiscardPolicy::Old)),
        ("max_msgs", of(|c| c.max_messages = 5)),
        ("max_msgs_per_subject", of(|c| c.max_messages_per_subject = 1)),
        ("max_age", of(|c| c.max_age = Duration::from_secs(3_600))),
        ("max_msg_size", of(|c| c.max_message_size = 100)),
        ("no_ack", of(|c| c.no_ack = true)),
        ("allow_rollup_hdrs", of(|c| c.allow_rollup = true)),
        ("subjects", of(|c| c.subjects = vec!["journal.0.person.>".to_owned()])),
        ("subject_transform", Config { subject_transform: Some(transform()), ..made.clone() }),
        ("republish", Config { republish: Some(republish()), ..made.clone() }),
    ];
    for (setting, config) in changes {
        jetstream.update_stream(&config).await.unwrap_or_else(|error| panic!("{setting}: {error}"));
        journal.look().await;
        let why = journal.misconfigured(zero).unwrap_or_else(|| panic!("{setting} is not seen"));
        assert!(why.contains(setting), "{setting}: {why}");
        jetstream.update_stream(&made).await.unwrap();
        journal.look().await;
        assert_eq!(journal.misconfigured(zero), None, "{setting}");
    }
    // What cannot be taken back comes last.
    for (setting, config) in [
        ("allow_msg_ttl", of(|c| c.allow_message_ttl = true)),
        ("deny_purge", of(|c| (c.allow_message_ttl, c.deny_purge) = (true, true))),
    ] {
        jetstream.update_stream(&config).await.unwrap_or_else(|error| panic!("{setting}: {error}"));
        journal.look().await;
        assert!(journal.misconfigured(zero).unwrap().contains(setting), "{setting}");
    }
}

#[tokio::test]
async fn what_is_published_at_once_is_read_back_whole_in_order_and_without_a_gap() {
    const EVENTS: usize = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = server(folder.path(), 2).await;
    let journal = Journal::open(client, &settings(2)).await.unwrap();
    let publisher = Publisher::start(&journal, Duration::from_secs(10)).await.unwrap();
    let ids = futures::future::join_all((0..EVENTS).map(|n| {
        let publisher = publisher.clone();
        async move {
            let customer = customer(&format!("c{}", n % 7));
            (n, publisher.publish(&customer, one_person(&n.to_string()), Ask::default()).await.unwrap())
        }
    }))
    .await;
    let mut read = std::collections::BTreeMap::new();
    let mut messages = 0;
    for partition in journal.partitions().all() {
        let bounds = journal.bounds(partition).await.unwrap();
        messages += bounds.messages;
        let mut reader = journal.read(bounds.before()).await.unwrap();
        while reader.next_position() <= bounds.last {
            for message in reader.next_chunk(100).await.unwrap() {
                let customer = message.event_of(journal.partitions()).unwrap();
                for (index, person) in decode(&message.payload, &customer).enumerate() {
                    read.insert(message.position.event(index), person.unwrap().name.into_owned());
                }
            }
        }
    }
    let published: std::collections::BTreeMap<_, _> =
        ids.into_iter().map(|(n, stored)| (stored.first, n.to_string())).collect();
    assert_eq!(published.len(), EVENTS);
    assert_eq!(read, published);
    assert!(messages < EVENTS as u64 / 4, "{messages} messages: hardly any group commit");
}

#[tokio::test]
async fn a_position_that_is_gone_or_never_was_is_an_error_and_not_a_silent_skip() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = server(folder.path(), 1).await;
    let journal = Journal::open(client.clone(), &settings(1)).await.unwrap();
    let publisher = Publisher::start(&journal, Duration::from_secs(10)).await.unwrap();
    for n in 0..10 {
        publisher.publish(&customer("a"), one_person(&n.to_string()), Ask::default()).await.unwrap();
    }
    let first = Position::first(Partition::new(0));
    let jetstream = async_nats::jetstream::new(client);
    let stream = jetstream.get_stream(subject::stream_name(Partition::new(0))).await.unwrap();
    stream.purge().sequence(first.get() + 4).await.unwrap();

    let error = journal.read(first.previous().into()).await.err().unwrap();
    let kept = Position::new(first.get() + 4).unwrap();
    assert!(
        matches!(error, ReadError::Trimmed { wanted, first: found } if wanted == first && found == kept),
        "{error}"
    );
    let mut reader = journal.read(kept.previous().into()).await.unwrap();
    assert_eq!(reader.next_chunk(100).await.unwrap()[0].position, kept);
    let end = Position::new(first.get() + 10).unwrap();
    assert_eq!(journal.read(end.previous().into()).await.unwrap().next_position(), end);
    let error = journal.read(end.into()).await.err().unwrap();
    assert!(matches!(error, ReadError::Beyond { .. }) && !error.is_transient(), "{error}");

    // A journal that was made again after it had been read: other messages at the same positions.
    let stamp = journal.stamp(kept).await.unwrap().unwrap();
    journal.verify(Place { position: kept, stamp }).await.unwrap();
    let error = journal.verify(Place { position: kept, stamp: stamp - 1 }).await.unwrap_err();
    assert!(matches!(error, ReadError::Replaced { .. }) && !error.is_transient(), "{error}");
    let error = journal.verify(Place { position: end.next(), stamp }).await.unwrap_err();
    assert!(matches!(error, ReadError::Beyond { .. }), "{error}");
    journal.verify(Place { position: first, stamp }).await.unwrap();
}

/// The positions of a chunk, as numbers of their partition, and whether each is lost.
async fn chunk(reader: &mut sluice_journal::Reader, max: usize) -> Vec<(u64, bool)> {
    let chunk = reader.next_chunk(max).await.unwrap();
    assert!(chunk.iter().all(|message| !message.lost || message.is_filler()));
    let before = Position::before_first(Partition::new(0)).get();
    chunk.iter().map(|message| (message.position.get() - before, message.lost)).collect()
}

#[tokio::test]
async fn a_reader_passes_exactly_what_was_accepted_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = server(folder.path(), 1).await;
    let journal = Journal::open(client.clone(), &settings(1)).await.unwrap();
    let publisher = Publisher::start(&journal, Duration::from_secs(10)).await.unwrap();
    // 1 a, 2 b, 3 b, 4 a, 5 c, 6 a, 7 d
    for name in ["a", "b", "b", "a", "c", "a", "d"] {
        publisher.publish(&customer(name), one_person(name), Ask::default()).await.unwrap();
    }
    let partition = Partition::new(0);
    let at = |n: u64| Position::new(Position::before_first(partition).get() + n).unwrap();
    let mut places = Vec::new();
    for n in 1..=7 {
        places.push(Place { position: at(n), stamp: journal.stamp(at(n)).await.unwrap().unwrap() });
    }
    let stream = async_nats::jetstream::new(client).get_stream(subject::stream_name(partition)).await.unwrap();
    let purge = async |name| {
        stream.purge().filter(subject::create(journal.partitions(), &customer(name))).await.unwrap();
    };
    purge("b").await;
    purge("c").await;
    assert_eq!(journal.holes(partition).await.unwrap(), [(at(1), at(3)), (at(4), at(5))]);
    let mut reader = journal.read(at(0).into()).await.unwrap();
    assert_eq!(chunk(&mut reader, 10).await, [(1, false)], "what is there comes before the error");
    let error = reader.next_chunk(10).await.unwrap_err();
    assert!(matches!(error, ReadError::Gap { wanted, .. } if wanted == at(2)) && !error.is_transient(), "{error}");
    let error = journal.verify(places[2]).await.unwrap_err();
    assert!(matches!(error, ReadError::Gone { position } if position == at(3)), "{error}");

    let accept = async |after: u64, through: u64| {
        let stamp = journal.stamp_behind(at(through)).await.unwrap().unwrap();
        let gone = vec![Gone { after: at(after), through: at(through), stamp }];
        let shards = [("s1".to_owned(), Some(at(1)))].into();
        let loss = AcceptedLoss { gone, shards, at: 0, by: "a test".to_owned() };
        journal.accept_loss(partition, &loss).await.unwrap();
    };
    accept(1, 3).await;
    let mut reader = journal.read(at(0).into()).await.unwrap();
    assert_eq!(chunk(&mut reader, 2).await, [(1, false)]);
    assert_eq!(chunk(&mut reader, 1).await, [(2, true)], "never more than was asked for");
    assert_eq!(chunk(&mut reader, 10).await, [(3, true), (4, false)]);
    let error = reader.next_chunk(10).await.unwrap_err();
    assert!(matches!(error, ReadError::Gap { wanted, .. } if wanted == at(5)), "nobody has accepted that: {error}");
    // A shard may stand at a lost position: with the stamp that its message had, or the one that
    // readers give.
    let passed = Place { position: at(3), stamp: places[3].stamp };
    assert_eq!(journal.verify(places[2]).await.unwrap(), Verified::Repaired);
    assert_eq!(journal.verify(passed).await.unwrap(), Verified::Held);
    let later = Place { stamp: places[3].stamp + 1, ..passed };
    assert!(matches!(journal.verify(later).await.unwrap_err(), ReadError::Replaced { .. }));
    assert_eq!(chunk(&mut journal.read(passed).await.unwrap(), 10).await, [(4, false)]);

    // The end of the stream is gone: nothing stands behind it, so something is put there.
    accept(4, 5).await;
    purge("d").await;
    assert_eq!(journal.bounds(partition).await.unwrap().last, at(7));
    accept(6, 7).await;
    let mut reader = journal.read(places[3]).await.unwrap();
    assert_eq!(chunk(&mut reader, 1).await, [(5, true)]);
    assert_eq!(chunk(&mut reader, 10).await, [(6, false)]);
    assert_eq!(chunk(&mut reader, 10).await, [(7, true), (8, false)]);
    // All of it is purged: a reader that has only what was accepted goes on, and any other does
    // not.
    stream.purge().await.unwrap();
    let error = journal.read(places[5]).await.err().unwrap();
    assert!(matches!(error, ReadError::Trimmed { wanted, .. } if wanted == at(7)), "8 is gone as well: {error}");
    accept(6, 8).await;
    let mut reader = journal.read(places[5]).await.unwrap();
    let all = [chunk(&mut reader, 2).await, chunk(&mut reader, 1).await].concat();
    assert_eq!(all, [(7, true), (8, true), (9, false)]);
    let error = journal.read(places[0]).await.err().unwrap();
    assert!(matches!(error, ReadError::Trimmed { wanted, .. } if wanted == at(2)), "4 and 6 are gone as well: {error}");
}

#[tokio::test]
async fn a_reader_whose_consumer_is_paused_is_given_up_where_the_journal_has_more() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = server(folder.path(), 1).await;
    let journal = Journal::open(client.clone(), &settings(1)).await.unwrap();
    let publisher = Publisher::start(&journal, Duration::from_secs(10)).await.unwrap();
    publisher.publish(&customer("a"), one_person("Ada"), Ask::default()).await.unwrap();
    let before = Position::before_first(Partition::new(0)).into();
    let mut reader = journal.read(before).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let stream = jetstream.get_stream(subject::stream_name(Partition::new(0))).await.unwrap();
    let names: Vec<String> = futures::TryStreamExt::try_collect(stream.consumer_names()).await.unwrap();
    let until = serde_json::json!({"pause_until": "2099-01-01T00:00:00Z"});
    let paused: serde_json::Value =
        jetstream.request(format!("CONSUMER.PAUSE.JOURNAL-0.{}", names[0]), &until).await.unwrap();
    assert_eq!((names.len(), &paused["paused"]), (1, &true.into()), "{paused}");
    let error = reader.next_held(10).await.unwrap_err();
    assert!(error.is_transient() && reader.place() == before, "{error}");
    let message = &journal.read(before).await.unwrap().next_held(10).await.unwrap()[0];
    assert_eq!(message.position, Position::first(Partition::new(0)));
}

#[tokio::test]
async fn a_full_journal_refuses_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = server(folder.path(), 1).await;
    let small = Settings { journal_max_bytes: 100_000, ..settings(1) };
    let journal = Journal::open(client, &small).await.unwrap();
    let publisher = Publisher::start(&journal, Duration::from_secs(10)).await.unwrap();
    let large = "x".repeat(1_000);
    let mut stored = 0;
    let refused = loop {
        match publisher.publish(&customer("a"), one_person(&large), Ask::default()).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, PublishError::Full), "{refused}");
    let bounds = journal.bounds(Partition::new(0)).await.unwrap();
    assert_eq!((bounds.first, bounds.messages), (Position::first(Partition::new(0)), stored));
    assert!(stored > 50);

    let mut large = MessageBuilder::new();
    while large.bytes() <= max_message_bytes(&journal) {
        large.push(&Person { name: "n".into(), address: "x".repeat(4_000).into() });
    }
    let error = publisher.publish(&customer("a"), large, Ask::default()).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { .. }), "{error}");
}
