//! A database refuses rows by the ten thousand.

use std::time::{Duration, Instant};

use async_nats::{ConnectOptions, jetstream::context::ContextBuilder};
use sluice_journal::{Journal, Settings};
use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, NatsUser, rows, wait};

use crate::{fleet, run, under_load::behind_a_proxy};

/// Rows that are refused. `REFUSED_ROWS` in the environment says otherwise.
const ROWS: usize = 5_000;
/// Events of each message.
const EVENTS: usize = 100;
/// What each answer of the database takes on its way.
const ROUND_TRIP: Duration = Duration::from_millis(1);
/// How long each of them may take: a few round trips, and a dead letter.
const EACH: Duration = Duration::from_millis(20);
/// How long the journal may take for all of them.
const ACK_LIMIT: Duration = Duration::from_secs(60);
/// The stored position never stands still for so long.
const STEADY: Duration = Duration::from_secs(30);

const GOOD: &str = r#"{"name":"Ada","address":"London"}"#;
const REFUSED: &str = r#"{"name":"Odd","address":"poison"}"#;

/// The stored position of the partition that is furthest, as a message's number.
async fn progress(address: &sluice_shard::ShardAddress, journal_id: &str) -> i64 {
    let identity = sluice_shard::Identity { shard: "far".to_owned(), journal_id: journal_id.to_owned() };
    let mut shard = sluice_shard::Shard::connect(address, &identity).await.unwrap();
    let stored = shard.positions().await.unwrap();
    shard.close().await;
    stored.values().map(|stored| i64::try_from(stored.position.get() & ((1 << 44) - 1)).unwrap()).max().unwrap()
}

#[expect(clippy::print_stdout, reason = "the figures are what a reader of the test wants to see")]
async fn many_refused_rows_over_a_slow_line(shards: Flavor) {
    let fleet = fleet(shards, FleetOptions { shard_count: 1, ..FleetOptions::default() }).await;
    let (mut fleet, far, proxy) = behind_a_proxy(fleet, 0, "far").await;
    run(&far.address, "ALTER TABLE person ADD CHECK (address <> 'poison')").await;
    fleet.admin().unwrap().place("far", "far").await.unwrap();
    let journal = Journal::open(fleet.nats_client().await.unwrap(), &Settings::default()).await.unwrap();
    proxy.delay(ROUND_TRIP);
    // They wait in the journal, and come all at once.
    fleet.writer().stop();
    let client = fleet.login(NatsUser::Publisher).connect(ConnectOptions::new()).await.unwrap();
    let context = ContextBuilder::new().timeout(ACK_LIMIT).build(client);
    let rows: usize = std::env::var("REFUSED_ROWS").map_or(ROWS, |rows| rows.parse().unwrap());
    let payload = vec![REFUSED; EVENTS].join("\n");
    let mut acks = Vec::new();
    for _ in 0..rows / EVENTS {
        acks.push(context.publish("person.create.far", payload.clone().into()).await.unwrap());
    }
    acks.push(context.publish("person.create.far", GOOD.into()).await.unwrap());
    for ack in acks {
        ack.await.unwrap();
    }
    fleet.writer().restart().await.unwrap();

    let begun = Instant::now();
    let (mut steps, mut still, mut reached) = (0, Instant::now(), progress(&far.address, journal.id()).await);
    let mut longest = Duration::ZERO;
    while rows::count(&far.address).await.unwrap().rows == 0 {
        let now = progress(&far.address, journal.id()).await;
        if now > reached {
            (steps, longest, reached, still) = (steps + 1, longest.max(still.elapsed()), now, Instant::now());
        }
        assert!(still.elapsed() < STEADY, "the position stands still at {reached} after {:?}", begun.elapsed());
        assert!(
            begun.elapsed() < EACH * u32::try_from(rows).unwrap(),
            "it has come to {reached} in {:?}",
            begun.elapsed()
        );
        tokio::time::sleep(wait::INTERVAL).await;
    }
    let refused = rows / EVENTS * EVENTS;
    println!("{refused} refused rows in {:?}; {steps} steps were seen, the longest {longest:?}", begun.elapsed());
    let letters = journal.dead_letters().list().await.unwrap();
    assert_eq!(letters.iter().filter(|letter| letter.reason == "refused_by_shard").count(), refused);
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

#[tokio::test]
async fn rows_that_are_refused_by_the_ten_thousand_over_a_slow_line_all_become_dead_letters_on_postgres() {
    many_refused_rows_over_a_slow_line(Flavor::Postgres).await;
}

#[tokio::test]
async fn rows_that_are_refused_by_the_ten_thousand_over_a_slow_line_all_become_dead_letters_on_mysql() {
    many_refused_rows_over_a_slow_line(Flavor::Mysql).await;
}
