//! A bare JetStream client that reads a stretch of the journal and throws it away: no writer can be quicker.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
};
use futures::{StreamExt, future::try_join_all};
use sluice_journal::subject::stream_name;
use sluice_model::Position;
use tokio::time::timeout;

/// Messages and bytes asked for ahead. More messages made no difference; with more bytes the server takes us for a slow consumer, and
/// cuts us off.
const AHEAD: usize = 5_000;
const AHEAD_BYTES: usize = 8 << 20;
/// A message that has not come by then was lost.
const NEXT_WITHIN: Duration = Duration::from_secs(10);

/// A stretch of one partition, both ends of it in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The first position.
    pub first: Position,
    /// The last one.
    pub last: Position,
}

impl Stretch {
    /// How many messages there are.
    pub fn messages(&self) -> u64 {
        self.last.get() + 1 - self.first.get()
    }
}

/// Reads these stretches, each of another partition, all at once. Gives how long that took.
///
/// # Errors
/// Where JetStream does not give them.
pub async fn read(client: &async_nats::Client, stretches: &[Stretch]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let tasks = stretches.iter().map(|stretch| {
        let (context, stretch) = (jetstream::new(client.clone()), *stretch);
        let task = tokio::spawn(async move { read_one(&context, stretch).await });
        async move { task.await? }
    });
    try_join_all(tasks).await?;
    Ok(begun.elapsed())
}

/// Reads them one after the other.
///
/// # Errors
/// As [`read`].
pub async fn read_in_turn(client: &async_nats::Client, stretches: &[Stretch]) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    for stretch in stretches {
        read(client, &[*stretch]).await?;
    }
    Ok(begun.elapsed())
}

async fn read_one(context: &jetstream::Context, stretch: Stretch) -> anyhow::Result<()> {
    let config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: stretch.first.get() },
        ack_policy: AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let stream = stream_name(stretch.first.partition());
    let consumer: PullConsumer = context.create_consumer_on_stream(config, stream).await?;
    let mut messages =
        consumer.stream().max_messages_per_batch(AHEAD).max_bytes_per_batch(AHEAD_BYTES).messages().await?;
    let mut left = stretch.messages();
    while left > 0 {
        let message = timeout(NEXT_WITHIN, messages.next()).await.context("the journal gives no more")?;
        let message = message.context("the consumer is gone")??;
        ensure!(!message.payload.is_empty(), "a message of ours holds something");
        left -= 1;
    }
    Ok(())
}
