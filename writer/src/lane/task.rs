//! The lane's life: connect, ask the shard how far it is, commit batch after batch.
//!
//! After any trouble the connection is dropped, and with it everything that was in hand or queued; then all begins again with
//! that question, and the lane reads from the journal what its shard lacks. So nothing that was read, filtered or verified before
//! is ever stored after: the shard, the journal and the partitions of the worker may all have changed.

use std::{error::Error, sync::Arc, time::Duration};

use sluice_directory::{Client, ShardEntry};
use sluice_journal::{Journal, ReadError, Verified, Watched};
use sluice_model::{Pace, Place};
use sluice_service::{Backoff, shutdown::cancelled_within};
use sluice_shard::{Class, Identity, LastStored, Operation, Shard, ShardError, StoredPosition};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Lane, LaneState,
    health::chain,
    live,
    trouble::Trouble,
    work::{ShardPosition, Stored, Unfit, Work},
};
use crate::{
    config::LaneConfig,
    shards::Shards,
    share::{Epoch, Share},
};

/// The least and the greatest wait before a shard is tried again. Too short a greatest wait and a shard that comes back is
/// met by all its lanes at once; too long and it waits for them.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long a lane that lacks what the journal no longer has waits before it looks again. Shorter:
/// that many questions, and nobody has put anything right yet. Longer: it goes on later once
/// somebody has.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How long telling of a commit may hold a lane up. Lower: those who wait hear nothing where NATS is slow. Higher: so do the lane's next rows
/// where it is away.
const TELL_LIMIT: Duration = Duration::from_secs(1);

/// What a lane needs from its worker.
#[derive(Clone)]
pub struct Context {
    /// The partitions of the lane's worker.
    pub share: Arc<Share>,
    /// To read from when behind, and for dead letters.
    pub journal: Journal,
    /// To ask for routes when behind.
    pub directory: Client,
    /// The shards' addresses.
    pub shards: Arc<Shards>,
    /// The knobs.
    pub config: LaneConfig,
    /// See [`Client::names_shards_late`].
    pub names_shards_late: bool,
    /// Commit what is queued, then end.
    pub stop: CancellationToken,
}

/// A lane's own side.
pub(super) struct Task {
    pub(super) lane: Arc<Lane>,
    pub(super) context: Context,
    /// Which version of its worker's partitions it goes by.
    owned: u64,
    /// What the shard said last, and what has been committed since.
    pub(super) stored: Stored,
    /// Whether something failed and nothing was stored since: `/lanes` shows what it was until then.
    pub(super) is_in_trouble: bool,
    /// Whether the shard's tables took no rows when it was tried last.
    pub(super) is_misconfigured: bool,
    /// What its table took last: see [`Shard::last_stored`].
    last_stored: LastStored,
    /// The version of the shard's entry that it is connected by.
    version: Option<u64>,
    /// Memory for the next work.
    pub(super) spare: Work,
    pub(super) pace: Pace,
    pub(super) backoff: Backoff,
}

/// Starts a lane's task. It ends when `context.stop` is cancelled and what was queued is committed,
/// or an invariant broke. One that lacks what the journal no longer has stops, and looks again
/// every now and then.
pub fn start(lane: Arc<Lane>, context: Context) -> JoinHandle<()> {
    let backoff = Backoff::new(RETRY.0, RETRY.1);
    let (stored, spare, pace) = (Stored::new(), Work::default(), live::pace());
    let task = Task {
        lane,
        context,
        owned: 0,
        stored,
        is_in_trouble: false,
        is_misconfigured: false,
        last_stored: LastStored::default(),
        version: None,
        spare,
        pace,
        backoff,
    };
    tokio::spawn(task.run())
}

impl Task {
    async fn run(mut self) {
        while let Err(trouble) = self.session().await {
            let shard = self.lane.shard().to_owned();
            self.lane.go_behind();
            if self.lane.is_retired() {
                tracing::info!(shard, "the directory no longer names this shard: its lane ends");
                return;
            }
            let wait = match trouble {
                Trouble::Stop(error) => return self.stop_lane(&*error),
                Trouble::Lacks(error) => {
                    self.stop_lane(&*error);
                    self.is_in_trouble = true;
                    LOOK_AGAIN
                }
                Trouble::Moved(error) => {
                    tracing::info!(shard, error = &*error as &dyn Error, "asking the shard how far it is");
                    RETRY.0
                }
                Trouble::Refused(partition, error) => {
                    self.context.share.refuse(partition, format!("shard {shard}: {error}"));
                    RETRY.0
                }
                Trouble::Retry(error) => {
                    tracing::warn!(shard, error = &*error as &dyn Error, "trying the shard again");
                    self.in_trouble(LaneState::Connecting, chain(&*error));
                    self.backoff.next_wait()
                }
                Trouble::Misconfigured(error) => {
                    tracing::error!(shard, error = &*error as &dyn Error, "this shard has to be mended; trying again");
                    self.in_trouble(LaneState::Connecting, chain(&*error));
                    // Its address may have changed.
                    let _ = self.context.shards.refresh().await;
                    self.backoff.next_wait()
                }
                Trouble::TakesNoRows(error) => {
                    self.takes_no_rows(&*error);
                    // Its address may have changed.
                    let _ = self.context.shards.refresh().await;
                    self.backoff.next_wait()
                }
            };
            if cancelled_within(&self.context.stop, wait).await {
                return;
            }
            self.lane.queue().reopen();
        }
    }

