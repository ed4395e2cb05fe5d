//! What stands in the way of a repair, and what waits for it.

use std::time::Duration;

use super::*;
use crate::fleet;

/// The journal has lost 60 messages of each partition that all shards have, and given so many again.
async fn lost(options: FleetOptions, again: usize) -> Fleet {
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let customers = with_customers(&fleet).await;
    let everybody: Vec<_> = customers.iter().flatten().collect();
    let partitions = everybody.len() / 3;
    people(&fleet, &everybody, "early", 30 * partitions).await;
    rows_are(&fleet, 30 * partitions as i64).await;
    let older = copy_journal(&mut fleet).await;
    people(&fleet, &everybody, "late", 60 * partitions).await;
    rows_are(&fleet, 90 * partitions as i64).await;
    put_back(&mut fleet, older).await;
    people(&fleet, &everybody, "again", again * partitions).await;
    fleet
}

#[tokio::test]
async fn a_repair_needs_every_shard_and_leave_for_its_fillers_and_else_changes_nothing() {
    let fleet = lost(FleetOptions { partitions: 1.try_into().unwrap(), ..one_writer() }, 15).await;
    let opened = opened(&fleet).await;
    let before = bounds(&opened).await;
    let database = std::path::Path::new(&fleet.shards()[1].address.database);
    let away = database.with_extension("away");
    std::fs::rename(database, &away).unwrap();
    let (code, refused) = journal(&fleet, "repair --yes").await;
    let why = refused["refused"][0].as_str().unwrap();
    assert!(code == 1 && why.contains("shard shard2 cannot be read"), "{refused}");
    assert_eq!(journal(&fleet, "show").await.0, 1);
    std::fs::rename(&away, database).unwrap();
    let (code, refused) = journal(&fleet, "repair --yes --max-fillers 44").await;
    let why = refused["refused"][0].as_str().unwrap();
    assert!(code == 1 && why.contains("--max-fillers 45") && why.contains("0/45 to 0/90"), "{refused}");
    assert_eq!((bounds(&opened).await, opened.repairs(Partition::new(0)).await.unwrap().1), (before, 0));
    assert_eq!(journal(&fleet, "repair --yes --max-fillers 45").await.0, 0);
}

#[tokio::test]
async fn what_was_given_again_is_not_trimmed_before_it_is_repaired() {
    let writer_args = ["--retain-s", "0", "--trim-interval-ms", "100"].map(str::to_owned).to_vec();
    let mut fleet = lost(FleetOptions { writer_args, ..one_writer() }, 80).await;
    refused(&mut fleet, 1).await;
    let opened = opened(&fleet).await;
    let (before, ledger) = (bounds(&opened).await, opened.trim_ledger().await.unwrap());
    let beat = async || ledger.load().await.unwrap().0.beat;
    let begun = beat().await;
    wait::until("the trimmer has come by some times", LIMIT, async || beat().await >= begun + 5).await.unwrap();
    assert_eq!(bounds(&opened).await, before);
    assert_eq!(journal(&fleet, "repair --yes").await.0, 0);
    fleet.writer().restart().await.unwrap();
    let trimmed = async || bounds(&opened).await.iter().all(|(p, now)| now.first > before[p].last);
    wait::until("all is trimmed that every shard has", LIMIT, trimmed).await.unwrap();
    assert_eq!(once(&every_row(&fleet).await, "again"), 320);
    verified(&fleet).await;
}

async fn post(fleet: &Fleet, customer: &CustomerId, name: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    let url = format!("{}/person/{customer}", fleet.ingest_url());
    let body = format!(r#"{{"name":"{name}","address":"there"}}"#);
    let answer = client.post(url).body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn ingest_that_was_told_a_higher_position_takes_nothing_more_until_the_journal_is_repaired() {
    let options = FleetOptions { partitions: 1.try_into().unwrap(), ..one_writer() };
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let customer = with_customers(&fleet).await[0][0].clone();
    for n in 0..5 {
        assert_eq!(post(&fleet, &customer, &format!("early {n}")).await.0, 202);
    }
    rows_are(&fleet, 5).await;
    let older = copy_journal(&mut fleet).await;
    for n in 0..9 {
        let stored = async || post(&fleet, &customer, &format!("late {n}")).await.0 == 202;
        wait::until("ingest has found NATS again", LIMIT, stored).await.unwrap();
    }
    rows_are(&fleet, 14).await;
    put_back(&mut fleet, older).await;
    // One is stored, and by that it is noticed.
    let stored = async || post(&fleet, &customer, "again 0").await.0 == 202;
    wait::until("ingest has found NATS again", LIMIT, stored).await.unwrap();
    let (status, problem) = post(&fleet, &customer, "refused").await;
    assert_eq!((status, &problem["code"], &problem["retry_safe"]), (503, &"journal_went_back".into(), &true.into()));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("0/6 after 0/14") && detail.contains("writer journal repair"), "{detail}");

    assert_eq!(journal(&fleet, "repair --yes").await.0, 0);
    let taken = async || post(&fleet, &customer, "later").await.0 == 202;
    wait::until("ingest goes on", LIMIT, taken).await.unwrap();
    fleet.writer().restart().await.unwrap();
    rows_are(&fleet, 16).await;
    let rows = every_row(&fleet).await;
    assert_eq!((once(&rows, "again"), once(&rows, "later"), once(&rows, "refused")), (1, 1, 0));
    verified(&fleet).await;
}
