//! Events that can never become a row, published among good ones and under load.

use std::{collections::BTreeMap, time::Duration};

use sluice_journal::{Journal, Settings};
use sluice_shard::Flavor;
use sluice_testbed::{
    Fleet, FleetShard, rows,
    traffic::{Load, Receiver, Traffic},
    wait,
};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::{
    LIMIT, run,
    under_load::{go_on, three_full_shards},
};

/// Rounds of all kinds of poison.
const ROUNDS: usize = 100;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(20);
const GOOD: &str = r#"{"name":"Ada","address":"London"}"#;
/// What the fourth shard's database refuses.
const REFUSED: &str = r#"{"name":"Ada","address":"poison"}"#;
const CHECK: &str = "CHECK (address <> 'poison')";

/// A round, for customer 3 and for customer `strict`: subject, payload, good events in it, reason and number of the bad ones.
fn round() -> Vec<(&'static str, String, usize, &'static str, u64)> {
    let mismatch = r#"{"name":"a","address":"b","customer_id":"2"}"#;
    vec![
        ("person.create.3", "nonsense".into(), 0, "malformed_json", 1),
        ("person.create.3", format!("{GOOD}\n{{\"name\":\"a\"}}\n{GOOD}"), 2, "invalid_event", 1),
        ("person.create.3", format!("{GOOD}\n{mismatch}"), 1, "customer_mismatch", 1),
        ("person.create.3", String::new(), 0, "empty_message", 1),
        ("person.create.*", GOOD.into(), 0, "invalid_customer", 1),
        ("person.delete.3", GOOD.into(), 0, "unknown_subject", 1),
        ("person.create.strict", REFUSED.into(), 0, "refused_by_shard", 1),
        ("person.create.strict", format!("{GOOD}\n{REFUSED}\n{REFUSED}\n{GOOD}"), 2, "refused_by_shard", 2),
    ]
}

/// A fourth shard, whose database refuses some values.
async fn strict_shard(fleet: &mut Fleet, shards: Flavor) -> FleetShard {
    let admin = fleet.admin().unwrap();
    let shard = match shards {
        Flavor::Sqlite => {
            let shard = FleetShard::sqlite("strict", fleet.folder());
            let options = SqliteConnectOptions::new().filename(&shard.address.database).create_if_missing(true);
            let table = format!(
                "CREATE TABLE person (customer_id TEXT NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
                    address TEXT NOT NULL {CHECK}, PRIMARY KEY (customer_id, id))"
            );
            let mut connection = options.connect().await.unwrap();
            sqlx::raw_sql(&table).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            admin.register(std::slice::from_ref(&shard)).await.unwrap();
            shard
        }
        Flavor::Postgres | Flavor::Mysql => {
            let server = &fleet.servers()[0];
            server.create_database("strict").await.unwrap();
            let shard = FleetShard { name: "strict".to_owned(), address: server.address("strict") };
            admin.register(std::slice::from_ref(&shard)).await.unwrap();
            let check = format!("ALTER TABLE person ADD {CHECK}");
            run(&shard.address, &check).await;
            shard
        }
    };
    admin.place("strict", "strict").await.unwrap();
    shard
}

async fn poison_among_good_events(shards: Flavor) {
    let mut fleet = three_full_shards(shards).await;
    let strict = strict_shard(&mut fleet, shards).await;
    let lanes = fleet.watch_lanes(0);
    let receivers = ["1", "2", "3", "strict"].map(Receiver::small).to_vec();
    let load = Load { receivers, messages_per_s: 400, events_per_message: 8 };
    let traffic = Traffic::start(&fleet, load).await.unwrap();
    go_on(&[&strict.address]).await;

    let client = fleet.nats_client().await.unwrap();
    let (mut good, mut bad) = (0, BTreeMap::<&str, u64>::new());
    for _ in 0..ROUNDS {
        for (subject, payload, good_ones, reason, bad_ones) in round() {
            client.publish(subject, payload.into()).await.unwrap();
            good += good_ones;
            *bad.entry(reason).or_default() += bad_ones;
        }
        tokio::time::sleep(PAUSE).await;
    }
    client.flush().await.unwrap();
    go_on(&[&fleet.shards()[0].address, &fleet.shards()[1].address, &strict.address]).await;

    let sent = traffic.stop().await.unwrap();
    let expected = i64::try_from(sent.total()).unwrap() + i64::try_from(good).unwrap();
    let all = async || {
        let mut all = rows::count(&strict.address).await.map_or(0, |shard| shard.rows);
        for shard in fleet.shards() {
            all += rows::count(&shard.address).await.map_or(0, |shard| shard.rows);
        }
        all == expected
    };
    wait::until(&format!("{expected} rows"), LIMIT, all).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && sent.unknown == 0, "{verified:?} {sent:?}");
    assert_eq!(verified.dead_letters, bad.values().sum::<u64>());
    assert_eq!(reasons(client).await, bad.into_iter().map(|(reason, n)| (reason.to_owned(), n)).collect());
    // No lane lost as much as its connection by it.
    for shard in ["shard1", "shard2", "shard3", "strict"] {
        let seen = lanes.seen(shard);
        assert!(seen.states.iter().all(|(state, detail)| state != "stopped" && detail.is_none()), "{shard}: {seen:?}");
    }
}

/// How many dead letters of each reason there are.
async fn reasons(client: async_nats::Client) -> BTreeMap<String, u64> {
    let journal = Journal::open(client, &Settings::default()).await.unwrap();
    let mut reasons = BTreeMap::new();
    for letter in journal.dead_letters().list().await.unwrap() {
        *reasons.entry(letter.reason).or_default() += 1;
    }
    reasons
}

#[tokio::test]
async fn under_load_each_poisoned_event_becomes_a_dead_letter_and_all_its_batch_mates_rows_on_sqlite() {
    poison_among_good_events(Flavor::Sqlite).await;
}

#[tokio::test]
async fn under_load_each_poisoned_event_becomes_a_dead_letter_and_all_its_batch_mates_rows_on_postgres() {
    poison_among_good_events(Flavor::Postgres).await;
}

#[tokio::test]
async fn under_load_each_poisoned_event_becomes_a_dead_letter_and_all_its_batch_mates_rows_on_mysql() {
    poison_among_good_events(Flavor::Mysql).await;
}
