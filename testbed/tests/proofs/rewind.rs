//! Something goes back in time: a shard that is restored from an older copy, or the journal itself.

use sluice_shard::Flavor;
use sluice_testbed::{
    Fleet, FleetOptions,
    lock::Lock,
    read_only, rows,
    set_back::{Older, copy_folder},
    wait,
};

use crate::{
    LIMIT, all_rows, fleet,
    repair::{people, rows_are},
};

/// A fleet with customer 1 on shard1 and customer 2 on shard2.
async fn with_two_customers(options: FleetOptions) -> Fleet {
    let fleet = fleet(options.shards, options).await;
    let admin = fleet.admin().unwrap();
    admin.place("1", "shard1").await.unwrap();
    admin.place("2", "shard2").await.unwrap();
    fleet
}

/// 1,000 events of each of the two, all of them stored.
async fn load(fleet: &Fleet, rows_before: i64) {
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "1,2", "--count", "2000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 2_000);
    let stored = async || all_rows(fleet).await == rows_before + 2_000;
    wait::until("all rows", LIMIT, stored).await.unwrap();
}

/// The shard has 2,000 rows again, and every one of them is right.
async fn healed(fleet: &Fleet) {
    let there = async || rows::count(&fleet.shards()[0].address).await.is_ok_and(|shard| shard.rows == 2_000);
    wait::until("the rows since the copy, written again", LIMIT, there).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

#[tokio::test]
async fn an_idle_sqlite_shard_restored_from_an_older_copy_is_filled_again() {
    let fleet = with_two_customers(FleetOptions::default()).await;
    load(&fleet, 0).await;
    let address = &fleet.shards()[0].address;
    let older = Older::copy(address).await.unwrap();
    load(&fleet, 2_000).await;
    older.put_back().await.unwrap();
    assert_eq!(rows::count(address).await.unwrap().rows, 1_000);
    healed(&fleet).await;
}

#[tokio::test]
async fn a_sqlite_shard_restored_while_its_writer_is_down_is_filled_again() {
    let mut fleet = with_two_customers(FleetOptions::default()).await;
    load(&fleet, 0).await;
    let older = Older::copy(&fleet.shards()[0].address).await.unwrap();
    load(&fleet, 2_000).await;
    fleet.writer().kill();
    older.put_back().await.unwrap();
    fleet.writer().restart().await.unwrap();
    healed(&fleet).await;
}

/// A server's shard brought back to the state it had when `journal_position` was copied: what a restored backup or a
/// lagging replica shows, at once and under the lane's open connection.
async fn goes_back_under_load(shards: Flavor) {
    let fleet = with_two_customers(FleetOptions { shards: shards.into(), ..FleetOptions::default() }).await;
    load(&fleet, 0).await;
    let older = Older::copy(&fleet.shards()[0].address).await.unwrap();
    load(&fleet, 2_000).await;
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "2,3", "--count", "4000"];
    let (more, set_back) = tokio::join!(fleet.load(&args), older.put_back());
    set_back.unwrap();
    assert_eq!(more.unwrap().accepted, 4_000);
    let there = async || all_rows(&fleet).await == 8_000;
    wait::until("all rows, those since the copy again", LIMIT, there).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

#[tokio::test]
async fn a_postgres_shard_that_goes_back_under_load_is_filled_again() {
    goes_back_under_load(Flavor::Postgres).await;
}

#[tokio::test]
async fn a_mysql_shard_that_goes_back_under_load_is_filled_again() {
    goes_back_under_load(Flavor::Mysql).await;
}

/// Work that the shard has in part already, as after every start of a reader, waits while the shard takes nothing; meanwhile the shard
/// goes back to before that part.
async fn goes_back_while_work_waits_for_it(shards: Flavor) {
    let writer_args = ["--shard-statement-ms", "1000", "--grace-ms", "500"].map(str::to_owned).to_vec();
    let (partitions, workers) = (1.try_into().unwrap(), 1);
    let options = FleetOptions { partitions, workers, shards: shards.into(), writer_args, ..FleetOptions::default() };
    let mut fleet = with_two_customers(FleetOptions { shard_count: 2, ..options }).await;
    let (customer, [first, second]) = ("1".parse().unwrap(), [0, 1].map(|shard| fleet.shards()[shard].address.clone()));
    people(&fleet, &[&customer], "before the copy", 5).await;
    rows_are(&fleet, 5).await;
    let older = Older::copy(&first).await.unwrap();
    // The second shard stays where it is: the reader will begin there, with what the first shard has already.
    let lock = Lock::take(&second).await.unwrap();
    people(&fleet, &[&customer], "after the copy", 20).await;
    rows_are(&fleet, 25).await;
    fleet.writer().stop();
    let blocked = if shards == Flavor::Sqlite { Some(Lock::take(&first).await.unwrap()) } else { None };
    if blocked.is_none() {
        read_only::set(&first, true).await.unwrap();
    }
    people(&fleet, &[&customer], "waiting", 100).await;
    lock.release().await.unwrap();
    fleet.writer().restart().await.unwrap();
    let log = fleet.writer().log().to_owned();
    let failed = async || std::fs::read_to_string(&log).unwrap().matches("trying the shard again").count() > 1;
    wait::until("commits that fail", LIMIT, failed).await.unwrap();
    older.put_back().await.unwrap();
    match blocked {
        Some(lock) => lock.release().await.unwrap(),
        None => read_only::set(&first, false).await.unwrap(),
    }
    let there = async || rows::count(&first).await.is_ok_and(|shard| shard.rows == 125);
    if wait::until("every row", LIMIT, there).await.is_err() {
        let count = rows::count(&first).await.unwrap().rows;
        panic!("customer 1 has {count} rows of 125 accepted events");
    }
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

#[tokio::test]
async fn a_sqlite_shard_that_goes_back_while_work_waits_for_it_gets_every_row() {
    goes_back_while_work_waits_for_it(Flavor::Sqlite).await;
}

#[tokio::test]
async fn a_postgres_shard_that_goes_back_while_work_waits_for_it_gets_every_row() {
    goes_back_while_work_waits_for_it(Flavor::Postgres).await;
}

#[tokio::test]
async fn a_mysql_shard_that_goes_back_while_work_waits_for_it_gets_every_row() {
    goes_back_while_work_waits_for_it(Flavor::Mysql).await;
}

#[tokio::test]
async fn a_journal_that_lost_its_end_stops_its_partitions_alone_and_no_position_is_taken_for_covered() {
    let writer_args = ["--takeover-ms", "1000"].map(str::to_owned).to_vec();
    let mut fleet = with_two_customers(FleetOptions { writers: 2, writer_args, ..FleetOptions::default() }).await;
    load(&fleet, 0).await;
    fleet.nats().stop();
    let (store, copy) = (fleet.folder().join("nats/jetstream"), fleet.folder().join("older"));
    copy_folder(&store, &copy).unwrap();
    fleet.nats().restart().await.unwrap();
    load(&fleet, 2_000).await;
    fleet.nats().stop();
    std::fs::remove_dir_all(&store).unwrap();
    copy_folder(&copy, &store).unwrap();
    fleet.nats().restart().await.unwrap();
    // The positions beyond the copy's end are given a second time now, to other events.
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "1,2", "--count", "4000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 4_000);
    let logs: Vec<_> = fleet.writers().iter().map(|writer| writer.log().to_owned()).collect();
    let told = async || {
        let said: String = logs.iter().map(|log| std::fs::read_to_string(log).unwrap()).collect();
        said.contains("has stopped") && (said.contains("lost its end") || said.contains("beyond its end"))
    };
    wait::until("a writer says that the journal lost its end", LIMIT, told).await.unwrap();

    // Lanes that take over ask the journal anew, partition by partition: the whole ones go on.
    fleet.writers()[0].kill();
    let lost = ["1", "2"].map(|customer| fleet.partitions().of(&customer.parse().unwrap()));
    let whole = |n: &u32| !lost.contains(&fleet.partitions().of(&n.to_string().parse().unwrap()));
    let customer = (3..).find(whole).unwrap().to_string();
    assert_eq!(fleet.load(&["--customer-list", &customer, "--count", "10"]).await.unwrap().accepted, 10);
    let rows = async || all_rows(&fleet).await == 4_010;
    wait::until("the rows of a partition that is whole", LIMIT, rows).await.unwrap();
    let all_stopped = async || {
        let stopped = stopped(&fleet, 1).await;
        lost.iter().all(|partition| stopped.contains(&partition.to_string()))
    };
    wait::until("both partitions that lost their end stopped", LIMIT, all_stopped).await.unwrap();
    assert_eq!(all_rows(&fleet).await, 4_010, "nothing of the second giving may come into the shards");
}

/// The partitions that a writer has stopped.
async fn stopped(fleet: &Fleet, writer: usize) -> Vec<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}/lanes", fleet.writer_url(writer))).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    answer["stopped"].as_object().unwrap().keys().cloned().collect()
}
