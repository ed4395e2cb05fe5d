//! The opened log.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{
    self,
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::Config,
};
use sluice_model::{Partition, PartitionCount, Position};
use tokio_util::sync::CancellationToken;

use crate::{
    DeadLetters, Reader, Settings,
    probe::{self, ProbeError},
    read::{self, ReadError},
    stream::{Tag, contradictions, dead_config, partition_config},
    subject::stream_name,
};

/// JetStream's code for "there is no such stream".
const STREAM_NOT_FOUND: u64 = 10_059;
/// How long to wait before asking a server again that does not answer.
const OPEN_RETRY: Duration = Duration::from_secs(1);

/// The journal, made or verified, with its account mapping tried. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: async_nats::Client,
    context: jetstream::Context,
    tag: Tag,
    replicas: usize,
}

/// What a partition's stream holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first position kept; where none is, the one that comes next.
    pub first: Position,
    /// The last position ever given; [`Position::before_first`] where there was none.
    pub last: Position,
    /// How many messages are kept.
    pub messages: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// How many they may take; `None` where there is no limit.
    pub max_bytes: Option<u64>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The server did not answer, or JetStream is not ready. Trying again may help.
    #[error("NATS JetStream does not answer")]
    Unavailable(#[source] BoxError),
    /// The server refused to make a stream.
    #[error("cannot make the stream {stream}")]
    Create {
        /// The stream's name.
        stream: String,
        /// What the server said.
        #[source]
        source: BoxError,
    },
    /// A stream of that name exists and is not one of this journal.
    #[error("the stream {stream} cannot be the journal's: {}", contradictions.join("; "))]
    Contradiction {
        /// The stream's name.
        stream: String,
        /// One line for each setting.
        contradictions: Vec<String>,
    },
    /// The journal has another number of partitions than was asked for.
    #[error("the journal was made with {found} partitions, which cannot be changed; this process was told {asked}")]
    Partitions {
        /// What the journal has.
        found: PartitionCount,
        /// What the settings say.
        asked: PartitionCount,
    },
    /// The server's account mapping is missing or leads elsewhere.
    #[error(transparent)]
    Mapping(ProbeError),
}

impl OpenError {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_)) || matches!(self, Self::Mapping(e) if e.is_transient())
    }
}

/// A question to JetStream that was not answered, or answered with an error.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}")]
pub struct JournalError {
    /// What was asked.
    pub operation: &'static str,
    /// What came back.
    #[source]
    pub source: BoxError,
}

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl JournalError {
    pub(crate) fn new(operation: &'static str, source: impl Into<BoxError>) -> Self {
        Self { operation, source: source.into() }
    }
}

impl Journal {
    /// Makes the streams that are missing, verifies those that are there, and tries the account mapping.
    ///
    /// Several processes may do this at once: the first stream decides the journal's id.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::is_transient`] says whether to try again.
    pub async fn open(client: async_nats::Client, settings: &Settings) -> Result<Self, OpenError> {
        let context = jetstream::new(client.clone());
        let proposed = Tag {
            journal_id: uuid::Uuid::new_v4().simple().to_string(),
            partitions: settings.partitions_of_a_new_journal(),
        };
        // A journal is made from its first stream on, so the first one's tag is the journal's.
        let first = Partition::new(0);
        let found = get_or_create(&context, partition_config(first, &proposed, settings)).await?;
        let tag = Tag::of(&found).ok_or_else(|| OpenError::Contradiction {
            stream: stream_name(first),
            contradictions: vec!["it bears no journal id".to_owned()],
        })?;
        if let Some(asked) = settings.journal_partitions.filter(|asked| *asked != tag.partitions) {
            return Err(OpenError::Partitions { found: tag.partitions, asked });
        }
        let mut wanted: Vec<Config> =
            tag.partitions.all().map(|partition| partition_config(partition, &tag, settings)).collect();
        wanted.push(dead_config(&tag, settings));
        for wanted in wanted {
            let found = get_or_create(&context, wanted.clone()).await?;
            let contradictions = contradictions(&found, &wanted);
            if !contradictions.is_empty() {
                return Err(OpenError::Contradiction { stream: wanted.name, contradictions });
            }
        }
        probe::mapping(&client, tag.partitions).await.map_err(OpenError::Mapping)?;
        Ok(Self(Arc::new(Inner { client, context, tag, replicas: settings.journal_replicas })))
    }

