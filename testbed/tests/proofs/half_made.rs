//! A journal that was made in half, as its server had no room for the rest.

use std::path::Path;

use async_nats::jetstream;
use sluice_journal::{Journal, OpenError, Settings, subject};
use sluice_model::{Partition, PartitionCount};
use sluice_testbed::nats_server::NatsServer;

const PARTITIONS: u16 = 4;
const MIB: i64 = 1 << 20;

fn settings(max_mib: i64) -> Settings {
    let journal_partitions = Some(PartitionCount::try_from(PARTITIONS).unwrap());
    Settings { journal_partitions, journal_max_bytes: max_mib * MIB, ..Settings::default() }
}

/// The sizes of the partitions that there are, in MiB.
async fn sizes(client: &async_nats::Client) -> Vec<i64> {
    let jetstream = jetstream::new(client.clone());
    let mut sizes = Vec::new();
    for partition in 0..PARTITIONS {
        if let Ok(stream) = jetstream.get_stream(subject::stream_name(Partition::new(partition))).await {
            sizes.push(stream.cached_info().config.max_bytes / MIB);
        }
    }
    sizes
}

/// A server with a journal that was made in half: it had room for three of four partitions.
async fn half_made(folder: &Path) -> (sluice_testbed::Process, async_nats::Client) {
    sluice_service::telemetry::init_for_test();
    let partitions = PartitionCount::try_from(PARTITIONS).unwrap();
    let mut server = NatsServer::on_free_port(folder, partitions, false).await.unwrap();
    server.max_file_store = 1_100 << 20;
    let url = server.url();
    let server = server.start().await.unwrap();
    let client = async_nats::connect(url).await.unwrap();
    let error = Journal::open(client.clone(), &settings(300)).await.unwrap_err();
    assert!(matches!(error, OpenError::NoRoom { .. }) && !error.is_transient(), "{error:?}");
    // The setting, the sum that is needed, and what the server has.
    for wanted in ["JOURNAL_MAX_BYTES", "1526726656 bytes", "943718400 so far", "max_file_store"] {
        assert!(error.to_string().contains(wanted), "{wanted:?} is not in {error}");
    }
    assert_eq!(sizes(&client).await, [300, 300, 300]);
    (server, client)
}

#[tokio::test]
async fn a_journal_that_was_made_in_half_is_completed_at_the_size_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = half_made(folder.path()).await;
    let journal = Journal::open(client.clone(), &settings(200)).await.unwrap();
    assert_eq!(sizes(&client).await, [200; 4]);
    // Whole, it keeps the size that it has.
    Journal::open(client.clone(), &settings(100)).await.unwrap();
    assert_eq!((sizes(&client).await, journal.partitions().get()), (vec![200; 4], PARTITIONS));
}

#[tokio::test]
async fn a_partition_that_holds_events_keeps_its_size_and_its_events_while_the_journal_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, client) = half_made(folder.path()).await;
    let (jetstream, first) = (jetstream::new(client.clone()), Partition::new(1));
    let subject = format!("journal.{first}.person.create.x");
    jetstream.publish(subject, "{}".into()).await.unwrap().await.unwrap();
    let journal = Journal::open(client.clone(), &settings(150)).await.unwrap();
    assert_eq!(sizes(&client).await, [150, 300, 150, 150]);
    assert_eq!(journal.bounds(first).await.unwrap().messages, 1);
}
