//! The key-value buckets beside the streams.

use std::time::Duration;

use async_nats::jetstream::kv;

use crate::{Journal, JournalError, stream::tell_of_copies, subject};

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

/// A bucket, made where it is missing: one value of each key, as many copies as the journal has.
///
/// `max_age`: a value that nobody has written again for so long is forgotten; zero for never.
pub(crate) async fn open(
    journal: &Journal,
    name: &str,
    description: &str,
    max_age: Duration,
) -> Result<kv::Store, JournalError> {
    // It is missing, or does not answer: making it says which. A bucket that is there already is taken as it is.
    if let Ok(store) = journal.context().get_key_value(name).await {
        tell_of_copies(&store.stream.cached_info().config, journal.replicas());
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
    let made = journal.context().create_key_value(config).await;
    made.map_err(|e| JournalError::new("make a key-value bucket", e))
}
