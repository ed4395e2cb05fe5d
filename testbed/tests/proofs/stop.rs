//! A writer is told to stop while a shard is owed rows.

use std::time::{Duration, Instant};

use sluice_journal::{Journal, Settings};
use sluice_model::{Partition, Position};
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, rows, traffic::Sent, wait};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

use crate::{
    LIMIT,
    under_load::{begin, every_row_is_there, load, third_behind_a_proxy, three_shards},
};

/// What the shard that is held up is owed in the end.
const ROWS: u64 = 2_000;

fn one_partition(writer_args: &[&str]) -> FleetOptions {
    FleetOptions {
        partitions: 1.try_into().unwrap(),
        workers: 1,
        writer_args: writer_args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..FleetOptions::default()
    }
}

/// Some load, all of it written, and every lane fed.
async fn warmed_up(fleet: &Fleet, third: &ShardAddress) -> Sent {
    let traffic = load(fleet, 20).await;
    begin(&[third]).await;
    let live = async || fleet.lanes(0).await.is_ok_and(|lanes| lanes.iter().all(|lane| lane.state == "live"));
    wait::until("all lanes live", LIMIT, live).await.unwrap();
    let sent = traffic.stop().await.unwrap();
    every_row_is_there(fleet, third, &sent).await;
    sent
}

/// More load until the third shard, which takes nothing now, is owed that many rows, and all that was published is read: the other
/// two have stored the partition to its end. What was published, with what was before.
async fn owed_to_the_third(fleet: &Fleet, third: &ShardAddress, before: Sent) -> Sent {
    let traffic = load(fleet, 20).await;
    let enough = || std::future::ready(traffic.so_far().accepted.get("3").is_some_and(|sent| *sent > ROWS));
    wait::until("enough events", LIMIT, enough).await.unwrap();
    let mut sent = traffic.stop().await.unwrap();
    let journal = Journal::open(fleet.nats_client().await.unwrap(), &Settings::default()).await;
    let last = journal.unwrap().bounds(Partition::new(0)).await.unwrap().last;
    let read = async || stored(fleet, "shard1").await >= Some(last) && stored(fleet, "shard2").await >= Some(last);
    wait::until("a reader at the journal's end", LIMIT, read).await.unwrap();
    let lane = fleet.lanes(0).await.unwrap().into_iter().find(|lane| lane.shard == "shard3").unwrap();
    assert!(lane.state == "live" && lane.queued_bytes > 0, "{lane:?}");
    let there = u64::try_from(rows::count(third).await.unwrap().rows).unwrap();
    assert_eq!(there, before.accepted["3"], "it is not held up");
    for (customer, events) in before.accepted {
        *sent.accepted.entry(customer).or_default() += events;
    }
    sent
}

async fn stored(fleet: &Fleet, shard: &str) -> Option<Position> {
    let lanes = fleet.lanes(0).await.ok()?;
    lanes.iter().find(|lane| lane.shard == shard)?.stored.get("0").copied()
}

/// Tells the writer to stop; it has heard that, and waits for its shard.
async fn told_to_stop_it_waits(fleet: &mut Fleet) {
    fleet.writer().tell_to_stop();
    let log = fleet.writer().log().to_owned();
    let heard = async || std::fs::read_to_string(&log).unwrap().contains("stopping");
    wait::until("a writer that is stopping", LIMIT, heard).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(fleet.writer().is_running(), "it did not wait for its last batch");
}

/// It ends by itself, well, and every row is there while no writer is.
async fn it_ends_and_all_is_written(fleet: &mut Fleet, third: &ShardAddress, sent: &Sent) {
    wait::until("its end", LIMIT, || std::future::ready(!fleet.writer().is_running())).await.unwrap();
    assert!(fleet.writer().ended().unwrap().success());
    let shards = [fleet.shards()[0].address.clone(), fleet.shards()[1].address.clone(), third.clone()];
    for (customer, shard) in ["1", "2", "3"].iter().zip(shards) {
        let there = u64::try_from(rows::count(&shard).await.unwrap().rows).unwrap();
        assert_eq!(there, sent.accepted[*customer], "customer {customer}");
    }
    assert!(fleet.verify().await.unwrap().ok);
}

async fn commits_what_it_has_read(shards: Flavor) {
    let (mut fleet, third, proxy) = third_behind_a_proxy(shards, one_partition(&[])).await;
    let around = ShardAddress { port: fleet.shards()[1].address.port, ..third.address.clone() };
    let before = warmed_up(&fleet, &around).await;
    proxy.hold();
    let sent = owed_to_the_third(&fleet, &around, before).await;
    told_to_stop_it_waits(&mut fleet).await;
    proxy.release();
    it_ends_and_all_is_written(&mut fleet, &around, &sent).await;
}

#[tokio::test]
async fn told_to_stop_a_writer_commits_all_that_it_has_read_first_on_postgres() {
    commits_what_it_has_read(Flavor::Postgres).await;
}

#[tokio::test]
async fn told_to_stop_a_writer_commits_all_that_it_has_read_first_on_mysql() {
    commits_what_it_has_read(Flavor::Mysql).await;
}

#[tokio::test]
async fn told_to_stop_a_writer_commits_all_that_it_has_read_first_on_sqlite() {
    let mut fleet = three_shards(Flavor::Sqlite, one_partition(&[])).await;
    let third = fleet.shards()[2].address.clone();
    let before = warmed_up(&fleet, &third).await;
    let mut other = SqliteConnectOptions::new().filename(&third.database).connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let sent = owed_to_the_third(&fleet, &third, before).await;
    told_to_stop_it_waits(&mut fleet).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    it_ends_and_all_is_written(&mut fleet, &third, &sent).await;
}

#[tokio::test]
async fn told_to_stop_a_writer_waits_no_longer_than_its_grace_and_the_next_one_writes_the_rest() {
    const GRACE: Duration = Duration::from_millis(1_500);
    let grace = GRACE.as_millis().to_string();
    let (mut fleet, third, proxy) =
        third_behind_a_proxy(Flavor::Postgres, one_partition(&["--grace-ms", &grace])).await;
    let around = ShardAddress { port: fleet.shards()[1].address.port, ..third.address.clone() };
    let before = warmed_up(&fleet, &around).await;
    let written = before.accepted["3"];
    proxy.hold();
    let sent = owed_to_the_third(&fleet, &around, before).await;
    let since = Instant::now();
    told_to_stop_it_waits(&mut fleet).await;
    wait::until("its end", LIMIT, || std::future::ready(!fleet.writer().is_running())).await.unwrap();
    let took = since.elapsed();
    assert!(took >= GRACE && took < GRACE + Duration::from_secs(2), "{took:?}");
    let said = std::fs::read_to_string(fleet.writer().log()).unwrap();
    assert!(said.contains("did not take their last batch in time"), "{said}");
    assert_eq!(rows::count(&around).await.unwrap().rows, i64::try_from(written).unwrap());
    proxy.release();
    fleet.writer().restart().await.unwrap();
    every_row_is_there(&fleet, &around, &sent).await;
}
