//! A partition's live reader: where it starts, and how it feeds the lanes.

use std::{collections::HashMap, convert::Infallible, error::Error, sync::Arc, time::Duration};

use sluice_failpoint::limit;
use sluice_journal::{Journal, Message, ReadError, Reader};
use sluice_model::{Partition, Place, Position};
use sluice_service::Backoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    config::LaneConfig,
    lane::{Lane, health::chain, range::PositionRange},
    lanes::Lanes,
    patience::Patience,
    router::Router,
    share::Epoch,
    standstill::Standstill,
    status::Waits,
};

/// Messages of one read. One round of locks and, at worst, one question to the directory is shared by so many.
const CHUNK: usize = 500;
/// A lane this many messages behind the one that is furthest begins behind: the others do not read all that again.
const FAR_MESSAGES: u64 = 100_000;
/// A reader that lacks so many messages of the journal's end has more at hand: its lanes gather. Fewer: lanes of a journal that is nearly
/// read wait for nothing. More: their transactions are small.
const AT_HAND: u64 = 2_000;
/// How long a reader waits before it asks the shards again where to start.
const RESTART: Duration = Duration::from_secs(1);
/// How often a reader that waits looks up.
const TICK: Duration = Duration::from_millis(50);
/// How often a reader without messages tells new lanes where it is.
const IDLE_TICK: Duration = Duration::from_millis(500);
/// A reader to which nothing comes for so long, although the journal reaches further, gets a new
/// consumer. Shorter: a busy server makes one again and again. Longer: rows are that late where a
/// consumer gives nothing, although it answers.
const STALLED: Duration = Duration::from_secs(5);

/// A partition's live reader.
pub struct PartitionReader {
    /// The partition.
    pub partition: Partition,
    /// Since when it is the worker's.
    pub epoch: Epoch,
    /// The worker's lanes, and what they and this reader need.
    pub lanes: Arc<Lanes>,
    /// Stop reading.
    pub stop: CancellationToken,
}

/// Where a reader starts, and which lanes it feeds from there; the others begin behind.
#[derive(Debug, PartialEq, Eq)]
struct Beginning {
    from: Position,
    fed: Vec<bool>,
}

/// Decides on the beginning, given each lane's stored position (`None`: has not answered) and the least one that the journal can
/// be read on from (see [`Journal::least_stored`]). `None` while no lane has answered: then there is nobody to read for.
fn begin(stored: &[Option<Position>], least_stored: Position) -> Option<Beginning> {
    let furthest = stored.iter().flatten().max()?;
    let far = limit("far", FAR_MESSAGES);
    let carried = |position: &Position| *position >= least_stored && furthest.get() - position.get() <= far;
    // Where nobody can be carried, every lane has been set back further than the journal reaches, and will say so.
    let least = stored.iter().flatten().filter(|position| carried(position)).min();
    let from = least.copied().unwrap_or(least_stored).next();
    Some(Beginning { from, fed: stored.iter().map(|s| s.as_ref().is_some_and(carried)).collect() })
}

