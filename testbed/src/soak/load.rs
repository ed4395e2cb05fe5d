//! Mixed load that goes on whatever breaks: straight to NATS and over HTTP, single events and many in one message, for
//! customers that are known and for new ones, and now and then an event that can never become a row.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::context::ContextBuilder;
use futures::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Deserialize;
use sluice_model::{EventId, Position};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ledger::{Fate, Ledger},
    person::{customer, person},
};
use crate::Fleet;

/// How often what is due is published.
const TICK: Duration = Duration::from_millis(50);
/// How long JetStream may take to acknowledge.
const ACK_LIMIT: Duration = Duration::from_secs(5);
/// How long ingest may take to answer: longer than it takes to say that it does not know.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Messages without acknowledgement; beyond them the load waits.
const IN_FLIGHT: usize = 500;
/// The most events of one message.
const MESSAGE_EVENTS: usize = 100;
/// One message of so many is a bad one.
const BAD_ONE_IN: u32 = 100;
/// Those who post, one event at a time, and how long each waits in between.
const POSTERS: u64 = 4;
const POST_PAUSE: Duration = Duration::from_millis(20);
/// Customers at the beginning; later more.
const CUSTOMERS: usize = 200;

/// Load that runs until it is stopped.
pub struct Load {
    ledger: Arc<Ledger>,
    publisher: async_nats::Client,
    stop: CancellationToken,
    running: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins, with so many events a second.
    ///
    /// # Errors
    /// Where NATS does not answer.
    pub async fn start(fleet: &Fleet, seed: u64, rate: u32) -> anyhow::Result<Self> {
        let publisher = fleet.nats_client().await?;
        let context = ContextBuilder::new().timeout(ACK_LIMIT).max_ack_inflight(2 * IN_FLIGHT).build(publisher.clone());
        let (ledger, stop) = (Arc::<Ledger>::default(), CancellationToken::new());
        let random = |n: u64| StdRng::seed_from_u64(seed.wrapping_add(n));
        let publishing = Publisher { context, ledger: Arc::clone(&ledger), stop: stop.clone(), rate };
        let mut running = vec![tokio::spawn(publishing.run(random(1)))];
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        for n in 0..POSTERS {
            let (client, url) = (client.clone(), fleet.ingest_url());
            running.push(tokio::spawn(post(client, url, Arc::clone(&ledger), stop.clone(), random(2 + n))));
        }
        Ok(Self { ledger, publisher, stop, running })
    }

    /// Accepted so far, and of unknown outcome.
    pub fn so_far(&self) -> (usize, usize) {
        self.ledger.so_far()
    }

    /// What is known of every event so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The connection that it publishes by.
    pub fn publisher(&self) -> &async_nats::Client {
        &self.publisher
    }

    /// Stops, and gives what is known of every event.
    pub async fn stop(self) -> Arc<Ledger> {
        self.stop.cancel();
        join_all(self.running).await;
        self.ledger
    }
}

/// New customers come as the load goes on: one for each 5,000 events.
fn any_customer(random: &mut StdRng, sent: usize) -> u32 {
    u32::try_from(random.random_range(0..CUSTOMERS + sent / 5_000)).expect("there are fewer customers")
}

fn line(number: usize) -> String {
    serde_json::to_string(&person(number)).expect("strings are written to memory without fail")
}

struct Publisher {
    context: async_nats::jetstream::Context,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
    rate: u32,
}

impl Publisher {
    async fn run(self, mut random: StdRng) {
        let (acknowledged, in_flight) = (TaskTracker::new(), Arc::new(Semaphore::new(IN_FLIGHT)));
        let mut ticks = tokio::time::interval(TICK);
        // What could not be published while NATS was away is made up for.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let (mut due, mut sent) = (0.0, 0);
        while self.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            due += f64::from(self.rate) * TICK.as_secs_f64();
            while due >= 1.0 {
                let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await else { return };
                let good = random.random_range(0..BAD_ONE_IN) > 0;
                let count = if good { random.random_range(1..=MESSAGE_EVENTS) } else { 1 };
                let of = any_customer(&mut random, sent);
                let first = self.ledger.send(good, count, of);
                let payload = match good {
                    true => (first..first + count).map(line).collect::<Vec<_>>().join("\n"),
                    false => format!(r#"{{"name":"bad {first}"}}"#),
                };
                let subject = format!("person.create.{}", customer(of));
                let published = self.context.publish(subject, payload.into()).await;
                let ledger = Arc::clone(&self.ledger);
                acknowledged.spawn(async move {
                    let position = match published {
                        Ok(ack) => ack.await.ok().and_then(|ack| Position::new(ack.sequence)),
                        Err(_) => None,
                    };
                    ledger.note(good, first, count, position.map_or(Fate::Unknown, Fate::Accepted));
                    drop(permit);
                });
                sent += count;
                #[allow(clippy::cast_precision_loss, reason = "at most 100")]
                let published = count as f64;
                due -= published;
            }
        }
        acknowledged.close();
        acknowledged.wait().await;
    }
}

/// What ingest answers once an event is stored.
#[derive(Deserialize)]
struct Stored {
    id: EventId,
}

async fn post(client: reqwest::Client, url: String, ledger: Arc<Ledger>, stop: CancellationToken, mut random: StdRng) {
    let mut number = 0;
    while stop.run_until_cancelled(tokio::time::sleep(POST_PAUSE)).await.is_some() {
        let of = any_customer(&mut random, number);
        number = ledger.send(true, 1, of);
        let url = format!("{url}/person/{}", customer(of));
        let fate = match client.post(url).body(line(number)).send().await {
            Ok(answer) if answer.status() == 202 => {
                answer.json().await.map_or(Fate::Unknown, |stored: Stored| Fate::Accepted(stored.id.position()))
            }
            // 503 says "not published", and 4xx does: the account holds ingest to that.
            Ok(answer) if answer.status() == 503 || answer.status().is_client_error() => Fate::Refused,
            Err(error) if error.is_connect() => Fate::Refused,
            _ => Fate::Unknown,
        };
        ledger.note(true, number, 1, fate);
    }
}
