//! NATS hangs, is away, or is full: what whoever posts is told, and that what was accepted is there.

use std::time::Duration;

use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, rows, wait};

use crate::{
    LIMIT,
    posts::{Posts, accepted_are_there},
    under_load::three_shards,
};

/// Posts so many of one customer at once.
const PEOPLE: usize = 4;

#[tokio::test]
async fn posts_get_504_while_nats_hangs_and_503_while_it_is_away_and_what_was_accepted_is_there() {
    const ACK_MS: u64 = 1_000;
    let ingest_args = ["--ack-timeout-ms", &ACK_MS.to_string()].map(str::to_owned).to_vec();
    let options = FleetOptions { ingest_args, ..FleetOptions::default() };
    let mut fleet = three_shards(Flavor::Sqlite, options).await;
    let posts = Posts::start(&fleet, &["1", "2", "3"], PEOPLE);
    let some = async |status: u16| {
        let before = posts.count(status);
        wait::until(&format!("answers {status}"), LIMIT, || std::future::ready(posts.more(status, before)))
            .await
            .unwrap();
    };
    some(202).await;
    fleet.nats().freeze();
    some(504).await;
    fleet.nats().thaw();
    some(202).await;
    fleet.nats().freeze();
    some(504).await;
    fleet.nats().kill();
    some(503).await;
    fleet.nats().restart().await.unwrap();
    some(202).await;

    let answers = posts.stop().await;
    for answer in &answers {
        match answer.status {
            202 => {}
            // Each waits for its own round, and for the one before it.
            504 => {
                assert_eq!(answer.code.as_deref(), Some("outcome_unknown"), "{answer:?}");
                assert!(answer.took < 2 * Duration::from_millis(ACK_MS) + Duration::from_secs(2), "{answer:?}");
            }
            503 => {
                assert_eq!(answer.code.as_deref(), Some("journal_unreachable"), "{answer:?}");
                assert_eq!(answer.retry_after, Some(1), "{answer:?}");
            }
            _ => panic!("{answer:?}"),
        }
    }
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    accepted_are_there(&fleet, &answers).await;
}

#[tokio::test]
async fn a_journal_that_a_dead_shard_keeps_full_refuses_posts_and_takes_them_again_once_the_shard_is_back() {
    let options = FleetOptions {
        partitions: 1.try_into().unwrap(),
        journal_max_bytes: 200_000,
        writer_args: ["--retain-s", "0", "--trim-interval-ms", "100"].map(str::to_owned).to_vec(),
        ..FleetOptions::default()
    };
    let mut fleet = three_shards(Flavor::Postgres, options).await;
    let posts = Posts::start(&fleet, &["1", "2", "3"], PEOPLE);
    let third = fleet.shards()[2].address.clone();
    let written = async || rows::count(&third).await.is_ok_and(|shard| shard.rows > 0);
    wait::until("rows on the third shard", LIMIT, written).await.unwrap();
    fleet.servers()[2].stop();
    // At first a smaller message may still find room where a larger one did not.
    wait::until("a full journal", LIMIT, || std::future::ready(posts.only(503, 100))).await.unwrap();
    // What was accepted of the others' is written all the same; what is held is the third's.
    let others = async || {
        for (shard, customer) in [(0, "1"), (1, "2")] {
            let rows = rows::count(&fleet.shards()[shard].address).await.map_or(0, |shard| shard.rows);
            if rows < i64::try_from(posts.accepted(customer)).unwrap() {
                return false;
            }
        }
        true
    };
    wait::until("the others' rows", LIMIT, others).await.unwrap();
    assert!(posts.only(503, 100), "a journal that is full takes nothing");
    let accepted = posts.count(202);

    fleet.servers()[2].restart().await.unwrap();
    let taken = || std::future::ready(posts.count(202) > accepted + 1_000);
    wait::until("posts taken again", LIMIT, taken).await.unwrap();
    let answers = posts.stop().await;
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        let told = (answer.status, answer.code.as_deref(), answer.retry_after);
        assert_eq!(told, (503, Some("journal_full"), Some(10)), "{answer:?}");
    }
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    accepted_are_there(&fleet, &answers).await;
}
