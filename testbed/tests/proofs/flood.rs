//! One publisher sends nothing but events that can never become a row, as fast as they are stored.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{ConnectOptions, jetstream::context::ContextBuilder};
use sluice_model::CustomerId;
use sluice_shard::Flavor;
use sluice_testbed::{
    Fleet, FleetOptions, NatsUser,
    arrivals::{Arrivals, percentile},
    outage::memory_bound,
    traffic::{Load, Receiver, Traffic, now},
    wait,
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{all_rows, fleet};

/// Lines that are sent. `FLOOD_LINES` in the environment says otherwise.
const LINES: u64 = 1_000_000;
/// Lines of each message: all that fit.
const LINES_PER_MESSAGE: usize = 1_024;
/// Messages of the flood that are not acknowledged yet. What is published behind them in their partition waits for them at the server,
/// whatever the writer does.
const IN_FLIGHT: usize = 32;
/// How late the slowest in a hundred rows of the other customers may be. Unoptimised, a writer reads bad events several times as slowly,
/// and the publisher's partition has all of them before it.
const ON_TIME: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 250 });
/// How long the journal may take for the flood, and the writer to be done with it after that.
const LIMIT: Duration = Duration::from_secs(300);
/// How often it is tried: a flood that is felt is felt every time, other work of the machine is not.
const TIMES: usize = 3;

const GOOD: &str = r#"{"name":"Ada","address":"London"}"#;

/// The customers: who floods; who shares partition and shard with it; who shares the shard alone; who shares nothing.
struct Customers {
    flood: String,
    others: Vec<(usize, String)>,
}

impl Customers {
    async fn place(fleet: &Fleet) -> Self {
        let partition = |name: &str| fleet.partitions().of(&name.parse::<CustomerId>().unwrap());
        let flood = "flood".to_owned();
        let named = |start: &str, same: bool| {
            let mut names = (0..).map(|n| format!("{start}{n}"));
            names.find(|name| (partition(name) == partition(&flood)) == same).unwrap()
        };
        let others = vec![(0, named("near", true)), (0, named("beside", false)), (1, named("far", false))];
        let admin = fleet.admin().unwrap();
        admin.place(&flood, &fleet.shards()[0].name).await.unwrap();
        for (shard, customer) in &others {
            admin.place(customer, &fleet.shards()[*shard].name).await.unwrap();
        }
        Self { flood, others }
    }
}

/// Publishes so many messages, and waits until all of them are stored; gives how long that took.
async fn flood(fleet: &Fleet, customer: &str, payload: String, messages: u64) -> Duration {
    let client = fleet.login(NatsUser::Publisher).connect(ConnectOptions::new()).await.unwrap();
    let context = ContextBuilder::new().timeout(LIMIT).build(client);
    let (subject, payload) = (format!("person.create.{customer}"), Arc::<str>::from(payload));
    let (in_flight, mut acks) = (Arc::new(Semaphore::new(IN_FLIGHT)), JoinSet::new());
    let begun = Instant::now();
    for _ in 0..messages {
        let permit = Arc::clone(&in_flight).acquire_owned().await.unwrap();
        let ack = context.publish(subject.clone(), payload.to_string().into()).await.unwrap();
        acks.spawn(async move {
            ack.await.unwrap();
            drop(permit);
        });
        while let Some(done) = acks.try_join_next() {
            done.unwrap();
        }
    }
    acks.join_all().await;
    begun.elapsed()
}

/// The others' rows, as they come.
struct Others(Vec<(String, Arrivals)>);

impl Others {
    async fn follow(fleet: &Fleet, customers: &Customers) -> Self {
        let mut all = Vec::new();
        for (shard, customer) in &customers.others {
            let arrivals = Arrivals::follow(&fleet.shards()[*shard].address, customer).await.unwrap();
            all.push((customer.clone(), arrivals));
        }
        Self(all)
    }

    /// Waits for a row of each that is published from now on: with that of the flood's own partition the writer is done with the flood.
    async fn get_one_more(&self) {
        let from = now();
        let newer = |(_, arrivals): &(String, Arrivals)| arrivals.so_far().iter().any(|row| row.published > from);
        let all = || std::future::ready(self.0.iter().all(newer));
        wait::until("rows of the others", LIMIT, all).await.unwrap();
    }

