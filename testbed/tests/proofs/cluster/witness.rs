//! Whoever sends events and remembers what was said to each of them, to hold the journal to it afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::{self, context::PublishErrorKind};
use sluice_journal::{Journal, Settings, subject};
use sluice_model::{CustomerId, EventId, Partition, PartitionCount, Position, message::decode};
use sluice_testbed::{Fleet, NatsUser, wait};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long ingest may take. Longer than its own limits, so that it says what it knows.
const ANSWER: Duration = Duration::from_secs(8);
/// How long JetStream may take to acknowledge. What was sent to a leader that died is never acknowledged.
const ACK: Duration = Duration::from_secs(2);
/// Between two events of one sender. Refusals come at once, and this machine has other things to do.
const PAUSE: Duration = Duration::from_millis(10);

/// What was said to one event.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// It is stored, under this id.
    Accepted(EventId),
    /// It is not stored.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// One sender's way in.
#[derive(Clone)]
enum Way {
    Http(reqwest::Client, String),
    Nats(jetstream::Context),
}

/// Senders at work: for each partition one over HTTP, and one that publishes to NATS as anybody may.
pub(crate) struct Witness {
    senders: JoinSet<()>,
    stop: CancellationToken,
    heard: Arc<Mutex<BTreeMap<String, Answer>>>,
    accepted: Arc<[AtomicU64]>,
}

/// What was said in all.
pub(crate) struct Heard(BTreeMap<String, Answer>);

impl Witness {
    /// Begins to send.
    pub(crate) async fn begin(fleet: &Fleet) -> Self {
        let partitions = fleet.partitions();
        let options = async_nats::ConnectOptions::new().ping_interval(Duration::from_secs(3));
        let nats = fleet.login(NatsUser::Publisher).connect(options).await.unwrap();
        let context = jetstream::ContextBuilder::new().timeout(ACK).build(nats);
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().unwrap();
        let ways = [Way::Http(http, fleet.ingest_url()), Way::Nats(context)];
        let (stop, heard) = (CancellationToken::new(), Arc::default());
        let accepted: Arc<[AtomicU64]> = (0..ways.len() * usize::from(partitions.get())).map(|_| 0.into()).collect();
        let mut senders = JoinSet::new();
        let all = ways.iter().flat_map(|way| partitions.all().map(move |partition| (way.clone(), partition)));
        for (number, (way, partition)) in all.enumerate() {
            let customer = customer_of(partition, partitions);
            let (stop, heard, accepted) = (stop.clone(), Arc::clone(&heard), Arc::clone(&accepted));
            senders.spawn(send(number, way, customer, stop, heard, accepted));
        }
        Self { senders, stop, heard, accepted }
    }

    /// Waits until each sender has had an event accepted that it sent from now on, or a moment ago.
    pub(crate) async fn goes_on(&self, limit: Duration) {
        let now = || self.accepted.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
        // One may have been under way already.
        let before: Vec<_> = now().iter().map(|count| count + 1).collect();
        let all = async || now().iter().zip(&before).all(|(now, before)| now > before);
        let what = "events are accepted again for every partition, over HTTP and over NATS";
        wait::until(what, limit, all).await.unwrap_or_else(|error| panic!("{error}: {before:?}, {:?}", now()));
    }

    /// Ends sending, and waits for the last answers.
    pub(crate) async fn end(mut self) -> Heard {
        self.stop.cancel();
        while let Some(sender) = self.senders.join_next().await {
            sender.unwrap();
        }
        Heard(std::mem::take(&mut *self.heard.lock().unwrap()))
    }
}

async fn send(
    number: usize,
    way: Way,
    customer: CustomerId,
    stop: CancellationToken,
    heard: Arc<Mutex<BTreeMap<String, Answer>>>,
    accepted: Arc<[AtomicU64]>,
) {
    for event in 0.. {
        let name = format!("{number}-{event}");
        let answer = way.send(&customer, &name).await;
        if matches!(answer, Answer::Accepted(_)) {
            accepted[number].fetch_add(1, Ordering::Relaxed);
        }
        heard.lock().unwrap().insert(name, answer);
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            break;
        }
    }
}

impl Way {
    async fn send(&self, customer: &CustomerId, name: &str) -> Answer {
        let person = format!(r#"{{"name":"{name}","address":"somewhere"}}"#);
        match self {
            Self::Http(client, url) => {
                let answer = client.post(format!("{url}/person/{customer}")).body(person).send().await;
                let Ok(answer) = answer else { return Answer::Unknown };
                let (status, body) = (answer.status(), answer.json::<serde_json::Value>().await.unwrap_or_default());
                match status.as_u16() {
                    202 => Answer::Accepted(body["id"].as_str().unwrap().parse().unwrap()),
                    503 => Answer::Refused,
                    504 => Answer::Unknown,
                    _ => panic!("{status}: {body}"),
                }
            }
            Self::Nats(context) => {
                let stored = async {
                    let sent = context.publish(subject::public_create(customer), person.into()).await?;
                    sent.await
                };
                match stored.await {
                    Ok(ack) => Answer::Accepted(Position::new(ack.sequence).unwrap().event(0)),
                    Err(error) if error.kind() == PublishErrorKind::StreamNotFound => Answer::Refused,
                    Err(_) => Answer::Unknown,
                }
            }
        }
    }
}

impl Heard {
    /// Every event that was accepted stands in the journal under the id that was told, none that was refused does, and no event
    /// stands there twice. Gives how many were accepted, refused and unknown.
    pub(crate) async fn is_what_the_journal_says(&self, fleet: &Fleet) -> [usize; 3] {
        let found = in_journal(fleet).await;
        let mut counts = [0; 3];
        let mut wrong = BTreeSet::new();
        for (name, answer) in &self.0 {
            let ids = found.get(name).map_or(&[][..], Vec::as_slice);
            let (kind, right) = match answer {
                Answer::Accepted(id) => (0, ids == [*id]),
                Answer::Refused => (1, ids.is_empty()),
                Answer::Unknown => (2, ids.len() <= 1),
            };
            counts[kind] += 1;
            if !right {
                wrong.insert(format!("{name}: {answer:?}, found {ids:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {} are wrong: {wrong:?}", wrong.len(), self.0.len());
        counts
    }
}

/// Every event of the journal by its person's name.
async fn in_journal(fleet: &Fleet) -> BTreeMap<String, Vec<EventId>> {
    let client = fleet.nats_client().await.unwrap();
    let journal = Journal::open(client, &Settings::default()).await.unwrap();
    let mut found: BTreeMap<String, Vec<EventId>> = BTreeMap::new();
    for partition in journal.partitions().all() {
        let bounds = journal.bounds(partition).await.unwrap();
        let mut reader = journal.read(bounds.before()).await.unwrap();
        while reader.next_position() <= bounds.last {
            for message in reader.next_chunk(1_000).await.unwrap() {
                let customer = message.event_of(journal.partitions()).unwrap();
                for (index, person) in decode(&message.payload, &customer).enumerate() {
                    found.entry(person.unwrap().name.into_owned()).or_default().push(message.position.event(index));
                }
            }
        }
    }
    found
}

/// Some customer of that partition.
fn customer_of(partition: Partition, partitions: PartitionCount) -> CustomerId {
    let names = (0..).map(|n| format!("witness-{n}").parse::<CustomerId>().unwrap());
    names.into_iter().find(|customer| partitions.of(customer) == partition).unwrap()
}
