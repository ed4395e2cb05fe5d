//! The journal runs out of room, and gets it again.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream::Stream};
use sluice_journal::subject::stream_name;

use crate::Fleet;

/// How long a server may be without an answer, and how long to wait before it is asked again.
const LIMIT: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(500);

/// The streams of the journal's partitions.
pub struct JournalRoom {
    context: jetstream::Context,
    names: Vec<String>,
    max_bytes: i64,
}

impl JournalRoom {
    /// As it is now.
    ///
    /// # Errors
    /// Where NATS does not answer.
    pub async fn of(fleet: &Fleet) -> anyhow::Result<Self> {
        let context = jetstream::new(fleet.nats_client().await?);
        let names: Vec<_> = fleet.partitions().all().map(stream_name).collect();
        let max_bytes = context.get_stream(&names[0]).await?.cached_info().config.max_bytes;
        Ok(Self { context, names, max_bytes })
    }

    /// Nothing more fits in.
    ///
    /// # Errors
    /// Where NATS does not answer.
    pub async fn fill(&self) -> anyhow::Result<()> {
        self.limit(|stream| i64::try_from(stream.cached_info().state.bytes.max(1)).unwrap_or(i64::MAX)).await
    }

    /// There is room as before.
    ///
    /// # Errors
    /// Where NATS does not answer.
    pub async fn empty(&self) -> anyhow::Result<()> {
        self.limit(|_| self.max_bytes).await
    }

    async fn limit(&self, max_bytes: impl Fn(&Stream) -> i64) -> anyhow::Result<()> {
        for name in &self.names {
            let since = Instant::now();
            // A cluster whose server was lost just now may have no leader for some seconds.
            while let Err(error) = self.limit_one(name, &max_bytes).await {
                anyhow::ensure!(since.elapsed() < LIMIT, "{name} cannot be given another limit: {error:#}");
                tokio::time::sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    async fn limit_one(&self, name: &str, max_bytes: impl Fn(&Stream) -> i64) -> anyhow::Result<()> {
        let stream = self.context.get_stream(name).await?;
        let mut config = stream.cached_info().config.clone();
        config.max_bytes = max_bytes(&stream);
        self.context.update_stream(config).await?;
        Ok(())
    }
}
