//! What goes wrong with the journal as a whole.

use sluice_model::PartitionCount;

use crate::{probe::ProbeError, rights::Forbidden, size::Room};

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The server did not answer, or JetStream is not ready. Trying again may help.
    #[error("NATS JetStream does not answer")]
    Unavailable(#[source] BoxError),
    /// A stream is missing that our user may not make. Trying again helps once somebody else has made it.
    #[error(
        "the stream {stream} is missing, and this process may not make it: whoever may, does so at its start (with users in \
         NATS: the directory)"
    )]
    Missing {
        /// The stream's name.
        stream: String,
        /// What is not allowed.
        #[source]
        source: Forbidden,
    },
    /// Our user may not even look at the streams.
    #[error("the journal cannot be opened")]
    Forbidden(#[from] Forbidden),
    /// The server refused to make a stream.
    #[error("cannot make the stream {stream}")]
    Create {
        /// The stream's name.
        stream: String,
        /// What the server said.
        #[source]
        source: BoxError,
    },
    /// The server has not got the bytes that the streams set aside.
    #[error(
        "the NATS server has no room for the stream {stream}: {room}. Lower JOURNAL_MAX_BYTES (partitions that hold nothing \
         yet follow it; those with events are changed by `nats stream edit`), or give the server more \
         (max_file_store), and start again"
    )]
    NoRoom {
        /// The stream's name.
        stream: String,
        /// What is needed, and what there is.
        room: Box<Room>,
        /// What the server said.
        #[source]
        source: BoxError,
    },
    /// The server is alone, and several copies were asked for.
    #[error(
        "the NATS server is alone, and cannot keep {asked} copies of the stream {stream}: start NATS as a cluster and name \
         all its servers in NATS_URL, or ask for one copy (JOURNAL_REPLICAS=1)"
    )]
    Alone {
        /// The stream's name.
        stream: String,
        /// How many copies it should have.
        asked: usize,
    },
    /// Too few servers of the cluster can take the stream: they are not up yet, have no room, or there are not so many.
    #[error(
        "too few servers of the NATS cluster have room for {asked} copies of the stream {stream} at the moment ({room}); \
         where that stays so, start more of them, give them more disk, or lower JOURNAL_REPLICAS or \
         JOURNAL_MAX_BYTES"
    )]
    TooFewServers {
        /// The stream's name.
        stream: String,
        /// How many copies it should have.
        asked: usize,
        /// What is needed of each, and what there is.
        room: Box<Room>,
        /// What the server said.
        #[source]
        source: BoxError,
    },
    /// A stream of that name exists and is not one of this journal. (Other settings of a stream
    /// that contradict the protocol concern that stream alone: see
    /// [`crate::Journal::misconfigured`].)
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
        match self {
            Self::Unavailable(_) | Self::TooFewServers { .. } | Self::Missing { .. } => true,
            Self::Mapping(error) => error.is_transient(),
            _ => false,
        }
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