    /// The slowest in a hundred of all rows that were published in that time, of the customer with the slowest ones.
    #[expect(clippy::print_stdout, reason = "the figures are what a reader of the test wants to see")]
    fn slowest(&self, from: Duration, to: Duration) -> Duration {
        let slow = self.0.iter().map(|(customer, arrivals)| {
            let mut seen = arrivals.so_far();
            seen.retain(|row| (from..to).contains(&row.published));
            let [middle, slow, slowest] = [50.0, 99.0, 100.0].map(|percent| percentile(&seen, percent).unwrap());
            println!("{customer}: {} rows, p50 {middle:?}, p99 {slow:?}, slowest {slowest:?}", seen.len());
            slow
        });
        slow.max().unwrap()
    }
}

/// Sends the flood, of messages with so many good events in the middle of each, and looks at the others meanwhile.
#[expect(clippy::print_stdout, reason = "the figures are what a reader of the test wants to see")]
async fn nobody_feels_a_flood(good: usize) {
    let lines = std::env::var("FLOOD_LINES").map_or(LINES, |lines| lines.parse().unwrap());
    let messages = lines / LINES_PER_MESSAGE as u64;
    let options = FleetOptions { shard_count: 2, ..FleetOptions::default() };
    let mut fleet = fleet(Flavor::Postgres, options.clone()).await;
    let customers = Customers::place(&fleet).await;
    let receivers = customers.others.iter().map(|(_, customer)| Receiver::small(customer)).collect();
    let traffic = Traffic::start(&fleet, Load { receivers, messages_per_s: 300, events_per_message: 1 }).await.unwrap();
    let others = Others::follow(&fleet, &customers).await;
    others.get_one_more().await;
    let bound = fleet.writer().memory().unwrap().resident + memory_bound(&options).unwrap();

    let mut payload = vec!["junk"; LINES_PER_MESSAGE];
    payload[300..300 + good].fill(GOOD);
    let (payload, mut slowest) = (payload.join("\n"), Vec::new());
    while slowest.last().is_none_or(|slow| *slow >= ON_TIME) {
        assert!(slowest.len() < TIMES, "one row in a hundred took {slowest:?}");
        let from = now();
        let stored_in = flood(&fleet, &customers.flood, payload.clone(), messages).await;
        let journal_has_it = now();
        others.get_one_more().await;
        let done_in = now() - journal_has_it;
        slowest.push(others.slowest(from, journal_has_it));
        println!("{messages} messages, {good} good events each: stored in {stored_in:?}, done {done_in:?} later");
    }
    let sent = traffic.stop().await.unwrap();
    let expected = sent.total() + messages * (good * slowest.len()) as u64;
    let all = async || u64::try_from(all_rows(&fleet).await).unwrap() == expected;
    wait::until("every row", LIMIT, all).await.unwrap();

    let peak = fleet.writer().memory().unwrap().peak;
    let log = std::fs::read_to_string(fleet.writer().log()).unwrap();
    let unheard = log.matches("is not heard").count();
    println!("the writer's memory: at most {} MiB of {}; beats unheard: {unheard}", peak >> 20, bound >> 20);
    assert!(peak <= bound, "{peak} bytes of memory, {bound} are its bound");
    assert_eq!(unheard, 0, "beats of the writer that it did not hear itself");
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && sent.unknown == 0, "{verified:?} {sent:?}");
    let bad = messages * ((LINES_PER_MESSAGE - good) * slowest.len()) as u64;
    assert_eq!(verified.dead_letters, bad, "every bad event is accounted for");
}

#[tokio::test]
async fn a_flood_of_messages_of_bad_events_alone_delays_nobody_else_and_takes_no_more_memory() {
    nobody_feels_a_flood(0).await;
}

#[tokio::test]
async fn a_flood_of_bad_events_with_a_good_one_among_them_delays_nobody_else_and_takes_no_more_memory() {
    nobody_feels_a_flood(1).await;
}
