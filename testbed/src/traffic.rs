//! Events at a fixed rate, published as any client may, while something is broken.
//!
//! Unlike `loadgen`, which offers as much as is taken, this goes on at its rate whatever happens, until it is stopped. Each
//! event's name is the time at which it was published: see [`crate::arrivals`].

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, Instant},
};

use async_nats::{ConnectOptions, jetstream::context::ContextBuilder};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{fleet::Fleet, nats_users::NatsUser};

/// How often what is due is published.
const TICK: Duration = Duration::from_millis(1);
/// How long JetStream may take to acknowledge.
const ACK_LIMIT: Duration = Duration::from_secs(30);
/// Messages without acknowledgement; beyond them the traffic waits, and is late.
const IN_FLIGHT: usize = 10_000;

/// The moment that all times of this process are counted from.
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time now, counted from some moment of this process's past.
pub fn now() -> Duration {
    BEGINNING.elapsed()
}

/// Somebody to publish for.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// The customer.
    pub customer: String,
    /// How long each of its persons' addresses is, in bytes: at most 4,096.
    pub address_bytes: usize,
}

impl Receiver {
    /// A customer whose rows are small.
    pub fn small(customer: &str) -> Self {
        Self { customer: customer.to_owned(), address_bytes: 20 }
    }
}

/// What to publish, and how often.
#[derive(Debug, Clone)]
pub struct Load {
    /// In turn.
    pub receivers: Vec<Receiver>,
    /// Messages of all of them together.
    pub messages_per_s: u32,
    /// Events of each message.
    pub events_per_message: u32,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Events of each customer that JetStream has acknowledged.
    pub accepted: BTreeMap<String, u64>,
    /// Events that were not acknowledged: they may be stored or not.
    pub unknown: u64,
}

impl Sent {
    /// Acknowledged events of all customers.
    pub fn total(&self) -> u64 {
        self.accepted.values().sum()
    }
}

/// Traffic that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Traffic {
    stop: CancellationToken,
    sent: Arc<Mutex<Sent>>,
    running: JoinHandle<()>,
}

impl Traffic {
    /// Connects to NATS, as the user who may only publish persons, and begins.
    ///
    /// # Errors
    /// Where NATS does not answer.
    pub async fn start(fleet: &Fleet, load: Load) -> anyhow::Result<Self> {
        let client = fleet.login(NatsUser::Publisher).connect(ConnectOptions::new()).await?;
        let context = ContextBuilder::new().timeout(ACK_LIMIT).max_ack_inflight(2 * IN_FLIGHT).build(client);
        let (stop, sent) = (CancellationToken::new(), Arc::<Mutex<Sent>>::default());
        let publisher = Publisher { context, load, sent: Arc::clone(&sent), stop: stop.clone() };
        Ok(Self { stop, sent, running: tokio::spawn(publisher.run()) })
    }

    /// What was acknowledged so far.
    pub fn so_far(&self) -> Sent {
        self.sent.lock().expect("no holder of this lock panics").clone()
    }

    /// Publishes no more, and waits for what is not acknowledged yet.
    ///
    /// # Errors
    /// Where the publishing task panicked.
    pub async fn stop(mut self) -> anyhow::Result<Sent> {
        self.stop.cancel();
        (&mut self.running).await?;
        Ok(self.so_far())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.running.abort();
    }
}

struct Publisher {
    context: async_nats::jetstream::Context,
    load: Load,
    sent: Arc<Mutex<Sent>>,
    stop: CancellationToken,
}

impl Publisher {
    async fn run(self) {
        let (acknowledged, in_flight) = (TaskTracker::new(), Arc::new(Semaphore::new(IN_FLIGHT)));
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        let mut published = 0u64;
        while self.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let due = begun.elapsed().as_secs_f64() * f64::from(self.load.messages_per_s);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
            let due = due as u64;
            while published < due {
                let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await else { return };
                let turn = published % self.load.receivers.len() as u64;
                let receiver = &self.load.receivers[usize::try_from(turn).expect("less than a list's length")];
                let subject = format!("person.create.{}", receiver.customer);
                let publish = self.context.publish(subject, self.message(receiver).into()).await;
                let (sent, customer) = (Arc::clone(&self.sent), receiver.customer.clone());
                let events = u64::from(self.load.events_per_message);
                acknowledged.spawn(async move {
                    let stored = match publish {
                        Ok(ack) => ack.await.is_ok(),
                        Err(_) => false,
                    };
                    let mut sent = sent.lock().expect("no holder of this lock panics");
                    if stored {
                        *sent.accepted.entry(customer).or_default() += events;
                    } else {
                        sent.unknown += events;
                    }
                    drop(permit);
                });
                published += 1;
            }
        }
        acknowledged.close();
        acknowledged.wait().await;
    }

    /// One JSON object a line.
    fn message(&self, receiver: &Receiver) -> String {
        let address = "x".repeat(receiver.address_bytes);
        let person = format!(r#"{{"name":"{}","address":"{address}"}}"#, now().as_nanos());
        vec![person; self.load.events_per_message as usize].join("\n")
    }
}
