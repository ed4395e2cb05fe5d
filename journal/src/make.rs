//! Makes the streams of a journal, and goes on with a journal that was made in half.

use async_nats::jetstream::{
    self,
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::Config,
};
use sluice_model::PartitionCount;

use crate::{
    OpenError, Settings,
    rights::Rights,
    size::Room,
    stream::Tag,
    subject::{self, stream_name},
};

/// JetStream's code for "there is no such stream".
const STREAM_NOT_FOUND: u64 = 10_059;
/// JetStream's code for "no suitable peers for placement".
const TOO_FEW_SERVERS: u64 = 10_005;
/// JetStream's code for "replicas > 1 not supported in non-clustered mode".
const ALONE: u64 = 10_074;
/// JetStream's codes for "resource limits exceeded for account", "insufficient resources",
/// "insufficient storage resources available" and "stream max bytes exceeds account limit".
const NO_ROOM: [u64; 4] = [10_002, 10_023, 10_047, 10_122];

/// Looks for streams, and makes those that are missing.
pub(crate) struct Making<'a> {
    pub(crate) context: &'a jetstream::Context,
    pub(crate) rights: &'a Rights,
    pub(crate) settings: &'a Settings,
    /// Of the whole journal.
    pub(crate) partitions: PartitionCount,
}

impl Making<'_> {
    /// A stream as it is now; `None` where there is none.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Config>, OpenError> {
        self.rights.check(subject::stream_info(name))?;
        match self.context.get_stream(name).await {
            Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(e) if e.code() == 404 || e.error_code().0 == STREAM_NOT_FOUND => Ok(None),
                _ => Err(OpenError::Unavailable(error.into())),
            },
        }
    }

    /// Makes a stream; gives it as it is, which is as somebody else has made it where that was first.
    pub(crate) async fn create(&self, wanted: Config) -> Result<Config, OpenError> {
        let (name, asked, max_bytes) = (wanted.name.clone(), wanted.num_replicas, wanted.max_bytes);
        if let Err(source) = self.rights.check(subject::stream_create(&name)) {
            return Err(OpenError::Missing { stream: name, source });
        }
        match self.context.create_stream(wanted).await {
            Ok(stream) => {
                tracing::info!(stream = name, max_bytes, "made");
                Ok(stream.cached_info().config.clone())
            }
            Err(error) => match error.kind() {
                // Somebody else made it just now, with an id of their own: theirs counts.
                CreateStreamErrorKind::JetStream(e) if e.error_code() == jetstream::ErrorCode::STREAM_NAME_EXIST => {
                    let stream = self.context.get_stream(&name).await.map_err(|e| OpenError::Unavailable(e.into()))?;
                    Ok(stream.cached_info().config.clone())
                }
                // A server that is up is not yet known to the one that places streams, or not yet with its disk's size: the
                // answer is then the same as where there never will be enough.
                CreateStreamErrorKind::JetStream(e) if e.error_code().0 == TOO_FEW_SERVERS => {
                    let room = self.room().await;
                    Err(OpenError::TooFewServers { stream: name, asked, room, source: error.into() })
                }
                CreateStreamErrorKind::JetStream(e) if e.error_code().0 == ALONE => {
                    Err(OpenError::Alone { stream: name, asked })
                }
                // Waiting does not bring the bytes that were asked for.
                CreateStreamErrorKind::JetStream(e) if NO_ROOM.contains(&e.error_code().0) => {
                    let room = self.room().await;
                    Err(OpenError::NoRoom { stream: name, room, source: error.into() })
                }
                // 429: too much at once.
                CreateStreamErrorKind::JetStream(e) if e.code() < 500 && e.code() != 429 => {
                    Err(OpenError::Create { stream: name, source: error.into() })
                }
                _ => Err(OpenError::Unavailable(error.into())),
            },
        }
    }

    /// What the journal needs, and what the server has.
    async fn room(&self) -> Box<Room> {
        let account = self.context.query_account().await.ok();
        let limit = account.as_ref().and_then(|account| account.limits.max_storage);
        Box::new(Room {
            partitions: self.partitions,
            max_bytes: self.settings.journal_max_bytes,
            reserved: account.as_ref().map(|account| account.reserved_storage),
            limit: limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0),
        })
    }

    /// Brings the partitions that hold nothing yet to the size that is asked for now. It is called where
    /// a stream is missing: then the journal was made in half, as the server had no room for the rest.
    /// Nothing can be lost by it: an empty stream has nothing to drop, and a full one refuses.
    pub(crate) async fn resize_empty(&self, tag: &Tag) {
        let asked = self.settings.journal_max_bytes;
        for partition in tag.partitions.all() {
            let name = stream_name(partition);
            // Made one after the other: behind the first that is missing there is none.
            let Ok(stream) = self.context.get_stream(&name).await else { return };
            let info = stream.cached_info();
            let is_ours = Tag::of(&info.config).as_ref() == Some(tag);
            let is_empty = info.state.messages == 0;
            let found = info.config.max_bytes;
            if !is_ours || !is_empty || found == asked || !self.rights.allow(&subject::stream_update(&name)) {
                continue;
            }
            match self.context.update_stream(Config { max_bytes: asked, ..info.config.clone() }).await {
                Ok(_) => {
                    tracing::info!(stream = name, found, asked, "a part of a half-made journal has another size now")
                }
                // It keeps its size; what is missing is tried all the same.
                Err(error) => tracing::warn!(stream = name, found, asked, %error, "this stream keeps its size"),
            }
        }
    }
}
