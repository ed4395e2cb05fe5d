//! A lane that is behind reads for itself, from the shard's stored positions, and joins the readers when it is level.
//!
//! Joining is exact: under the queue's lock each partition's reader position J is taken and the queue is fed from J on; the
//! lane reads through J - 1 by itself before it takes from the queue.

use std::collections::BTreeMap;

use sluice_failpoint::{fail_point, limit};
use sluice_journal::Reader;
use sluice_model::{Partition, Place, Position};
use sluice_shard::Shard;

use super::{range::PositionRange, task::Task, trouble::Trouble, work::Work};
use crate::router::{LETTERS, Router};

/// A lane this many messages or less from its readers joins them; it reads the rest while its queue fills.
const JOIN_WITHIN: u64 = 5_000;
/// Messages of one read.
const CHUNK: usize = 1_000;
/// Messages that one transaction of a lane that is behind may cover: most of them are other shards'.
const SCAN: u64 = 50_000;

/// A partition as this lane reads it.
struct Source {
    reader: Reader,
    router: Router,
}

impl Task {
    /// Reads and commits until the lane has joined. Returns early where the lane is to stop, or its worker has lost its partitions.
    pub(super) async fn catch_up(&mut self, shard: &mut Shard) -> Result<(), Trouble> {
        let mut sources: BTreeMap<Partition, Source> = BTreeMap::new();
        let mut joined: Option<BTreeMap<Partition, Position>> = None;
        tracing::info!(shard = self.lane.shard(), stored = ?self.positions(), "behind: reading for itself");
        while !self.context.stop.is_cancelled() {
            self.is_where_it_was()?;
            if self.is_outdated() {
                self.adopt(shard).await?;
            }
            if joined.is_some() && !self.lane.queue().is_live() {
                joined = None;
            }
            let mut targets = joined.clone().unwrap_or_else(|| self.lane.queue().reader_positions());
            // What its worker has lost, or has got and the lane has not asked the shard about.
            targets.retain(|partition, _| self.stored.contains_key(partition));
            sources.retain(|partition, _| self.stored.contains_key(partition));
            let left: u64 = targets.iter().map(|(partition, target)| self.left(*partition, *target)).sum();
            if joined.is_none() && left <= limit("join within", JOIN_WITHIN) {
                fail_point!("join.before");
                joined = self.lane.queue().join();
                fail_point!("join.after");
                if joined.is_none() {
                    return Ok(());
                }
                continue;
            }
            if left == 0 {
                tracing::info!(shard = self.lane.shard(), "joined");
                return Ok(());
            }
            let mut work = Work::default();
            let mut scan = limit("scan", SCAN);
            for (partition, target) in targets {
                let limit = scan.min(self.left(partition, target));
                scan -= match self.read(&mut sources, partition, limit, &mut work).await {
                    // Another writer may have taken this shard on meanwhile, and what is gone from the journal may be in
                    // the shard: it is asked before anybody is told that something is lost.
                    Err(Trouble::Lacks(error)) => {
                        self.look_back(shard).await?;
                        return Err(Trouble::Lacks(error));
                    }
                    read => read?,
                };
            }
            self.commit(shard, work).await?;
        }
        Ok(())
    }

    fn positions(&self) -> Vec<Position> {
        self.stored.values().map(|shard| shard.stored.position).collect()
    }

    /// How many messages the shard lacks before the target.
    fn left(&self, partition: Partition, target: Position) -> u64 {
        let stored =
            self.stored.get(&partition).map_or(Position::before_first(partition), |known| known.stored.position);
        target.previous().get().saturating_sub(stored.get())
    }

    /// Behind what the next message of a partition is read: what is in the work already, or else what the shard has. Where a
    /// repair or an accepted loss says that a stamp is not the journal's, the journal's own.
    async fn place(&self, partition: Partition, work: &Work) -> Result<Place, Trouble> {
        if let Some(range) = work.range(partition) {
            return Ok(range.last());
        }
        let known = self.stored.get(&partition).ok_or_else(|| Trouble::Moved("its partition is gone".into()))?;
        if !known.repaired {
            return Ok(known.stored);
        }
        let position = known.stored.position;
        let stamp = self.context.journal.stamp_as_read(position).await.map_err(|e| Trouble::Retry(e.into()))?;
        Ok(Place { position, stamp: stamp.unwrap_or(0) })
    }

    /// Reads up to `limit` messages of a partition into the work, and says how many it read.
    async fn read(
        &self,
        sources: &mut BTreeMap<Partition, Source>,
        partition: Partition,
        limit: u64,
        work: &mut Work,
    ) -> Result<u64, Trouble> {
        let mut read = 0;
        // Dead letters are stored before any row of the transaction is. So each partition has its own share of them: one that is full of
        // bad events leaves room to the others.
        let letters = work.letters() + LETTERS;
        while read < limit && work.bytes() < self.context.config.lane_queue_bytes && work.letters() < letters {
            let after = self.place(partition, work).await?;
            let source = match sources.remove(&partition).filter(|source| source.reader.place() == after) {
                Some(source) => sources.entry(partition).or_insert(source),
                None => sources.entry(partition).or_insert(self.open(after).await?),
            };
            let max = usize::try_from(limit - read).unwrap_or(CHUNK).min(CHUNK);
            let chunk = source.reader.next_held(max).await?;
            let (mut after, mut rest) = (after, &chunk[..]);
            while !rest.is_empty() {
                let (part, behind) = rest.split_at(source.router.sort(rest).await?);
                // Whoever read these positions live may have read another history there.
                let strays = self.context.journal.dead_letters().store(source.router.strays()).await;
                strays.map_err(|e| Trouble::Retry(e.into()))?;
                if let Some(range) = PositionRange::of(after, part) {
                    work.add(&range, source.router.share_of(self.lane.shard()));
                    after = range.last();
                }
                rest = behind;
            }
            read += chunk.len() as u64;
        }
        Ok(read)
    }

    async fn open(&self, after: Place) -> Result<Source, Trouble> {
        let reader = self.context.journal.read(after).await?;
        let only = Some(self.lane.shard().to_owned());
        let partitions = reader.partitions();
        let lanes = self.context.shards.count().max(1);
        let known = self.context.config.route_cache / usize::from(partitions.get()) / lanes;
        Ok(Source { router: Router::new(self.context.directory.clone(), partitions, known, only), reader })
    }
}
