//! The key-value buckets beside the streams.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::{
        context::PublishError,
        kv::{self, Operation, UpdateErrorKind},
        stream::{Config, DiscardPolicy, RetentionPolicy, StorageType},
    },
};
use bytes::Bytes;
use futures::StreamExt;

use super::{Raw, Server, StoreError};
#[cfg(debug_assertions)]
use crate::memory;
use crate::{
    Journal, JournalError,
    compare::Kind,
    dead::change::is_overtaken,
    error::BoxError,
    stream::tell_of_copies,
    subject::{self, header},
};

/// The header of an entry that says that there is none any more.
const REMOVED: &str = "KV-Operation";

impl Journal {
    /// Makes the buckets that the services write to, where they are missing: for those who may not make any.
    ///
    /// # Errors
    /// Where JetStream does not answer, or refuses.
    pub async fn make_buckets(&self) -> Result<(), JournalError> {
        self.trim_ledger().await?;
        self.members().await.map(drop)
    }
}

/// A bucket: one value of each key. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    journal: Journal,
    name: &'static str,
    /// `None` in memory.
    store: Option<kv::Store>,
}

/// Opens a bucket, and makes it where it is missing, with as many copies as the journal has.
///
/// `max_age`: a value that nobody has written again for so long is forgotten; zero for never.
pub(crate) async fn open(
    journal: &Journal,
    name: &'static str,
    description: &str,
    max_age: Duration,
) -> Result<Bucket, JournalError> {
    let store = match journal.server() {
        Server::Nats { context, .. } => Some(get_or_make(journal, context, name, description, max_age).await?),
        #[cfg(debug_assertions)]
        Server::Memory(link) => {
            let opened = link.open_bucket(&subject::bucket_stream(name)).await;
            opened.map_err(|e| JournalError::new("open a key-value bucket", e))?;
            None
        }
    };
    Ok(Bucket { journal: journal.clone(), name, store })
}

async fn get_or_make(
    journal: &Journal,
    context: &async_nats::jetstream::Context,
    name: &str,
    description: &str,
    max_age: Duration,
) -> Result<kv::Store, JournalError> {
    // It is missing, or does not answer: making it says which. A bucket that is there already is taken as it is.
    if let Ok(store) = context.get_key_value(name).await {
        let found = &store.stream.cached_info().config;
        tell_of_copies(found, journal.replicas());
        journal.streams().add(Kind::Bucket, &self::config(name, max_age), Some(found), journal.max_payload());
        return Ok(store);
    }
    let stream = subject::bucket_stream(name);
    journal.rights().check_for("make a key-value bucket that is missing", subject::stream_create(&stream))?;
    let config = kv::Config {
        bucket: name.to_owned(),
        description: description.to_owned(),
        history: 1,
        max_age,
        num_replicas: journal.copies(),
        ..kv::Config::default()
    };
    let made = context.create_key_value(config).await;
    let made = made.map_err(|e| JournalError::new("make a key-value bucket", e))?;
    let found = &made.stream.cached_info().config;
    journal.streams().add(Kind::Bucket, &self::config(name, max_age), Some(found), journal.max_payload());
    Ok(made)
}

/// The stream behind a bucket, as it is made, as far as it matters to what the bucket keeps.
pub(crate) fn config(name: &str, max_age: Duration) -> Config {
    Config {
        name: subject::bucket_stream(name),
        subjects: vec![format!("$KV.{name}.>")],
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        max_age,
        ..Config::default()
    }
}

impl Bucket {
    /// A key's last entry, as the bucket's leader has it; `None` where there is none, one that says that the key was removed has
    /// [`is_removed`].
    pub(crate) async fn last(&self, key: &str) -> Result<Option<Raw>, BoxError> {
        self.journal.last_message(subject::bucket_stream(self.name), &self.subject(key)).await
    }

    /// Writes a value, whatever was there.
    pub(crate) async fn put(&self, key: &str, value: Bytes) -> Result<u64, BoxError> {
        match &self.store {
            Some(store) => Ok(store.put(key, value).await?),
            None => Ok(self.journal.store(self.subject(key), HeaderMap::new(), value).await?),
        }
    }

    /// Writes a value where the last entry still is the one with this revision (0: there is none); gives the new one.
    pub(crate) async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, StoreError> {
        let Some(store) = &self.store else {
            let mut headers = HeaderMap::new();
            headers.insert(header::EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string());
            return self.journal.store(self.subject(key), headers, value).await;
        };
        store.update(key, value, revision).await.map_err(|error| {
            let source = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<PublishError>());
            if error.kind() == UpdateErrorKind::WrongLastRevision || source.is_some_and(is_overtaken) {
                StoreError::Overtaken
            } else {
                StoreError::other(error)
            }
        })
    }

    /// Removes a key.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), BoxError> {
        match &self.store {
            Some(store) => Ok(store.delete(key).await?),
            None => {
                let mut headers = HeaderMap::new();
                headers.insert(REMOVED, "DEL");
                Ok(self.journal.store(self.subject(key), headers, Bytes::new()).await.map(drop)?)
            }
        }
    }

    /// Gives the last entry of each key, and from then on every one that is written.
    pub(crate) async fn watch(&self) -> Result<Watch, BoxError> {
        match (&self.store, self.journal.server()) {
            (Some(store), _) => Ok(Watch::Nats(Box::new(store.watch_with_history(">").await?))),
            #[cfg(debug_assertions)]
            (None, Server::Memory(link)) => {
                Ok(Watch::Memory(link.consume(&subject::bucket_stream(self.name), 1).await?))
            }
            (None, Server::Nats { .. }) => unreachable!("a bucket in NATS has its store"),
        }
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }
}

/// Whether an entry says that its key was removed.
pub(crate) fn is_removed(entry: &Raw) -> bool {
    entry.headers.get(REMOVED).is_some()
}

/// What is written to a bucket, as it is written.
pub(crate) enum Watch {
    Nats(Box<kv::Watch>),
    #[cfg(debug_assertions)]
    Memory(memory::Consumer),
}

/// What was written to a key.
pub(crate) struct Entry {
    pub(crate) key: String,
    /// `None` where it was removed.
    pub(crate) value: Option<Bytes>,
    pub(crate) revision: u64,
}

impl Watch {
    /// The next entry; `None` where the watch has ended. May be cancelled.
    pub(crate) async fn next(&mut self) -> Option<Result<Entry, BoxError>> {
        match self {
            Self::Nats(watch) => Some(watch.next().await?.map_err(BoxError::from).map(|entry| Entry {
                value: (entry.operation == Operation::Put).then_some(entry.value),
                key: entry.key,
                revision: entry.revision,
            })),
            #[cfg(debug_assertions)]
            Self::Memory(consumer) => Some(consumer.next().await?.map(|(raw, _)| Entry {
                key: raw.subject.rsplit('.').next().unwrap_or_default().to_owned(),
                revision: raw.sequence,
                value: (!is_removed(&raw)).then_some(raw.payload),
            })),
        }
    }
}
