//! What the journal makes of servers that cannot know: while they elect, when they are too few, when one lags.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sluice_journal::{Ask, Journal, OpenError, Publisher, Settings, subject};
use sluice_model::{MessageBuilder, Partition, PartitionCount, Person, Place, Position};
use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, Process, nats_server::NatsServer, wait};
use tokio_util::sync::CancellationToken;

use crate::{LIMIT, fleet};

fn one_partition() -> PartitionCount {
    PartitionCount::try_from(1).unwrap()
}

pub(super) fn settings(replicas: usize) -> Settings {
    Settings {
        journal_partitions: Some(one_partition()),
        journal_replicas: Some(replicas),
        journal_max_bytes: 64 << 20,
        ..Settings::default()
    }
}

/// Three servers that are not started, and a client that takes whichever it reaches.
pub(super) async fn three(folder: &Path) -> (Vec<NatsServer>, async_nats::Client) {
    sluice_service::telemetry::init_for_test();
    let servers = NatsServer::cluster_on_free_ports(folder, one_partition(), 3).await.unwrap();
    let urls: Vec<_> = servers.iter().map(NatsServer::url).collect();
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
    let options = options.connection_timeout(Duration::from_secs(2)).ping_interval(Duration::from_secs(1));
    let options = options.request_timeout(Some(Duration::from_secs(2)));
    (servers, options.connect(urls).await.unwrap())
}

/// Opens the journal as soon as the servers are ready for that.
pub(super) async fn open(client: &async_nats::Client, settings: &Settings) -> Journal {
    let never = CancellationToken::new();
    let opened = Journal::open_when_ready(client.clone(), settings, &never);
    tokio::time::timeout(LIMIT, opened).await.unwrap().unwrap().unwrap()
}

async fn publish(publisher: &Publisher, messages: u32) -> Position {
    publish_each_of(publisher, messages, 1).await
}

/// Messages of some 400 KB, which the servers cannot compress.
async fn publish_large(publisher: &Publisher, messages: u32) -> Position {
    publish_each_of(publisher, messages, 100).await
}

async fn publish_each_of(publisher: &Publisher, messages: u32, events: u32) -> Position {
    let mut last = None;
    let mut noise = noise();
    for _ in 0..messages {
        let mut message = MessageBuilder::new();
        for _ in 0..events {
            let address: String = noise.by_ref().take(4_000).collect();
            message.push(&Person { name: "a".into(), address: address.into() });
        }
        last = Some(publisher.publish(&"a".parse().unwrap(), message, Ask::default()).await.unwrap().first.position());
    }
    last.unwrap()
}

#[tokio::test]
async fn processes_that_open_the_journal_while_its_servers_are_starting_agree_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, client) = three(folder.path()).await;
    let settings = settings(3);
    let opened = futures::future::join_all((0..5).map(|_| open(&client, &settings)));
    let (processes, opened) = tokio::join!(NatsServer::start_all(servers), opened);
    let ids: std::collections::BTreeSet<_> = opened.iter().map(|journal| journal.id().to_owned()).collect();
    assert_eq!((ids.len(), processes.unwrap().len()), (1, 3));
}

#[tokio::test]
async fn copies_that_one_server_cannot_keep_are_refused_at_once_with_the_remedy() {
    sluice_service::telemetry::init_for_test();
    let folder = tempfile::tempdir().unwrap();
    let (_server, url) = NatsServer::start_on_free_port(folder.path(), one_partition(), false).await.unwrap();
    let client = async_nats::connect(url).await.unwrap();
    let error = Journal::open(client.clone(), &settings(3)).await.unwrap_err();
    assert!(matches!(error, OpenError::Alone { asked: 3, .. }) && !error.is_transient(), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("JOURNAL_REPLICAS=1") && told.contains("NATS_URL"), "{told}");
    // What is there already is taken as it is.
    let journal = Journal::open(client.clone(), &settings(1)).await.unwrap();
    assert_eq!(Journal::open(client, &settings(3)).await.unwrap().id(), journal.id());
}

#[tokio::test]
async fn copies_that_a_cluster_has_no_servers_for_are_waited_for_and_the_reason_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, client) = three(folder.path()).await;
    let _processes = NatsServer::start_all(servers).await.unwrap();
    let too_few = async || match Journal::open(client.clone(), &settings(5)).await.unwrap_err() {
        error @ OpenError::TooFewServers { asked: 5, .. } => {
            assert!(error.is_transient() && error.to_string().contains("start more of them"), "{error}");
            true
        }
        error => panic!("{error:?}"),
    };
    wait::until("five copies are refused", LIMIT, too_few).await.unwrap();
    open(&client, &settings(3)).await;
}

