//! A journal that lost its end, was made anew, or lacks messages, and `writer journal repair`, as
//! an administrator does it.

mod anew;
mod copies;
mod lost_end;
mod lost_for_good;
mod lost_unnoticed;
mod nobodys;
mod restored;
mod steps;
mod trouble;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Stdio,
};

use serde_json::Value;
use sluice_journal::{Bounds, Journal, Settings, subject};
use sluice_model::{CustomerId, Partition, Position};
use sluice_shard::{Flavor, Shard, journal_of};
use sluice_testbed::{Fleet, FleetOptions, NatsUser, set_back::copy_folder, tool, wait};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use tokio::process::{Child, Command};

use crate::{LIMIT, all_rows};

/// `writer journal ..`, not started yet.
fn command(fleet: &Fleet, line: &str) -> Command {
    let mut command = Command::new(fleet.program("writer"));
    command.arg("journal").args(line.split_whitespace()).args(["-o", "json"]);
    fleet.login(NatsUser::Operator).give_to(&mut command);
    command
}

/// Its exit status, and its report.
async fn journal(fleet: &Fleet, line: &str) -> (i32, Value) {
    let done = tool::output(&mut command(fleet, line)).await.unwrap();
    (done.status.code().unwrap(), serde_json::from_str(&done.stdout).unwrap_or_default())
}