    /// [`Journal::open`], again and again while the server does not answer; `None` where `shutdown` came first.
    ///
    /// # Errors
    /// Only what trying again cannot mend.
    pub async fn open_when_ready(
        client: async_nats::Client,
        settings: &Settings,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, OpenError> {
        loop {
            let opened = tokio::select! {
                opened = Self::open(client.clone(), settings) => opened,
                () = shutdown.cancelled() => return Ok(None),
            };
            match opened {
                Err(error) if error.is_transient() => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the journal");
                }
                other => return other.map(Some),
            }
            tokio::select! { () = tokio::time::sleep(OPEN_RETRY) => {}, () = shutdown.cancelled() => return Ok(None) }
        }
    }

    /// The random id that the journal got when it was made.
    pub fn id(&self) -> &str {
        &self.0.tag.journal_id
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> PartitionCount {
        self.0.tag.partitions
    }

    /// The connection it was opened with.
    pub fn client(&self) -> &async_nats::Client {
        &self.0.client
    }

    /// Copies of what is made beside the streams.
    pub(crate) fn replicas(&self) -> usize {
        self.0.replicas
    }

    pub(crate) fn context(&self) -> &jetstream::Context {
        &self.0.context
    }

    /// What a partition's stream holds now.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn bounds(&self, partition: Partition) -> Result<Bounds, JournalError> {
        const OPERATION: &str = "ask for a partition's bounds";
        let stream = self.context().get_stream(stream_name(partition)).await;
        let stream = stream.map_err(|e| JournalError::new(OPERATION, e))?;
        let (state, config) = (&stream.cached_info().state, &stream.cached_info().config);
        let max_bytes = u64::try_from(config.max_bytes).ok().filter(|max| *max > 0);
        let position = |sequence: u64| {
            Position::new(sequence).filter(|p| p.partition() == partition).ok_or_else(|| {
                JournalError::new(OPERATION, format!("sequence {sequence} is not one of partition {partition}"))
            })
        };
        // A stream that never held anything says 0 or its first sequence minus one, depending on the server's version.
        let last = position(state.last_sequence.max(Position::before_first(partition).get()))?;
        let first = if state.messages == 0 { last.next() } else { position(state.first_sequence)? };
        Ok(Bounds { first, last, messages: state.messages, bytes: state.bytes, max_bytes })
    }

    /// Reads a partition from a position on; see [`Reader`].
    ///
    /// # Errors
    /// Where JetStream does not answer, or the journal no longer (or not yet) reaches that position.
    pub async fn read(&self, from: Position) -> Result<Reader, ReadError> {
        read::open(self, from).await
    }

    /// The JetStream time of the message at a position, in nanoseconds since 1970; `None` where there is none.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn stamp(&self, position: Position) -> Result<Option<i64>, JournalError> {
        read::stamp(self, position).await
    }

    /// Makes sure that the journal has not lost its end since somebody read the message at `position`, which then had this
    /// stamp. A position that was trimmed, or that never had a message (stamp 0), says nothing, and is let pass.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] or [`ReadError::Replaced`] where it has; a transient one where JetStream does not answer.
    pub async fn verify(&self, position: Position, stamp: i64) -> Result<(), ReadError> {
        if stamp == 0 { Ok(()) } else { read::verify(self, position, stamp).await }
    }

    /// The events that can never become a row.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.clone())
    }
}

async fn get_or_create(context: &jetstream::Context, wanted: Config) -> Result<Config, OpenError> {
    let name = wanted.name.clone();
    match context.get_stream(&name).await {
        Ok(stream) => return Ok(stream.cached_info().config.clone()),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(e) if e.code() == 404 || e.error_code().0 == STREAM_NOT_FOUND => {}
            _ => return Err(OpenError::Unavailable(error.into())),
        },
    }
    match context.create_stream(wanted).await {
        Ok(stream) => {
            tracing::info!(stream = name, "made");
            Ok(stream.cached_info().config.clone())
        }
        Err(error) => match error.kind() {
            // Somebody else made it just now, with an id of their own: theirs counts.
            CreateStreamErrorKind::JetStream(e) if e.error_code() == jetstream::ErrorCode::STREAM_NAME_EXIST => {
                let stream = context.get_stream(&name).await.map_err(|e| OpenError::Unavailable(e.into()))?;
                Ok(stream.cached_info().config.clone())
            }
            CreateStreamErrorKind::JetStream(e) if e.code() < 500 => {
                Err(OpenError::Create { stream: name, source: error.into() })
            }
            // 10005 and 10047: the server has not got the bytes that were asked for. Waiting does not bring them.
            CreateStreamErrorKind::JetStream(e) if matches!(e.error_code().0, 10_005 | 10_023 | 10_047) => {
                Err(OpenError::Create { stream: name, source: error.into() })
            }
            _ => Err(OpenError::Unavailable(error.into())),
        },
    }
}