impl PartitionReader {
    /// Reads until told to stop, or until the journal turns out not to hold what it should.
    pub async fn run(self) {
        let stop = self.stop.clone();
        let read = async {
            loop {
                let read = match self.start().await {
                    Ok(after) => self.read(after).await,
                    Err(error) => Err(error),
                };
                let Err(error) = read;
                if !matches!(error, ReadError::Trimmed { .. }) {
                    return error;
                }
                // What is trimmed, every shard has: another writer was here while this one slept. The shards are asked anew.
                tracing::warn!(partition = %self.partition, error = &error as &dyn Error, "starting again");
                self.lanes.all().iter().for_each(|lane| lane.go_behind());
                tokio::time::sleep(RESTART).await;
            }
        };
        let why = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            why = self.journal().until_misconfigured(self.partition) => why,
            error = read => error.to_string(),
        };
        self.lanes.share().refuse(self.partition, why);
    }

    /// Waits for the shards to say how far they are, and tells every lane where the reader starts.
    async fn start(&self) -> Result<Place, ReadError> {
        let patient_until = Instant::now() + self.config().start_patience();
        loop {
            let lanes = self.lanes.all();
            // Nobody waits for a lane that has stopped; it begins behind, if it goes on again.
            let stored: Vec<_> = lanes.iter().map(|lane| self.stored(lane).filter(|_| !lane.has_stopped())).collect();
            let all_known = lanes.iter().zip(&stored).all(|(lane, stored)| stored.is_some() || lane.has_stopped());
            let some_known = stored.iter().any(Option::is_some);
            // There may be shards that nobody has named yet: all that the journal holds is read, until each has been met.
            if self.lanes.context().names_shards_late {
                match self.journal().bounds(self.partition).await {
                    Ok(bounds) => {
                        lanes.iter().for_each(|lane| lane.start(self.partition, bounds.first, false));
                        self.lanes.status().reading(self.partition, bounds.before().position);
                        return Ok(bounds.before());
                    }
                    Err(error) => self.waits_for_journal(&error),
                }
            } else if some_known && (all_known || Instant::now() >= patient_until) {
                match self.beginning(&stored).await {
                    Ok(Some((after, beginning))) => {
                        for (lane, fed) in lanes.iter().zip(beginning.fed) {
                            lane.start(self.partition, beginning.from, fed);
                        }
                        self.lanes.status().reading(self.partition, after.position);
                        return Ok(after);
                    }
                    Ok(None) => {}
                    Err(error) if error.is_transient() => self.waits_for_journal(&error),
                    Err(error) => return Err(error),
                }
            } else {
                self.lanes.status().starts(self.partition, "no shard has said yet how far it is".to_owned());
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn waits_for_journal(&self, error: &(dyn Error + 'static)) {
        tracing::warn!(partition = %self.partition, error, "waiting for the journal");
        self.lanes.status().starts(self.partition, format!("the journal does not answer: {}", chain(error)));
    }

    fn journal(&self) -> &Journal {
        &self.lanes.context().journal
    }

    fn config(&self) -> &LaneConfig {
        &self.lanes.context().config
    }

    /// What a lane's shard has said since this reader's worker has the partition.
    fn stored(&self, lane: &Lane) -> Option<Place> {
        lane.stored(self.partition, self.epoch).map(|shard| shard.stored)
    }

    /// Where to start, and behind what, once it is sure that the journal has not lost what some shard has of it.
    async fn beginning(&self, stored: &[Option<Place>]) -> Result<Option<(Place, Beginning)>, ReadError> {
        for stored in stored.iter().flatten() {
            self.journal().verify(*stored).await?;
        }
        let positions: Vec<_> = stored.iter().map(|stored| stored.map(|stored| stored.position)).collect();
        let bounds = self.journal().bounds(self.partition).await;
        let bounds = bounds.map_err(|e| ReadError::Interrupted(e.into()))?;
        let least = self.journal().least_stored(self.partition, bounds.first).await;
        let least = least.map_err(|e| ReadError::Interrupted(e.into()))?;
        let Some(beginning) = begin(&positions, least) else { return Ok(None) };
        // The journal's own stamp: a shard's may be one that a repair accepts.
        let position = beginning.from.previous();
        let stamp = self.journal().stamp_as_read(position).await.map_err(|e| ReadError::Interrupted(e.into()))?;
        Ok(Some((Place { position, stamp: stamp.unwrap_or(0) }, beginning)))
    }

    async fn read(&self, mut after: Place) -> Result<Infallible, ReadError> {
        let context = self.lanes.context();
        let partitions = context.journal.partitions();
        let known = context.config.route_cache / usize::from(partitions.get());
        let mut router = Router::new(context.directory.clone(), partitions, known, None);
        let mut patience = HashMap::new();
        let mut backoff = Backoff::new(TICK, Duration::from_secs(2));
        loop {
            let error = match self.journal().read(after).await {
                Ok(mut reader) => {
                    tracing::info!(partition = %self.partition, from = ?reader.next_position(), "reading");
                    backoff.reset();
                    let Err(error) = self.follow(&mut reader, &mut router, &mut patience).await;
                    after = reader.place();
                    error
                }
                Err(error) => error,
            };
            if !error.is_transient() {
                return Err(error);
            }
            tracing::warn!(partition = %self.partition, error = &error as &dyn Error, "reading again");
            self.lanes.status().cannot_read(self.partition, chain(&error));
            self.lanes.all().iter().for_each(|lane| lane.hurry(self.partition));
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// Feeds what the reader gives, until the reader ends, or gives nothing although there is more.
    async fn follow(
        &self,
        reader: &mut Reader,
        router: &mut Router,
        patience: &mut HashMap<String, Patience>,
    ) -> Result<Infallible, ReadError> {
        let (opened, mut standstill) = (Instant::now(), Standstill::default());
        loop {
            let after = reader.place();
            let chunk = tokio::select! {
                biased;
                chunk = reader.next_chunk(CHUNK) => chunk?,
                () = tokio::time::sleep(IDLE_TICK) => {
                    self.lanes.all().iter().for_each(|lane| lane.introduce(self.partition, after.position.next()));
                    self.gets_on(after.position, &mut standstill, opened)?;
                    continue;
                }
            };
            standstill = Standstill::default();
            let more = reader.more() >= limit("at hand", AT_HAND);
            self.deliver(after, &chunk, more, router, patience).await;
            self.lanes.status().read_to(self.partition, reader.place().position);
        }
    }

    /// Compares a reader that waits for messages with the journal's end.
    fn gets_on(&self, read: Position, standstill: &mut Standstill, opened: Instant) -> Result<(), ReadError> {
        let end = self.journal().extent(self.partition).map(|extent| extent.last);
        let stands = standstill.look(read, end, Instant::now());
        if let Some(end) = end.filter(|_| stands >= STALLED) {
            let (seconds, messages) = (stands.as_secs(), end.get() - read.get());
            let why = format!("nothing came for {seconds} s although {messages} messages wait: a new consumer is made");
            return Err(ReadError::Interrupted(why.into()));
        }
        if stands.is_zero() && opened.elapsed() >= STALLED {
            self.lanes.status().can_read(self.partition);
        }
        Ok(())
    }

    /// Sorts a chunk by shard and feeds every lane: those that get no row learn how far the partition is.
    async fn deliver(
        &self,
        mut after: Place,
        mut chunk: &[Message],
        more: bool,
        router: &mut Router,
        patience: &mut HashMap<String, Patience>,
    ) {
        while !chunk.is_empty() {
            let (part, rest) = chunk.split_at(self.sort(chunk, router).await);
            if let Some(range) = PositionRange::of(after, part) {
                self.feed(&range, more, router, patience).await;
                after = range.last();
            }
            chunk = rest;
        }
    }

    /// Feeds every lane what was sorted.
    async fn feed(
        &self,
        range: &PositionRange,
        more: bool,
        router: &mut Router,
        patience: &mut HashMap<String, Patience>,
    ) {
        for share in router.shares() {
            if !share.is_empty() {
                self.lanes.get_or_start(&share.shard);
            }
        }
        let lanes = self.lanes.all();
        for lane in lanes.iter() {
            lane.introduce(self.partition, range.first());
            let Some(share) = router.share_of(lane.shard()) else {
                lane.feed(range, None, more);
                continue;
            };
            if lane.is_full() {
                let now = Instant::now();
                let patience = patience
                    .entry(lane.shard().to_owned())
                    .or_insert_with(|| Patience::new(self.config().patience(), now));
                // The others get nothing more before this one has room.
                lanes.iter().for_each(|lane| lane.hurry(self.partition));
                self.lanes.status().waits(self.partition, Waits::Room(lane.shard().to_owned()));
                wait_for_room(lane, &lanes, patience).await;
                self.lanes.status().waits(self.partition, Waits::Messages);
            }
            lane.feed(range, Some(share), more);
        }
    }

    /// Asks the directory, and stores the dead letters that are no lane's, until both have answered: no position may pass before. Returns
    /// how many messages were sorted.
    async fn sort(&self, chunk: &[Message], router: &mut Router) -> usize {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let sorted = loop {
            match router.sort(chunk).await {
                Ok(sorted) => break sorted,
                Err(error) => {
                    tracing::warn!(partition = %self.partition, error = &error as &dyn Error, "waiting for the directory");
                    self.lanes.status().waits(self.partition, Waits::Directory(chain(&error)));
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        };
        while let Err(error) = self.journal().dead_letters().store(router.strays()).await {
            tracing::warn!(partition = %self.partition, error = &error as &dyn Error, "waiting to store dead letters");
            self.lanes.status().waits(self.partition, Waits::Letters(chain(&error)));
            tokio::time::sleep(backoff.next_wait()).await;
        }
        self.lanes.status().waits(self.partition, Waits::Messages);
        for watched in router.take_watched_strays() {
            watched.tell(self.journal(), None).await;
        }
        sorted
    }
}

/// Waits until a full lane has room, or until others have waited for it long enough: then it goes behind. One whose shard is away
/// does so as soon as others wait for it.
async fn wait_for_room(lane: &Lane, lanes: &[Arc<Lane>], patience: &mut Patience) {
    while lane.is_full() {
        let begun = Instant::now();
        tokio::select! { biased; () = lane.room() => {}, () = tokio::time::sleep(TICK) => {} }
        let now = Instant::now();
        // Where all the others have work, or are stuck too, waiting costs nobody anything.
        let costs = lanes.iter().any(|other| !std::ptr::eq(other.as_ref(), lane) && other.is_idle());
        if costs && (lane.is_away() || patience.waited(now - begun, now)) {
            tracing::warn!(shard = lane.shard(), "too slow for the others: going behind");
            lane.go_behind();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> Position {
        Position::new(sequence).unwrap()
    }

    #[test]
    fn a_reader_starts_from_the_least_stored_position_of_the_lanes_it_carries() {
        let stored = [Some(at(7)), Some(at(5)), None];
        let beginning = begin(&stored, at(0)).unwrap();
        assert_eq!(beginning, Beginning { from: at(6), fed: vec![true, true, false] });
    }

    #[test]
    fn a_lane_far_behind_or_set_back_beyond_the_journal_does_not_hold_the_others() {
        let stored = [Some(at(FAR_MESSAGES + 10)), Some(at(9)), Some(at(FAR_MESSAGES))];
        let beginning = begin(&stored, at(0)).unwrap();
        assert_eq!(beginning, Beginning { from: at(FAR_MESSAGES + 1), fed: vec![true, false, true] });
        // Position 9 is stored, 10 is wanted, the journal begins at 11.
        let beginning = begin(&[Some(at(9)), Some(at(10))], at(10)).unwrap();
        assert_eq!(beginning, Beginning { from: at(11), fed: vec![false, true] });
        let nobody = begin(&[Some(at(3))], at(10)).unwrap();
        assert_eq!(nobody, Beginning { from: at(11), fed: vec![false] });
    }

    #[test]
    fn nobody_reads_for_nobody() {
        assert_eq!(begin(&[None, None], at(0)), None);
        assert_eq!(begin(&[], at(0)), None);
    }
}