/// It under way, to be killed.
fn started(fleet: &Fleet, line: &str) -> Child {
    let mut command = command(fleet, line);
    command.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

async fn opened(fleet: &Fleet) -> Journal {
    let client = fleet.nats_client().await.unwrap();
    Journal::open(client, &Settings::default()).await.unwrap()
}

async fn bounds(journal: &Journal) -> BTreeMap<Partition, Bounds> {
    let mut all = BTreeMap::new();
    for partition in journal.partitions().all() {
        all.insert(partition, journal.bounds(partition).await.unwrap());
    }
    all
}

/// A customer of each shard in each partition, placed there: `customers[shard][partition]`.
async fn with_customers(fleet: &Fleet) -> Vec<Vec<CustomerId>> {
    let (admin, partitions) = (fleet.admin().unwrap(), fleet.partitions());
    let mut all = Vec::new();
    for shard in fleet.shards() {
        let of = |partition| {
            let names = (0..).map(|n| format!("{}-{n}", shard.name).parse::<CustomerId>().unwrap());
            names.into_iter().find(|name| partitions.of(name) == partition).unwrap()
        };
        let customers: Vec<_> = partitions.all().map(of).collect();
        for customer in &customers {
            admin.place(customer.as_str(), &shard.name).await.unwrap();
        }
        all.push(customers);
    }
    all
}

/// Publishes plainly; gives the positions that were acknowledged.
pub(crate) async fn publish(fleet: &Fleet, messages: impl IntoIterator<Item = (CustomerId, String)>) -> Vec<Position> {
    let client = fleet.nats_client().await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let mut acks = Vec::new();
    for (customer, payload) in messages {
        acks.push(jetstream.publish(subject::public_create(&customer), payload.into()).await.unwrap());
    }
    let acks = futures::future::try_join_all(acks.into_iter().map(IntoFuture::into_future)).await.unwrap();
    acks.into_iter().map(|ack| Position::new(ack.sequence).unwrap()).collect()
}

/// Publishes people of these names to customers in turn.
pub(crate) async fn people(fleet: &Fleet, customers: &[&CustomerId], name: &str, count: usize) -> Vec<Position> {
    let person = |n: usize| {
        let customer = customers[n % customers.len()].clone();
        (customer, format!(r#"{{"name":"{name} {n}","address":"somewhere"}}"#))
    };
    publish(fleet, (0..count).map(person)).await
}

pub(crate) async fn rows_are(fleet: &Fleet, count: i64) {
    wait::until(&format!("{count} rows"), LIMIT, async || all_rows(fleet).await == count).await.unwrap();
}

/// Every row of every shard: shard, customer, id, name.
async fn every_row(fleet: &Fleet) -> BTreeSet<(String, String, i64, String)> {
    let mut all = BTreeSet::new();
    for shard in fleet.shards() {
        assert_eq!(shard.address.flavor, Flavor::Sqlite);
        let mut connection = SqliteConnectOptions::new().filename(&shard.address.database).connect().await.unwrap();
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT customer_id, id, name FROM person").fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        all.extend(rows.into_iter().map(|(customer, id, name)| (shard.name.clone(), customer, id, name)));
    }
    all
}

/// Each person whose name begins so has exactly one row; gives their number. And no customer has an id twice anywhere.
fn once(rows: &BTreeSet<(String, String, i64, String)>, name: &str) -> usize {
    let mut ids = BTreeSet::new();
    assert!(rows.iter().all(|(_, customer, id, _)| ids.insert((customer, *id))), "an id was given twice");
    let mut names = BTreeSet::new();
    let named = rows.iter().filter(|(_, _, _, of)| of.starts_with(name));
    named.for_each(|(_, _, _, of)| assert!(names.insert(of), "{of} has two rows"));
    names.len()
}

/// What each shard has stored of each partition, whichever journal it belongs to.
async fn stored(fleet: &Fleet) -> BTreeMap<String, BTreeMap<Partition, Position>> {
    let mut all = BTreeMap::new();
    for shard in fleet.shards() {
        let journal_id = journal_of(&shard.address, &shard.name).await.unwrap();
        let identity = sluice_shard::Identity { shard: shard.name.clone(), journal_id };
        let positions = Shard::connect(&shard.address, &identity).await.unwrap().positions().await.unwrap();
        all.insert(shard.name.clone(), positions.into_iter().map(|(p, stored)| (p, stored.position)).collect());
    }
    all
}

/// What each NATS server keeps on its disk.
fn stores(fleet: &mut Fleet) -> Vec<PathBuf> {
    let nodes = fleet.nats_nodes().len();
    let folder = |node: usize| if node == 0 { "nats".to_owned() } else { format!("nats{}", node + 1) };
    (0..nodes).map(|node| fleet.folder().join(folder(node)).join("jetstream")).collect()
}

/// Does something while no NATS server runs.
async fn without_nats(fleet: &mut Fleet, work: impl FnOnce()) {
    fleet.nats_nodes().iter_mut().for_each(|node| _ = node.stop());
    work();
    // None of several is ready before the others are there.
    fleet.nats_nodes().iter_mut().for_each(|node| node.restart_unready().unwrap());
    for node in fleet.nats_nodes() {
        node.wait_ready().await.unwrap();
    }
}

/// Copies of what the servers keep below here, as it is now.
struct Older(Vec<(PathBuf, PathBuf)>);

async fn copy(fleet: &mut Fleet, below: &str) -> Older {
    let folder = fleet.folder().join("older");
    let stores: Vec<_> = stores(fleet).into_iter().map(|store| store.join(below)).collect();
    let copies: Vec<_> =
        stores.into_iter().enumerate().map(|(node, store)| (store, folder.join(node.to_string()))).collect();
    without_nats(fleet, || copies.iter().for_each(|(store, copy)| copy_folder(store, copy).unwrap())).await;
    Older(copies)
}

/// Copies NATS' disks, as they are now.
async fn copy_journal(fleet: &mut Fleet) -> Older {
    copy(fleet, "").await
}

/// Puts the copies back, as somebody restores volumes, and waits until the directory is heard again.
async fn put_back(fleet: &mut Fleet, Older(copies): Older) {
    let swap = || {
        for (store, copy) in &copies {
            std::fs::remove_dir_all(store).unwrap();
            copy_folder(copy, store).unwrap();
        }
    };
    without_nats(fleet, swap).await;
    let answers = async || journal(fleet, "show").await.0 != 2;
    wait::until("the directory answers", LIMIT, answers).await.unwrap();
}

/// Waits until the writer has refused every partition in which shards have stored what the journal lacks.
async fn refused(fleet: &mut Fleet, partitions: usize) {
    let log = fleet.writer().log().to_owned();
    let told = async || {
        let said = std::fs::read_to_string(&log).unwrap();
        said.lines().filter(|line| line.contains("`writer journal repair`")).count() >= partitions
    };
    wait::until("the writer offers the repair", LIMIT, told).await.unwrap();
}

/// The states that `writer journal show` tells of a partition, by shard.
fn states(shown: &Value, partition: Partition) -> BTreeMap<&str, &str> {
    let shards = shown[partition.index()]["shards"].as_array().unwrap();
    shards.iter().map(|shard| (shard["shard"].as_str().unwrap(), shard["state"].as_str().unwrap())).collect()
}

fn one_writer() -> FleetOptions {
    FleetOptions { workers: 1, ..FleetOptions::default() }
}

async fn verified(fleet: &Fleet) -> sluice_testbed::loadgen::Verified {
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    verified
}