    /// From now on nobody waits for this lane. It is told once, however often the lane looks again
    /// in vain.
    fn stop_lane(&self, error: &(dyn Error + 'static)) {
        let (shard, why) = (self.lane.shard(), Some(chain(error)));
        if self.lane.health().detail != why {
            tracing::error!(shard, error, "this lane has stopped; the others go on");
        }
        self.lane.queue().close();
        self.lane.room.notify_waiters();
        self.lane.set_health(LaneState::Stopped, why);
    }

    /// One connection's time. Ends well only when the lane is to stop.
    async fn session(&mut self) -> Result<(), Trouble> {
        if !self.has_partitions().await {
            // Nothing is queued of no partitions.
            return Ok(());
        }
        let mut shard = self.connect().await?;
        shard.last_stored = std::mem::take(&mut self.last_stored);
        let ended = self.serve(&mut shard).await;
        self.last_stored = std::mem::take(&mut shard.last_stored);
        if ended.is_ok() {
            shard.close().await;
        }
        ended
    }

    async fn serve(&mut self, shard: &mut Shard) -> Result<(), Trouble> {
        loop {
            self.is_where_it_was()?;
            if self.is_outdated() {
                self.adopt(shard).await?;
            }
            if self.lane.queue().is_live() && !self.lane.queue().follows(&self.stored) {
                tracing::warn!(shard = self.lane.shard(), "the shard is not where its queue begins: going behind");
                self.lane.go_behind();
            }
            if self.lane.queue().is_live() {
                self.is_well(LaneState::Live);
                if self.live(shard).await? {
                    return Ok(());
                }
            } else if self.context.stop.is_cancelled() {
                return Ok(());
            } else if self.lane.queue().reader_positions().is_empty() {
                // No reader has started yet: they wait to hear from this shard.
                self.something_new().await;
            } else {
                if !self.is_in_trouble {
                    self.lane.set_health(LaneState::Behind, None);
                }
                self.catch_up(shard).await?;
            }
        }
    }

    /// Waits until its worker has partitions: a shard is not connected to for nothing. False where the lane is to stop.
    async fn has_partitions(&mut self) -> bool {
        while self.context.share.owned().0.is_empty() && !self.context.stop.is_cancelled() && !self.lane.is_retired() {
            self.something_new().await;
        }
        !self.context.stop.is_cancelled()
    }

    /// Waits for something to do.
    pub(super) async fn something_new(&mut self) {
        tokio::select! {
            biased;
            () = self.context.stop.cancelled() => {}
            () = self.lane.arrived.notified() => {}
        }
    }

    async fn connect(&mut self) -> Result<Shard, Trouble> {
        let (name, shards) = (self.lane.shard(), &self.context.shards);
        if shards.entry(name).is_none() {
            // Registered since the directory was asked last.
            shards.refresh().await?;
        }
        let unknown = || Trouble::Misconfigured(format!("the directory knows no shard {name}").into());
        let ShardEntry { address, version, .. } = shards.entry(name).ok_or_else(unknown)?;
        let identity = Identity { shard: name.to_owned(), journal_id: self.context.journal.id().to_owned() };
        let limits = self.context.config.shard_limits();
        let mut shard = match Shard::connect_within(&address, &identity, limits).await {
            // Perhaps it is none yet, and nobody else makes it one.
            Err(error) if error.class == Class::Configuration && shards.register(name, &address).await? => {
                Shard::connect_within(&address, &identity, limits).await?
            }
            connected => connected?,
        };
        self.version = Some(version);
        self.stored.clear();
        self.adopt(&mut shard).await?;
        if self.lane.has_stopped() {
            // The readers wait again for what its shard says.
            let detail = self.lane.health().detail;
            self.lane.set_health(LaneState::Connecting, detail);
        }
        // To be let in says nothing of a shard that takes no rows.
        if !self.is_misconfigured {
            self.backoff.reset();
        }
        Ok(shard)
    }

    /// Follows what its worker has: forgets what is no longer its own, and asks the shard about what is new, or new again.
    pub(super) async fn adopt(&mut self, shard: &mut Shard) -> Result<(), Trouble> {
        let (owned, version) = self.context.share.owned();
        self.owned = version;
        self.stored.retain(|partition, known| owned.get(partition) == Some(&known.epoch));
        let positions = self.in_time("positions", shard.positions()).await?;
        for (partition, epoch) in owned.iter() {
            if self.stored.contains_key(partition) {
                continue;
            }
            let missing = || {
                let source = format!("{} has no stored position for partition {partition}", self.lane.shard());
                ShardError::new(Operation::ReadPositions, Class::Configuration, source)
            };
            let stored = *positions.get(partition).ok_or_else(missing)?;
            match self.verified(stored, *epoch).await {
                Ok(Some(known)) => drop(self.stored.insert(*partition, known)),
                Ok(None) => {}
                // Another writer may have gone on meanwhile, and what it stored was trimmed: the shard is asked once more.
                Err(Trouble::Lacks(error)) => {
                    let now = self.in_time("positions", shard.positions()).await?.get(partition).copied();
                    let moved = now != Some(stored);
                    return Err(if moved { Trouble::Moved(error) } else { Trouble::Lacks(error) });
                }
                Err(trouble) => return Err(trouble),
            }
        }
        self.lane.set_stored(&self.stored);
        Ok(())
    }

    /// What a shard has stored, once it is sure that the journal has not lost it, and that no repair has to be completed before the
    /// shard reads on; else `None`: then the partition is refused.
    async fn verified(&self, stored: StoredPosition, epoch: Epoch) -> Result<Option<ShardPosition>, Trouble> {
        let (journal, shard) = (&self.context.journal, self.lane.shard());
        let asked = async {
            let verified = journal.verify(stored).await?;
            if let Some(first) =
                journal.cut_off(stored, verified).await.map_err(|e| ReadError::Interrupted(e.into()))?
            {
                return Err(ReadError::Trimmed { wanted: stored.position.next(), first });
            }
            let repaired = verified == Verified::Repaired;
            let left_out = journal.left_out(shard, stored).await?;
            Ok::<_, ReadError>(ShardPosition { stored, epoch, repaired, left_out })
        };
        match asked.await {
            Ok(known) => Ok(Some(known)),
            // What is trimmed, or gone, is this shard's own trouble.
            Err(error @ (ReadError::Trimmed { .. } | ReadError::Gone { .. })) => Err(error.into()),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => {
                let why = format!("shard {}: {error}", self.lane.shard());
                self.context.share.refuse(stored.position.partition(), why);
                Ok(None)
            }
        }
    }

    /// Whoever changed the shard's entry wants it to be reached otherwise: by another address, another user, another password.
    pub(super) fn is_where_it_was(&self) -> Result<(), Trouble> {
        if self.context.shards.version(self.lane.shard()) == self.version {
            return Ok(());
        }
        Err(Trouble::Moved("its entry in the directory has changed".into()))
    }

    /// Whether its worker has other partitions than the lane knows of.
    pub(super) fn is_outdated(&self) -> bool {
        self.context.share.version() != self.owned
    }

    /// Commits one work: dead letters first, then rows and positions in one transaction. False where there was nothing to
    /// store, or where the work does not follow on what the shard has (the lane is behind then).
    pub(super) async fn commit(&mut self, shard: &mut Shard, work: Work) -> Result<bool, Trouble> {
        let mut prepared = match work.prepare(&self.stored) {
            Ok(prepared) => prepared,
            Err(unfit) => {
                self.does_not_fit(unfit);
                return Ok(false);
            }
        };
        let is_new = !prepared.is_stored();
        if is_new {
            self.may_pass(shard, &prepared).await?;
            let rows = prepared.batch.rows.len();
            self.pace.begun(Instant::now().into_std(), rows, rows);
            self.store(shard, &mut prepared).await?;
            self.tell(std::mem::take(&mut prepared.watched)).await;
        }
        self.spare = prepared.into_spare();
        Ok(is_new)
    }

    /// The lane reads again, from what its shard has stored. A partition whose history is another one is nobody's to go on with.
    fn does_not_fit(&self, unfit: Unfit) {
        tracing::warn!(shard = self.lane.shard(), %unfit, "going behind");
        self.lane.go_behind();
        if let Unfit::OtherHistory { stored: Place { position, stamp: wanted }, found } = unfit {
            let error = ReadError::Replaced { position, wanted, found };
            self.context.share.refuse(position.partition(), format!("shard {}: {error}", self.lane.shard()));
        }
    }

    /// Tells those who wait for them of the messages that a transaction has stored.
    async fn tell(&self, stored: Vec<Watched>) {
        let tell = async {
            for watched in stored {
                watched.tell(&self.context.journal, Some(self.lane.shard())).await;
            }
        };
        // Without a connection the client takes only so much; nobody's rows wait for that.
        let _ = tokio::time::timeout(TELL_LIMIT, tell).await;
    }

    /// Bounds what is asked of a shard. A cancelled `COPY` leaves its connection one answer behind, so this may only be used
    /// where the connection is dropped after an error: as everywhere in this file.
    pub(super) async fn in_time<T>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<T, ShardError>>,
    ) -> Result<T, Trouble> {
        let limit = self.context.config.shard_limits().batch();
        match tokio::time::timeout(limit, asked).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Trouble::Retry(format!("no answer to {what} within {} s", limit.as_secs_f64()).into())),
        }
    }
}
