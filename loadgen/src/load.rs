//! The closed loop: so many parcels in flight, and a new one begins only when another has ended.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    plan::{Parcel, Plan},
    tally::{Failure, Tally},
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
    async fn send(&self, parcel: Parcel<'_>) -> Result<(), Failure> {
        match self {
            Self::Http(target) => target.send(parcel).await,
            Self::Nats(target) => target.send(parcel).await,
        }
    }
}

/// One run's shared state.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    target: Target,
    stop: CancellationToken,
    next: AtomicU64,
    done: AtomicU64,
}

impl Load {
    /// A load that has not begun.
    pub fn new(plan: Plan, target: Target, stop: CancellationToken) -> Self {
        Self { plan, target, stop, next: AtomicU64::new(0), done: AtomicU64::new(0) }
    }

    /// Events that were accepted or failed so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Offers the whole plan, or what of it is begun before `stop`; what is in flight then is waited for.
    ///
    /// # Panics
    /// Where one of its tasks does.
    pub async fn offer(self: Arc<Self>, in_flight: usize) -> Tally {
        // A task per core: one connection's worth of work is small, and a task per request would be mostly scheduling.
        let tasks = std::thread::available_parallelism().map_or(1, usize::from).min(in_flight).max(1);
        let mut running = JoinSet::new();
        for task in 0..tasks {
            let share = in_flight / tasks + usize::from(task < in_flight % tasks);
            running.spawn(self.clone().offer_share(share));
        }
        let mut total = Tally::default();
        for tally in running.join_all().await {
            total.add(tally);
        }
        total
    }

    async fn offer_share(self: Arc<Self>, in_flight: usize) -> Tally {
        let load = &self;
        let numbers = iter::from_fn(|| load.take());
        let mut outcomes = stream::iter(numbers).map(|number| load.send(number)).buffer_unordered(in_flight);
        let mut tally = Tally::default();
        while let Some((events, took, outcome)) = outcomes.next().await {
            load.done.fetch_add(events.into(), Ordering::Relaxed);
            tally.note(events, took, outcome);
        }
        tally
    }

    fn take(&self) -> Option<u64> {
        let number = (!self.stop.is_cancelled()).then(|| self.next.fetch_add(1, Ordering::Relaxed))?;
        (number < self.plan.parcels()).then_some(number)
    }

    async fn send(&self, number: u64) -> (u32, Duration, Result<(), Failure>) {
        let parcel = self.plan.parcel(number);
        let events = parcel.events;
        let begun = Instant::now();
        let outcome = self.target.send(parcel).await;
        (events, begun.elapsed(), outcome)
    }
}
