//! Opening the journal while its server, or the streams that others make, may not be there yet.

use std::time::Duration;

use async_nats::connection::State;
use sluice_model::Partition;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Journal, OpenError, Settings, subject::stream_name};

/// How long a command waits before it asks a server again that does not answer.
const OPEN_RETRY: Duration = Duration::from_secs(1);
/// The longest that a service waits for the same. Lower: its log is full of it. Higher: a journal
/// that has become usable is not noticed for that long.
const OPEN_RETRY_MAX: Duration = Duration::from_secs(5);
/// How often a service looks whether it is connected. More often: for nothing. Less often: it
/// starts that much later.
const CONNECTED_LOOK: Duration = Duration::from_millis(50);
/// How long a service waits for streams that others have to make, before it does without those that
/// are still missing. Shorter: it starts while the journal is being made, and refuses events for a
/// moment. Longer: after one stream was deleted, it serves the other partitions later.
const MISSING_PATIENCE: Duration = Duration::from_secs(10);

impl Journal {
    /// [`Journal::open`], again and again while the server does not answer; `None` where `shutdown`
    /// came first. Does without streams that somebody else has to make and does not make for some
    /// time.
    ///
    /// # Errors
    /// Only what trying again cannot mend.
    pub async fn open_when_ready(
        client: async_nats::Client,
        settings: &Settings,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, OpenError> {
        let open = async {
            let (mut missing_since, mut wait) = (None, OPEN_RETRY);
            loop {
                // Without a connection nobody answers; the connection itself says why not.
                while client.connection_state() != State::Connected {
                    tokio::time::sleep(CONNECTED_LOOK).await;
                }
                let waited = |since: Instant| since.elapsed() > MISSING_PATIENCE;
                match Self::open_with(client.clone(), settings, missing_since.is_some_and(waited)).await {
                    Err(error) if error.is_transient() => {
                        match &error {
                            // Where there is no first one, there is no journal yet.
                            OpenError::Missing { stream, .. } if *stream != stream_name(Partition::new(0)) => {
                                missing_since.get_or_insert_with(Instant::now);
                            }
                            _ => missing_since = None,
                        }
                        if client.connection_state() == State::Connected {
                            tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the journal");
                        }
                    }
                    other => return other,
                }
                tokio::time::sleep(wait).await;
                wait = (2 * wait).min(OPEN_RETRY_MAX);
            }
        };
        shutdown.run_until_cancelled(Box::pin(open)).await.transpose()
    }

    /// [`Journal::open`], again and again for at most so long: for a command, which somebody waits
    /// for. Even a healthy cluster cannot answer for some seconds after it has lost a server.
    ///
    /// # Errors
    /// What trying again cannot mend; after that time, what was said last.
    pub async fn open_within(
        client: async_nats::Client,
        settings: &Settings,
        limit: Duration,
    ) -> Result<Self, OpenError> {
        let until = Instant::now() + limit;
        loop {
            match Self::open(client.clone(), settings).await {
                Err(error) if error.is_transient() && Instant::now() + OPEN_RETRY < until => {
                    tracing::info!(error = &error as &dyn std::error::Error, "waiting for the journal");
                }
                other => return other,
            }
            tokio::time::sleep(OPEN_RETRY).await;
        }
    }
}
