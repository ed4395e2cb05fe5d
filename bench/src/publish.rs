//! A bare JetStream client that stores messages: it fills journals, and is the limit of all that ingest can be.

use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::jetstream::context::ContextBuilder;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sluice_journal::subject;
use sluice_model::{CustomerId, PartitionCount};

/// How long JetStream may take to acknowledge: with `sync_interval: always` thousands of messages wait for the disk.
const ACK_LIMIT: Duration = Duration::from_secs(60);

/// Stores messages, so many on their way at once, and waits for every acknowledgement. Gives how long that took.
///
/// # Errors
/// Where one is not acknowledged.
pub async fn publish(
    client: &async_nats::Client,
    partitions: PartitionCount,
    messages: impl Iterator<Item = (CustomerId, Bytes)>,
    in_flight: usize,
) -> anyhow::Result<Duration> {
    let context = ContextBuilder::new().timeout(ACK_LIMIT).max_ack_inflight(2 * in_flight).build(client.clone());
    let begun = Instant::now();
    let publish = |(customer, payload): (CustomerId, Bytes)| {
        let context = &context;
        async move { context.publish(subject::create(partitions, &customer), payload).await?.await.map(drop) }
    };
    let stored = stream::iter(messages.map(publish)).buffer_unordered(in_flight).try_collect::<()>().await;
    stored.context("a message was not stored")?;
    Ok(begun.elapsed())
}
