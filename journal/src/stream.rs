//! What the journal's streams have to look like; `compare` says how one that is there differs.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use sluice_model::{Partition, PartitionCount, Position};

use crate::{
    Settings,
    subject::{DEAD_STREAM, DEAD_SUBJECTS, stream_name, stream_subjects},
};

const JOURNAL_ID: &str = "sluice.journal_id";
const PARTITIONS: &str = "sluice.partitions";

/// Dead letters are few; this many bytes of them and the writer waits until somebody looks.
pub(crate) const DEAD_MAX_BYTES: i64 = 256 << 20;

/// A journal's name tag, kept in the metadata of each of its streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The random id.
    pub journal_id: String,
    /// How many partitions it was made with.
    pub partitions: PartitionCount,
}

impl Tag {
    /// The tag of a stream, if it bears one.
    pub fn of(config: &Config) -> Option<Self> {
        Self::read(|name| config.metadata.get(name).map(String::as_str))
    }

    /// The tag that these metadata hold, if they do.
    pub(crate) fn read<'a>(metadata: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Some(Self { journal_id: metadata(JOURNAL_ID)?.to_owned(), partitions: metadata(PARTITIONS)?.parse().ok()? })
    }

    fn metadata(&self) -> HashMap<String, String> {
        HashMap::from([
            (JOURNAL_ID.to_owned(), self.journal_id.clone()),
            (PARTITIONS.to_owned(), self.partitions.to_string()),
        ])
    }
}

/// The stream of one partition, as it is made.
///
/// `discard: new` with limits retention: a full journal refuses, it never drops. `deny_delete` and no age limit: only a
/// purge of a prefix can remove anything, so positions stay contiguous.
pub fn partition_config(partition: Partition, tag: &Tag, settings: &Settings) -> Config {
    Config {
        name: stream_name(partition),
        subjects: vec![stream_subjects(partition)],
        first_sequence: Some(Position::first(partition).get()),
        max_bytes: settings.journal_max_bytes,
        deny_delete: true,
        metadata: tag.metadata(),
        ..base(settings)
    }
}

/// The stream of dead letters. Its messages may be deleted one by one, by who has looked at them.
pub fn dead_config(tag: &Tag, settings: &Settings) -> Config {
    Config {
        name: DEAD_STREAM.to_owned(),
        subjects: vec![DEAD_SUBJECTS.to_owned()],
        max_bytes: DEAD_MAX_BYTES,
        // Not compared: on a stream without it letters are stored one by one.
        allow_atomic_publish: true,
        metadata: tag.metadata(),
        ..base(settings)
    }
}

/// What all our streams have in common; the rest of the struct are features that we do not use.
fn base(settings: &Settings) -> Config {
    Config {
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_age: Duration::ZERO,
        num_replicas: settings.replicas_of_a_new_journal(),
        duplicate_window: Duration::from_secs(settings.journal_duplicate_window_s),
        allow_direct: true,
        ..Config::default()
    }
}

/// Says in the log where a stream has another number of copies than was asked for. It is taken as it is: changing it moves
/// data between servers, which is the operator's to decide.
pub(crate) fn tell_of_copies(found: &Config, asked: usize) {
    if found.num_replicas != asked {
        let stream = &found.name;
        tracing::warn!(
            stream,
            found = found.num_replicas,
            asked,
            "this stream has another number of copies than JOURNAL_REPLICAS says. To change it: nats stream edit {stream} \
             --replicas {asked}"
        );
    }
}