#[tokio::test]
async fn what_exists_with_another_number_of_copies_is_taken_and_the_log_says_how_to_change_it() {
    let writer_args = ["--journal-replicas", "3"].map(str::to_owned).to_vec();
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions { writer_args, ..FleetOptions::default() }).await;
    let log = fleet.writer().log().to_owned();
    let read = || std::fs::read_to_string(&log).unwrap();
    assert!(read().contains("nats stream edit JOURNAL-0 --replicas 3"), "{}", read());
    let bucket = async || read().contains("nats stream edit KV_sluice_trim --replicas 3");
    wait::until("the bucket is named too", LIMIT, bucket).await.unwrap();
    assert!(!std::fs::read_to_string(fleet.ingest().log()).unwrap().contains("--replicas"));
    assert_eq!(fleet.load(&["--customers", "5", "--count", "50"]).await.unwrap().accepted, 50);
    assert!(fleet.verify().await.unwrap().ok);
}

/// A server that was away while others stored events, and whose stream then has no leader, says of that stream what it has
/// itself. Taken for the journal's end, that would stop readers for good.
#[tokio::test]
async fn a_server_that_lags_and_is_left_alone_is_not_taken_for_a_journal_that_lost_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, client) = three(folder.path()).await;
    let mut processes = NatsServer::start_all(servers).await.unwrap();
    let journal = open(&client, &settings(3)).await;
    let publisher = Publisher::start(&journal, Duration::from_secs(5)).await.unwrap();
    publish(&publisher, 10).await;

    let lags = (leader(&client, "JOURNAL-0").await.unwrap() + 1) % 3;
    processes[lags].freeze();
    // The client may be connected to it, and has to find another.
    let awake = async || journal.bounds(Partition::new(0)).await.is_ok();
    wait::until("somebody else answers", LIMIT, awake).await.unwrap();
    // More than what waits for it in the sockets' memory, where it would find it.
    let last = publish_large(&publisher, 60).await;
    let stamp = journal.stamp(last).await.unwrap().unwrap();
    kill_all_but(&mut processes, lags);
    processes[lags].thaw();

    let told_too_little = async || {
        assert_transient(&journal, last, stamp).await;
        let stream =
            async_nats::jetstream::new(client.clone()).get_stream(subject::stream_name(Partition::new(0))).await;
        stream.is_ok_and(|stream| stream.cached_info().state.last_sequence < last.get())
    };
    wait::until("the one that lags says where its own copy ends", LIMIT, told_too_little).await.unwrap();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        assert_transient(&journal, last, stamp).await;
    }

    let others = processes.iter_mut().enumerate().filter(|(index, _)| *index != lags);
    for restarted in futures::future::join_all(others.map(|(_, process)| process.restart())).await {
        restarted.unwrap();
    }
    let place = Place { position: last, stamp };
    let whole = async || journal.verify(place).await.is_ok() && journal.read(place).await.is_ok();
    wait::until("the journal is whole again", LIMIT, whole).await.unwrap();
    assert_eq!(publish(&publisher, 1).await, last.next());
}

/// Letters without an end, which cannot be compressed much.
fn noise() -> impl Iterator<Item = char> {
    let mut seed = 1u64;
    std::iter::repeat_with(move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'@' + u8::try_from(seed >> 59).unwrap())
    })
}

fn kill_all_but(processes: &mut [Process], kept: usize) {
    for (_, process) in processes.iter_mut().enumerate().filter(|(index, _)| *index != kept) {
        process.kill();
    }
}

async fn assert_transient(journal: &Journal, last: Position, stamp: i64) {
    let place = Place { position: last, stamp };
    for error in [journal.verify(place).await.err(), journal.read(place).await.err()].into_iter().flatten() {
        assert!(error.is_transient(), "{error}");
    }
}

/// The server that leads a stream.
async fn leader(client: &async_nats::Client, stream: &str) -> Option<usize> {
    let context = async_nats::jetstream::new(client.clone());
    let stream = context.get_stream(stream).await.unwrap();
    let name = stream.cached_info().cluster.as_ref()?.leader.clone()?;
    name.strip_prefix("sluice-")?.parse::<usize>().ok()?.checked_sub(1)
}
