//! What the proofs have in common that break one of three shards under load: the load goes on all the time, the other two
//! shards' rows keep coming meanwhile, and in the end every row is there, once.

use std::time::Duration;

use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{
    Fleet, FleetOptions, FleetShard,
    lanes::LaneWatch,
    proxy::Proxy,
    rows,
    traffic::{Load, Receiver, Sent, Traffic},
    wait,
};

use crate::{LIMIT, fleet, one_full_partition};

/// Rows that have to come into a shard before it counts as going on.
const SOME_ROWS: i64 = 500;
/// How long they may take: far longer than they do, and far shorter than any limit that a stuck reader would run into.
const SOON: Duration = Duration::from_secs(15);

/// Three shards with a customer each: `1`, `2`, `3` on `shard1`, `shard2`, `shard3`, all of one partition, whose reader any of
/// the shards can hold up.
pub(crate) async fn three_shards(shards: Flavor, options: FleetOptions) -> Fleet {
    let fleet = fleet(shards, FleetOptions { shard_count: 3, ..options }).await;
    let admin = fleet.admin().unwrap();
    for (customer, shard) in ["1", "2", "3"].iter().zip(fleet.shards()) {
        admin.place(customer, &shard.name).await.unwrap();
    }
    fleet
}

/// The same on two servers, where `shard3` is reached through a proxy.
pub(crate) async fn third_behind_a_proxy(shards: Flavor, options: FleetOptions) -> (Fleet, FleetShard, Proxy) {
    let fleet = fleet(shards, FleetOptions { shard_count: 2, ..options }).await;
    let (fleet, shard, proxy) = behind_a_proxy(fleet, 1, "shard3").await;
    let admin = fleet.admin().unwrap();
    for (customer, shard) in ["1", "2", "3"].iter().zip(["shard1", "shard2", "shard3"]) {
        admin.place(customer, shard).await.unwrap();
    }
    (fleet, shard, proxy)
}

/// Registers a further shard on one of the fleet's servers, which is reached through a proxy.
pub(crate) async fn behind_a_proxy(mut fleet: Fleet, server: usize, name: &str) -> (Fleet, FleetShard, Proxy) {
    let server = &fleet.servers()[server];
    server.create_database(name).await.unwrap();
    let proxy = Proxy::before(server.port()).await.unwrap();
    let shard =
        FleetShard { name: name.to_owned(), address: ShardAddress { port: proxy.port(), ..server.address(name) } };
    fleet.admin().unwrap().register(std::slice::from_ref(&shard)).await.unwrap();
    (fleet, shard, proxy)
}

/// 2,400 events a second for the three customers; those of customer 3 with addresses of so many bytes.
pub(crate) async fn load(fleet: &Fleet, address_bytes: usize) -> Traffic {
    let receivers =
        vec![Receiver::small("1"), Receiver::small("2"), Receiver { customer: "3".to_owned(), address_bytes }];
    let load = Load { receivers, messages_per_s: 300, events_per_message: 8 };
    Traffic::start(fleet, load).await.unwrap()
}

/// Each of these shards gets rows, now.
pub(crate) async fn go_on(shards: &[&ShardAddress]) {
    more_rows(shards, SOON).await;
}

/// Each of these shards gets its first rows: writers have to agree on who has what before, which on a busy machine takes a while.
pub(crate) async fn begin(shards: &[&ShardAddress]) {
    more_rows(shards, LIMIT).await;
}

async fn more_rows(shards: &[&ShardAddress], limit: Duration) {
    for shard in shards {
        let before = rows::count(shard).await.unwrap().rows;
        let more = async || rows::count(shard).await.is_ok_and(|now| now.rows >= before + SOME_ROWS);
        wait::until(&format!("more rows on {shard}"), limit, more).await.unwrap();
    }
}

/// The lane of `shard3` is seen in trouble of which the detail says `what`.
pub(crate) async fn third_says(lanes: &LaneWatch, what: &str) {
    let told = async || lanes.told("shard3", what);
    let seen = wait::until(&format!("trouble with {what:?}"), LIMIT, told).await;
    assert!(seen.is_ok(), "{seen:?}: {:?}", lanes.seen("shard3"));
}

/// The lane of `shard3` is seen in trouble of which the detail says `what`; shards 1 and 2 get rows meanwhile; and after that
/// the lane of `shard3` is in trouble still.
pub(crate) async fn only_the_third_is_in_trouble(fleet: &Fleet, lanes: &LaneWatch, what: &str) {
    third_says(lanes, what).await;
    go_on(&[&fleet.shards()[0].address, &fleet.shards()[1].address]).await;
    let now = fleet.lanes(0).await.unwrap();
    let third: Vec<_> = now.iter().filter(|lane| lane.shard == "shard3").collect();
    assert!(third.iter().all(|lane| lane.state == "connecting" && lane.detail.is_some()), "{third:?}");
    for other in ["shard1", "shard2"] {
        assert!(lanes.seen(other).states.iter().all(|(_, detail)| detail.is_none()), "{:?}", lanes.seen(other));
    }
}

/// The third shard's lane is fed again. Then the load ends, and every event that was accepted is one row of its shard.
pub(crate) async fn all_is_well_again(fleet: &Fleet, third: &ShardAddress, traffic: Traffic) -> Sent {
    let live = async || {
        fleet.lanes(0).await.is_ok_and(|lanes| lanes.iter().all(|lane| lane.state == "live" && lane.detail.is_none()))
    };
    wait::until("all lanes live", LIMIT, live).await.unwrap();
    go_on(&[third]).await;
    let sent = traffic.stop().await.unwrap();
    every_row_is_there(fleet, third, &sent).await;
    sent
}

/// Every event that was accepted is one row of its shard.
pub(crate) async fn every_row_is_there(fleet: &Fleet, third: &ShardAddress, sent: &Sent) {
    assert_eq!(sent.unknown, 0, "{sent:?}");
    let shards = [&fleet.shards()[0].address, &fleet.shards()[1].address, third];
    for (customer, shard) in ["1", "2", "3"].iter().zip(shards) {
        let accepted = i64::try_from(sent.accepted[*customer]).unwrap();
        let there = async || rows::count(shard).await.is_ok_and(|shard| shard.rows == accepted);
        wait::until(&format!("{accepted} rows of customer {customer}"), LIMIT, there).await.unwrap();
    }
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

/// What most of these proofs break: three shards whose lanes are full after some hundred rows.
pub(crate) async fn three_full_shards(shards: Flavor) -> Fleet {
    three_shards(shards, one_full_partition()).await
}
