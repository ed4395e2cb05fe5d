//! The opened log.

use std::sync::Arc;

use async_nats::jetstream::{self, stream::Config};
use bytes::Bytes;
use sluice_model::{CustomerId, Partition, PartitionCount, Place, Position};

use crate::{
    DeadLetters, JournalError, OpenError, Reader, Settings,
    compare::Kind,
    dead::store::Sender,
    lookup,
    make::Making,
    probe,
    read::{self, ReadError},
    rights::Rights,
    server::Server,
    size,
    stream::{Tag, dead_config, partition_config, tell_of_copies},
    subject::{self, stream_name},
    watch::Streams,
};

/// The journal, made or verified, with its account mapping tried. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Server,
    tag: Tag,
    rights: Rights,
    /// As asked.
    replicas: usize,
    /// As the first stream has them.
    copies: usize,
    /// What was seen of the streams and buckets: see [`crate::watch`].
    streams: Streams,
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

impl Bounds {
    /// The place behind which everything that is kept stands.
    pub fn before(&self) -> Place {
        self.first.previous().into()
    }
}

/// How a journal that was found sound stands to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// The message is there with that stamp.
    Held,
    /// Nothing contradicts it: the message is trimmed, or its stamp is not known.
    Unseen,
    /// The message is another one, or there is none, and a finished repair or an accepted loss says
    /// that this is so.
    Repaired,
}

