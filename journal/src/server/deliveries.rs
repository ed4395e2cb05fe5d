//! What a consumer gives, one message after the other.

use std::time::Duration;

use async_nats::jetstream::consumer::{
    AckPolicy, DeliverPolicy, PullConsumer, ReplayPolicy,
    pull::{self, MessagesErrorKind},
};
use futures::StreamExt;
use sluice_model::Position;

use super::{Raw, Server};
#[cfg(debug_assertions)]
use crate::memory;
use crate::{Journal, error::BoxError, subject::stream_name};

/// Messages asked for ahead of their use. Fewer cost throughput, more cost memory; 2,000 of 200 bytes are 400 KB.
const PULL_MESSAGES: usize = 2_000;
/// Bytes asked for ahead, or twice the largest message that the server takes, where that is more: a message larger than this
/// would never be given.
const PULL_BYTES: usize = 8 << 20;
/// The server says this often that it has nothing new; two missed, and the consumer counts as lost. A consumer stands on one
/// server of a cluster: when that is lost, its partition is read on after so long. Shorter: a reader whose lanes are full for
/// that long ends for nothing.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// The server forgets a consumer that nobody pulls from for this long.
const INACTIVE: Duration = Duration::from_secs(60);

/// How often a new consumer is pulled from again that nobody seems to listen for, and how long after: in a cluster it may stand
/// on another server than ours, which hears of it a moment later. Less: its reader ends, and another one is opened. More: one
/// that is gone is noticed later.
const HEARD_OF: (u32, Duration) = (20, Duration::from_millis(25));

/// What a consumer gives. Nothing is acknowledged.
pub(crate) enum Deliveries {
    Nats(Box<Pulled>),
    #[cfg(debug_assertions)]
    Memory(memory::Consumer),
}

/// A consumer of NATS that is pulled from.
pub(crate) struct Pulled {
    journal: Journal,
    consumer: PullConsumer,
    messages: pull::Stream,
    /// Pulls that the consumer may yet be left unanswered by; none once it has given something.
    pulls_left: u32,
    /// Whether the last pull reached nobody.
    pull_again: bool,
}

impl Deliveries {
    /// A new consumer of a partition, from a position on.
    pub(crate) async fn open(journal: &Journal, from: Position) -> Result<Self, BoxError> {
        let stream = stream_name(from.partition());
        match journal.server() {
            Server::Nats { context, .. } => {
                let consumer: PullConsumer = context.create_consumer_on_stream(config(from), stream).await?;
                let messages = pull(journal, &consumer).await?;
                let (journal, pulls_left) = (journal.clone(), HEARD_OF.0);
                Ok(Self::Nats(Box::new(Pulled { journal, consumer, messages, pulls_left, pull_again: false })))
            }
            #[cfg(debug_assertions)]
            Server::Memory(link) => Ok(Self::Memory(link.consume(&stream, from.get()).await?)),
        }
    }

    /// The next message, and how many the stream held beyond it; `None` where the consumer is gone. May be cancelled.
    pub(crate) async fn next(&mut self) -> Option<Result<(Raw, u64), BoxError>> {
        match self {
            Self::Nats(pulled) => pulled.next().await,
            #[cfg(debug_assertions)]
            Self::Memory(consumer) => consumer.next().await,
        }
    }
}

fn config(from: Position) -> pull::Config {
    pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.get() },
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        filter_subject: String::new(),
        headers_only: false,
        inactive_threshold: INACTIVE,
        memory_storage: true,
        num_replicas: 1,
        description: Some("reads a partition from a position on".to_owned()),
        // The rest are limits and features of consumers that acknowledge.
        ..pull::Config::default()
    }
}

async fn pull(journal: &Journal, consumer: &PullConsumer) -> Result<pull::Stream, BoxError> {
    let bytes = PULL_BYTES.max(2 * journal.max_payload());
    let stream = consumer.stream().max_messages_per_batch(PULL_MESSAGES).max_bytes_per_batch(bytes);
    Ok(stream.heartbeat(HEARTBEAT).messages().await?)
}

impl Pulled {
    async fn next(&mut self) -> Option<Result<(Raw, u64), BoxError>> {
        loop {
            if self.pull_again {
                tokio::time::sleep(HEARD_OF.1).await;
                self.messages = match pull(&self.journal, &self.consumer).await {
                    Ok(messages) => messages,
                    Err(error) => return Some(Err(error)),
                };
                self.pull_again = false;
            }
            let item = self.messages.next().await;
            let unheard = matches!(&item, Some(Err(error)) if error.kind() == MessagesErrorKind::NoResponders);
            if !unheard || self.pulls_left == 0 {
                self.pulls_left = 0;
                return item.map(|message| raw(message?));
            }
            self.pulls_left -= 1;
            self.pull_again = true;
        }
    }
}

fn raw(message: async_nats::jetstream::Message) -> Result<(Raw, u64), BoxError> {
    let (sequence, stamp, more) = {
        let info = message.info()?;
        (info.stream_sequence, info.published.unix_timestamp_nanos(), info.pending)
    };
    let (message, _) = message.split();
    let stamp = i64::try_from(stamp).unwrap_or(i64::MAX);
    let async_nats::Message { subject, payload, headers, .. } = message;
    Ok((Raw { subject, sequence, stamp, headers: headers.unwrap_or_default(), payload }, more))
}
