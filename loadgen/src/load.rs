//! The load itself: parcels that start when the schedule says so (the open loop), or each when another has ended (the
//! closed loop); either way no more than so many are in flight.
//!
//! In the open loop a parcel's latency is counted from the moment that it was meant to start at, also where it had to wait for a
//! free place: a server that stalls makes every request long that fell into the stall, and not only those it happened to hold.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    account::Book,
    live::Live,
    metronome::Metronome,
    outcome::Answer,
    plan::{Parcel, Plan},
    schedule::Schedule,
    tally::Tally,
    via_http::HttpTarget,
    via_nats::NatsTarget,
};

/// Where parcels go.
#[derive(Debug, Clone)]
pub enum Target {
    /// To ingest.
    Http(HttpTarget),
    /// To NATS.
    Nats(NatsTarget),
}

impl Target {
    async fn send(&self, parcel: &Parcel<'_>) -> Answer {
        match self {
            Self::Http(target) => target.send(parcel).await,
            Self::Nats(target) => target.send(parcel).await,
        }
    }
}

/// One run's shared state.
#[derive(Debug)]
pub struct Load {
    /// What it offers.
    pub plan: Plan,
    /// Where to.
    pub target: Target,
    /// Nothing is begun after that.
    pub stop: CancellationToken,
    /// What is known while it runs.
    pub live: Live,
    /// What must and must not become a row.
    pub book: Option<Book>,
}

/// One phase that is under way.
#[derive(Debug)]
struct Stage {
    schedule: Schedule,
    begun: Instant,
    metronome: Metronome,
    first: u64,
    taken: AtomicU64,
}

/// What came of a parcel.
struct Done {
    intended: Instant,
    lag: Duration,
    answer: Answer,
}

impl Load {
    /// Offers one phase, or what of it is begun before its end and before `stop`; what is in flight then is waited for. Its
    /// parcels are numbered from `first`; also gives the first number that is free after it.
    ///
    /// # Panics
    /// Where one of its tasks does.
    pub async fn offer(self: Arc<Self>, schedule: Schedule, first: u64, in_flight: usize) -> (Tally, u64) {
        let begun = Instant::now();
        let metronome = Metronome::start(schedule, begun);
        let stage = Arc::new(Stage { schedule, begun, metronome, first, taken: AtomicU64::new(0) });
        // A task per core: one connection's worth of work is small, and a task per request would be mostly scheduling.
        let tasks = std::thread::available_parallelism().map_or(1, usize::from).min(in_flight).max(1);
        let mut running = JoinSet::new();
        for task in 0..tasks {
            let share = in_flight / tasks + usize::from(task < in_flight % tasks);
            running.spawn(self.clone().offer_share(stage.clone(), share));
        }
        let mut total = Tally::default();
        for tally in running.join_all().await {
            total.add(&tally);
        }
        (total, first + stage.taken.load(Ordering::Relaxed))
    }

    async fn offer_share(self: Arc<Self>, stage: Arc<Stage>, in_flight: usize) -> Tally {
        let (load, stage) = (&self, &stage);
        let parcels = iter::from_fn(|| load.take(stage));
        let mut outcomes =
            stream::iter(parcels).map(|(number, events)| load.send(stage, number, events)).buffer_unordered(in_flight);
        let mut tally = Tally::default();
        while let Some(done) = outcomes.next().await {
            if let Some(Done { intended, lag, answer }) = done {
                tally.note(intended, lag, &answer);
            }
        }
        tally
    }

    /// The next parcel of the phase: its number there, and how many events it holds.
    fn take(&self, stage: &Stage) -> Option<(u64, u32)> {
        if self.stop.is_cancelled() || stage.schedule.is_over(stage.begun.elapsed()) {
            return None;
        }
        let number = stage.taken.fetch_add(1, Ordering::Relaxed);
        stage.schedule.events_of(number).map(|events| (number, events))
    }

    /// `None` where it was told to stop before the parcel was due.
    async fn send(&self, stage: &Stage, number: u64, events: u32) -> Option<Done> {
        let parcel = self.plan.parcel(stage.first + number, events);
        let due = stage.schedule.intended(number).map(|offset| stage.begun + offset);
        if due.is_some() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = stage.metronome.turn() => {}
            }
        }
        let begun = Instant::now();
        let intended = due.unwrap_or(begun);
        let lag = begun - intended;
        let answer = self.target.send(&parcel).await;
        debug_assert_eq!(answer.fates.len(), parcel.lines.len(), "every event has a fate");
        self.live.note(lag, &answer);
        if let Some(book) = &self.book {
            book.note(&parcel.lines, &answer);
        }
        Some(Done { intended, lag, answer })
    }
}