impl Journal {
    /// Makes the streams that are missing, looks at those that are there, and tries the account
    /// mapping.
    ///
    /// Several processes may do this at once: the first stream decides the journal's id. One whose
    /// user may not make streams only looks at them; one whose user may not store persons does not
    /// try the mapping, as that would take the same leave.
    ///
    /// A stream whose settings contradict the protocol does not keep the others from being used:
    /// see [`Journal::misconfigured`].
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::is_transient`] says whether to try again.
    pub async fn open(client: async_nats::Client, settings: &Settings) -> Result<Self, OpenError> {
        Self::open_with(client, settings, false).await
    }

    /// [`Journal::open`]. `without_missing`: streams that this process may not make may be missing,
    /// all but the first, which says what journal it is.
    pub(crate) async fn open_with(
        client: async_nats::Client,
        settings: &Settings,
        without_missing: bool,
    ) -> Result<Self, OpenError> {
        let context = jetstream::new(client.clone());
        let rights = Rights::of(&client).await;
        let proposed = Tag {
            journal_id: uuid::Uuid::new_v4().simple().to_string(),
            partitions: settings.partitions_of_a_new_journal(),
        };
        // A journal is made from its first stream on, so the first one's tag is the journal's.
        let first = Partition::new(0);
        let making = Making { context: &context, rights: &rights, settings, partitions: proposed.partitions };
        let wanted = partition_config(first, &proposed, settings);
        let found = match making.get(&wanted.name).await? {
            Some(found) => found,
            None => making.create(wanted).await?,
        };
        let tag = Tag::of(&found).ok_or_else(|| OpenError::Contradiction {
            stream: stream_name(first),
            contradictions: vec!["it bears no journal id".to_owned()],
        })?;
        if let Some(asked) = settings.journal_partitions.filter(|asked| *asked != tag.partitions) {
            return Err(OpenError::Partitions { found: tag.partitions, asked });
        }
        let copies = found.num_replicas;
        let replicas = settings.journal_replicas.unwrap_or(found.num_replicas);
        let settings = Settings { journal_replicas: Some(replicas), ..settings.clone() };
        let partitions = tag.partitions.all().map(|p| (Kind::Partition, partition_config(p, &tag, &settings)));
        let mut all: Vec<_> = partitions.collect();
        all.push((Kind::Letters, dead_config(&tag, &settings)));
        let making = Making { context: &context, rights: &rights, settings: &settings, partitions: tag.partitions };
        let (streams, mut sizes, mut resized) = (Streams::default(), Vec::new(), false);
        for (kind, wanted) in all {
            let found = match making.get(&wanted.name).await? {
                Some(found) => Some(found),
                None => {
                    // The journal was made in half, or is being made now.
                    if !std::mem::replace(&mut resized, true) {
                        making.resize_empty(&tag).await;
                    }
                    match making.create(wanted.clone()).await {
                        Err(OpenError::Missing { .. }) if without_missing => None,
                        made => Some(made?),
                    }
                }
            };
            if let Some(found) = &found {
                is_of(found, &tag)?;
                tell_of_copies(found, replicas);
                if kind == Kind::Partition {
                    sizes.push(found.max_bytes);
                }
            }
            streams.add(kind, &wanted, found.as_ref(), client.server_info().max_payload);
        }
        size::tell(&sizes, settings.journal_max_bytes);
        let dead = Sender::new(client.clone());
        let server = Server::Nats { client, context, dead };
        let journal = Self(Arc::new(Inner { server, tag, rights, replicas, copies, streams }));
        journal.try_mapping().await?;
        Ok(journal)
    }

    /// Tries the account mapping into every partition that can be used as it is.
    async fn try_mapping(&self) -> Result<(), OpenError> {
        let partitions = self.partitions();
        if !probe::is_allowed(self.rights(), partitions) {
            return Ok(());
        }
        let is_usable = |partition| self.misconfigured(partition).is_none();
        probe::mapping(self.client(), partitions, is_usable).await.map_err(OpenError::Mapping)
    }

    /// One that is asked in memory.
    #[cfg(debug_assertions)]
    pub(crate) fn of(server: Server, tag: Tag, rights: Rights, copies: usize) -> Self {
        Self(Arc::new(Inner { server, tag, rights, replicas: copies, copies, streams: Streams::default() }))
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
    ///
    /// # Panics
    /// In a simulation: what runs in one asks through `server` only.
    pub fn client(&self) -> &async_nats::Client {
        match &self.0.server {
            Server::Nats { client, .. } => client,
            #[cfg(debug_assertions)]
            Server::Memory(_) => panic!("a journal in memory has no connection to NATS"),
        }
    }

    /// Who answers.
    pub(crate) fn server(&self) -> &Server {
        &self.0.server
    }

    /// What was seen of the streams.
    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Copies of every stream, as asked.
    pub(crate) fn replicas(&self) -> usize {
        self.0.replicas
    }

    /// Copies that the journal has: what is made beside its streams gets as many.
    pub(crate) fn copies(&self) -> usize {
        self.0.copies
    }

    /// What the server allows us.
    pub(crate) fn rights(&self) -> &Rights {
        &self.0.rights
    }

    /// As [`Journal::client`].
    pub(crate) fn context(&self) -> &jetstream::Context {
        match &self.0.server {
            Server::Nats { context, .. } => context,
            #[cfg(debug_assertions)]
            Server::Memory(_) => panic!("a journal in memory has no connection to NATS"),
        }
    }

    /// What a partition's stream holds now, as a leader says whom most of its copies follow.
    ///
    /// # Errors
    /// Where JetStream does not answer, or the stream has no such leader at the moment.
    pub async fn bounds(&self, partition: Partition) -> Result<Bounds, JournalError> {
        self.bounds_and_copies(partition).await.map(|(bounds, _)| bounds)
    }

    /// [`Journal::bounds`], and how many copies the stream has.
    pub(crate) async fn bounds_and_copies(&self, partition: Partition) -> Result<(Bounds, usize), JournalError> {
        const OPERATION: &str = "ask for a partition's bounds";
        let info = self.stream_info(stream_name(partition)).await.map_err(|e| JournalError::new(OPERATION, e))?;
        if !info.is_followed {
            return Err(JournalError::new(
                OPERATION,
                "its stream has no leader at the moment that most of its copies follow",
            ));
        }
        let max_bytes = u64::try_from(info.max_bytes).ok().filter(|max| *max > 0);
        let position = |sequence: u64| {
            Position::new(sequence).filter(|p| p.partition() == partition).ok_or_else(|| {
                JournalError::new(OPERATION, format!("sequence {sequence} is not one of partition {partition}"))
            })
        };
        // A stream that never held anything says 0 or its first sequence minus one, depending on the server's version.
        let last = position(info.last_sequence.max(Position::before_first(partition).get()))?;
        let first = if info.messages == 0 { last.next() } else { position(info.first_sequence)? };
        let bounds = Bounds { first, last, messages: info.messages, bytes: info.bytes, max_bytes };
        Ok((bounds, info.copies))
    }

    /// Whether a place that was [verified](Self::verify) is of a shard that was restored to before what the journal reaches: see
    /// [`Journal::least_stored`]. Gives the first position that is kept then.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn cut_off(&self, place: Place, verified: Verified) -> Result<Option<Position>, JournalError> {
        if verified == Verified::Held {
            return Ok(None);
        }
        let first = self.bounds(place.position.partition()).await?.first;
        Ok(read::is_cut_off(self, place, first).await?.then_some(first))
    }

    /// Reads a partition on from behind a place; see [`Reader`]. There is no other way to read one: whoever has
    /// read a message says which, and the journal has to hold that one still. [`Bounds::before`] is the place of
    /// who has read nothing.
    ///
    /// # Errors
    /// Where JetStream does not answer, where the journal no longer reaches that far back, and as
    /// [`Journal::verify`].
    pub async fn read(&self, after: Place) -> Result<Reader, ReadError> {
        read::open(self, after).await
    }

    /// The JetStream time of the message at a position, in nanoseconds since 1970; `None` where there is none.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn stamp(&self, position: Position) -> Result<Option<i64>, JournalError> {
        lookup::stamp(self, position).await
    }

    /// Makes sure that the journal has not lost its end since the message at `place` was read. A
    /// position that was trimmed, or whose stamp is not known (0) and that is not beyond the end,
    /// says nothing, and is let pass. So is one that a finished [repair](crate::repair) accepts, or
    /// that was accepted as lost; only then the answer is [`Verified::Repaired`].
    ///
    /// # Errors
    /// [`ReadError::Beyond`] or [`ReadError::Replaced`] where it has; [`ReadError::Gone`] where the message is gone from the middle, and
    /// nobody has accepted that; a transient one where JetStream does not answer.
    pub async fn verify(&self, place: Place) -> Result<Verified, ReadError> {
        let Place { position, stamp } = place;
        match lookup::verify(self, position, stamp).await {
            Err(refused @ (ReadError::Beyond { .. } | ReadError::Replaced { .. })) => {
                match self.is_repaired(position, stamp).await {
                    Ok(true) => Ok(Verified::Repaired),
                    Ok(false) => Err(refused),
                    Err(error) => Err(ReadError::Interrupted(error.into())),
                }
            }
            verified => verified,
        }
    }

    /// The events of the customer's message at a position; `None` where none of that customer stands there.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn message_of(&self, position: Position, customer: &CustomerId) -> Result<Option<Bytes>, JournalError> {
        let partition = position.partition();
        if partition != self.partitions().of(customer) || position == Position::before_first(partition) {
            return Ok(None);
        }
        let found = lookup::raw(self, position, "fetch a message").await?;
        let wanted = subject::create(self.partitions(), customer);
        Ok(found.filter(|message| message.subject.as_str() == wanted).map(|message| message.payload))
    }

    /// The events that can never become a row.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.clone())
    }
}

/// A stream of another journal concerns the journal as a whole: two of them were mixed.
fn is_of(found: &Config, tag: &Tag) -> Result<(), OpenError> {
    let of = Tag::of(found);
    if of.as_ref() == Some(tag) {
        return Ok(());
    }
    let contradiction = format!("journal id and partitions are {of:?}, have to be {tag:?}");
    Err(OpenError::Contradiction { stream: found.name.clone(), contradictions: vec![contradiction] })
}
