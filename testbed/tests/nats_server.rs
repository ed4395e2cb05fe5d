//! The NATS server is found or fetched, takes our configuration, and maps customers as we do.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};

use futures::StreamExt;
use sluice_journal::subject;
use sluice_model::{CustomerId, PartitionCount};
use sluice_testbed::{Process, binaries::Binaries, nats_program, nats_server::NatsServer, ports::loopback, tool};

async fn program() -> PathBuf {
    nats_program::find(&Binaries::beside_this_program().unwrap().tools()).await.unwrap()
}

async fn start(folder: &Path, partitions: u16) -> (Process, async_nats::Client) {
    let partitions = PartitionCount::try_from(partitions).unwrap();
    let (server, url) = NatsServer::start_on_free_port(folder, partitions, true).await.unwrap();
    (server, async_nats::connect(url).await.unwrap())
}

#[tokio::test]
async fn what_anybody_publishes_for_a_customer_arrives_in_the_partition_that_we_compute() {
    let folder = tempfile::tempdir().unwrap();
    for partitions in [1, 4, 7] {
        let (_server, client) = start(&folder.path().join(partitions.to_string()), partitions).await;
        let mut arrivals = client.subscribe("journal.>").await.unwrap();
        let count = PartitionCount::try_from(partitions).unwrap();
        for customer in ["1", "2", "3", "acme", "A-b_9"].map(|id| id.parse::<CustomerId>().unwrap()) {
            client.publish(subject::public_create(&customer), "x".into()).await.unwrap();
            let arrived = arrivals.next().await.unwrap();
            assert_eq!(arrived.subject.as_str(), subject::create(count, &customer));
        }
    }
}

#[tokio::test]
async fn a_server_that_was_killed_comes_back_at_the_same_address_with_its_streams() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, client) = start(folder.path(), 4).await;
    let jetstream = async_nats::jetstream::new(client);
    let config = async_nats::jetstream::stream::Config {
        name: "KEPT".into(),
        subjects: vec!["kept".into()],
        max_bytes: 1 << 20,
        ..Default::default()
    };
    jetstream.create_stream(config).await.unwrap();
    jetstream.publish("kept", "x".into()).await.unwrap().await.unwrap();
    server.kill();
    server.restart().await.unwrap();
    let url = format!("nats://{}", loopback(jetstream.client().server_info().port));
    let again = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
    assert_eq!(again.get_stream("KEPT").await.unwrap().cached_info().state.messages, 1);
}

#[tokio::test]
async fn the_configuration_for_containers_is_valid_and_has_the_mapping_that_the_services_want() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("compose");
    let config = folder.join("nats.conf");
    let [text, mapped] = [&config, &folder.join("mapping.conf")].map(|path| std::fs::read_to_string(path).unwrap());
    let mapping = subject::mapping(PartitionCount::try_from(4).unwrap());
    assert!(mapped.contains(&mapping), "{mapping} is not in\n{mapped}");
    assert!(text.contains("sync_interval: always"), "{text}");
    let mut check = tokio::process::Command::new(program().await);
    let passwords =
        ["INGEST", "WRITER", "DIRECTORY", "OPERATOR", "PUBLISHER"].map(|user| format!("NATS_{user}_PASSWORD"));
    check.envs(passwords.iter().map(|name| (name, "p")));
    tool::quietly(check.arg("-t").arg("--config").arg(config)).await.unwrap();
}
