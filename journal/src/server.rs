//! The few things that this crate asks of a NATS server, and who answers them: NATS, or, in a simulation, memory.
//!
//! Everything above (verifying, reading without a gap, dead letters, trimming, the group) is written once, on top of this.
//! What only commands and ingest do goes to the client itself ([`Journal::context`], [`Journal::client`]).

pub(crate) mod bucket;
pub(crate) mod deliveries;

use async_nats::{
    HeaderMap, Subject,
    jetstream::{
        self, ErrorCode,
        message::StreamMessage,
        stream::{RawMessageError, RawMessageErrorKind},
    },
};
use bytes::Bytes;
use sluice_model::Position;

#[cfg(debug_assertions)]
use crate::memory;
use crate::{
    Journal,
    dead::{change::is_overtaken, store::Sender},
    error::BoxError,
    leader,
};

/// Who answers. A closed set.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one is made for each connection")]
pub(crate) enum Server {
    Nats {
        client: async_nats::Client,
        context: jetstream::Context,
        /// What dead letters are stored through.
        dead: Sender,
    },
    /// Only in a simulation.
    #[cfg(debug_assertions)]
    Memory(memory::Link),
}

/// A message as a stream holds it.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) subject: Subject,
    pub(crate) sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub(crate) stamp: i64,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl From<StreamMessage> for Raw {
    fn from(message: StreamMessage) -> Self {
        let StreamMessage { subject, sequence, headers, payload, time } = message;
        let stamp = i64::try_from(time.unix_timestamp_nanos()).unwrap_or(i64::MAX);
        Self { subject, sequence, stamp, headers, payload }
    }
}

/// What a stream says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamInfo {
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) max_bytes: i64,
    pub(crate) copies: usize,
    /// Whether most of its copies follow whoever says so.
    pub(crate) is_followed: bool,
}

/// Why a message was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The subject has another last message than the publisher expected.
    #[error("the subject has another last message than was expected")]
    Overtaken,
    /// The server did not answer, or refused. It may be stored or not.
    #[error(transparent)]
    Other(BoxError),
}

impl StoreError {
    fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }
}

impl Journal {
    /// What a stream says of itself, asked now.
    pub(crate) async fn stream_info(&self, stream: String) -> Result<StreamInfo, BoxError> {
        match self.server() {
            Server::Nats { context, .. } => {
                let stream = context.get_stream(stream).await?;
                let info = stream.cached_info();
                Ok(StreamInfo {
                    first_sequence: info.state.first_sequence,
                    last_sequence: info.state.last_sequence,
                    messages: info.state.messages,
                    bytes: info.state.bytes,
                    max_bytes: info.config.max_bytes,
                    copies: info.config.num_replicas,
                    is_followed: leader::is_followed(info.cluster.as_ref()),
                })
            }
            #[cfg(debug_assertions)]
            Server::Memory(link) => link.stream_info(&stream).await,
        }
    }

    /// The message with that sequence, as the stream's leader has it.
    pub(crate) async fn raw_message(&self, stream: String, sequence: u64) -> Result<Option<Raw>, BoxError> {
        match self.server() {
            Server::Nats { context, .. } => {
                let stream = context.get_stream_no_info(stream).await?;
                found(stream.get_raw_message(sequence).await)
            }
            #[cfg(debug_assertions)]
            Server::Memory(link) => link.raw_message(&stream, sequence).await,
        }
    }

    /// The last message of a subject, as the stream's leader has it. `None` too where there is no such stream.
    pub(crate) async fn last_message(&self, stream: String, subject: &str) -> Result<Option<Raw>, BoxError> {
        match self.server() {
            Server::Nats { context, .. } => {
                let stream = context.get_stream_no_info(stream).await?;
                match stream.get_last_raw_message_by_subject(subject).await {
                    Err(error) if is_about_no_stream(&error) => Ok(None),
                    answer => found(answer),
                }
            }
            #[cfg(debug_assertions)]
            Server::Memory(link) => link.last_message(&stream, subject).await,
        }
    }

    /// Stores a message; gives its sequence.
    pub(crate) async fn store(&self, subject: String, headers: HeaderMap, payload: Bytes) -> Result<u64, StoreError> {
        match self.server() {
            Server::Nats { context, .. } => {
                let published = context.publish_with_headers(subject, headers, payload).await;
                match published.map_err(StoreError::other)?.await {
                    Ok(ack) => Ok(ack.sequence),
                    Err(error) if is_overtaken(&error) => Err(StoreError::Overtaken),
                    Err(error) => Err(StoreError::other(error)),
                }
            }
            #[cfg(debug_assertions)]
            Server::Memory(link) => link.store(subject, headers, payload).await,
        }
    }

    /// Removes what stands before a position; gives the number of messages.
    pub(crate) async fn purge(&self, stream: String, before: Position) -> Result<u64, BoxError> {
        match self.server() {
            Server::Nats { context, .. } => {
                let stream = context.get_stream_no_info(stream).await?;
                Ok(stream.purge().sequence(before.get()).await?.purged)
            }
            #[cfg(debug_assertions)]
            Server::Memory(link) => link.purge(&stream, before.get()).await,
        }
    }

    /// Sends to whoever listens; nothing is stored.
    pub(crate) async fn send(&self, subject: Subject, payload: Bytes) -> Result<(), BoxError> {
        match self.server() {
            Server::Nats { client, .. } => Ok(client.publish(subject, payload).await?),
            #[cfg(debug_assertions)]
            Server::Memory(link) => link.send(&subject, payload).await,
        }
    }

    /// The largest message that the server takes, headers and all.
    pub(crate) fn max_payload(&self) -> usize {
        match self.server() {
            Server::Nats { client, .. } => client.server_info().max_payload,
            #[cfg(debug_assertions)]
            Server::Memory(_) => memory::MAX_PAYLOAD,
        }
    }

    /// A text that nothing else in the world has given: it tells one process, or one of its doings, from all others.
    pub fn unique_text(&self) -> String {
        match self.server() {
            // The process' number alone is not unique among machines.
            Server::Nats { client, .. } => format!("{}-{}", std::process::id(), client.new_inbox()),
            #[cfg(debug_assertions)]
            Server::Memory(link) => link.unique_text(),
        }
    }
}

/// Tells "there is none" from "nobody knows".
fn found(answer: Result<StreamMessage, RawMessageError>) -> Result<Option<Raw>, BoxError> {
    match answer {
        Ok(message) => Ok(Some(message.into())),
        Err(error) => match error.kind() {
            RawMessageErrorKind::NoMessageFound => Ok(None),
            RawMessageErrorKind::JetStream(e) if e.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            _ => Err(error.into()),
        },
    }
}

fn is_about_no_stream(error: &RawMessageError) -> bool {
    matches!(error.kind(), RawMessageErrorKind::JetStream(e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
