//! `Prefer: wait=N`.

use std::time::{Duration, Instant};

use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, Placement, rows, wait};

use super::{ADA, door, header, post, told};
use crate::{LIMIT, fleet, run};

#[tokio::test]
async fn whoever_waits_gets_201_once_the_row_is_on_its_shard() {
    let fleet = door(&[]).await;
    for n in 1..=50 {
        let answer = post(&fleet, "1").header("prefer", "wait=20").body(ADA).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "preference-applied")), (201, Some("wait=20")));
        let id: i64 = answer.json::<serde_json::Value>().await.unwrap()["id"].as_str().unwrap().parse().unwrap();
        let there = rows::ids(&fleet.shards()[0].address).await.unwrap();
        assert!(there.contains(&id), "post {n} was answered before its row was there");
    }
}

#[tokio::test]
async fn while_its_shard_is_away_a_waiting_post_gets_202_and_the_row_comes_later() {
    let mut fleet = fleet(Flavor::Postgres, FleetOptions { shard_count: 1, ..FleetOptions::default() }).await;
    assert_eq!(told(post(&fleet, "1").header("prefer", "wait=20").body(ADA)).await.0, 201);
    fleet.servers()[0].stop();
    let begun = Instant::now();
    let answer = post(&fleet, "1").header("prefer", "wait=2").body(ADA).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "preference-applied")), (202, None));
    assert!((2..10).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    // Somebody waits while it comes back.
    let waiting = tokio::spawn(told(post(&fleet, "1").header("prefer", "wait=60").body(ADA)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    fleet.servers()[0].restart().await.unwrap();
    assert_eq!(waiting.await.unwrap().0, 201);
    assert_eq!(rows::count(&fleet.shards()[0].address).await.unwrap().rows, 3);
}

#[tokio::test]
async fn whoever_waits_hears_that_an_event_became_a_dead_letter_and_why() {
    let options = FleetOptions { shard_count: 1, placement: Placement::Strict, ..FleetOptions::default() };
    let fleet = fleet(Flavor::Postgres, options).await;
    let (status, problem) = told(post(&fleet, "stranger").header("prefer", "wait=30").body(ADA)).await;
    assert_eq!((status, &problem["code"]), (422, &"unknown_customer".into()), "{problem}");
    // One that the shard's database refuses, in a message with one that it takes.
    let shard = fleet.shards()[0].clone();
    fleet.admin().unwrap().place("1", &shard.name).await.unwrap();
    run(&shard.address, "ALTER TABLE person ADD CONSTRAINT odd CHECK (name <> 'Odd')").await;
    let odd = tokio::spawn(told(post(&fleet, "1").header("prefer", "wait=30").body(r#"{"name":"Odd","address":"b"}"#)));
    let even = told(post(&fleet, "1").header("prefer", "wait=30").body(ADA)).await;
    let (status, problem) = odd.await.unwrap();
    assert_eq!((even.0, status, &problem["code"]), (201, 422, &"refused_by_shard".into()), "{problem}");
    let one = async || rows::count(&shard.address).await.is_ok_and(|found| found.rows == 1);
    wait::until("the row", LIMIT, one).await.unwrap();
}

#[tokio::test]
async fn whoever_waits_when_ingest_is_told_to_stop_gets_202_at_once() {
    let mut fleet = door(&[]).await;
    fleet.writer().stop();
    let waiting = tokio::spawn(told(post(&fleet, "1").header("prefer", "wait=50").body(ADA)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    fleet.ingest().tell_to_stop();
    assert_eq!(waiting.await.unwrap().0, 202);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
