//! A journal on three NATS servers whose disks were all set back.

use super::*;
use crate::fleet;

#[tokio::test]
async fn a_journal_on_three_servers_that_lost_its_end_is_repaired_as_one_on_one_server() {
    let options = FleetOptions { nats_nodes: 3, partitions: 1.try_into().unwrap(), shard_count: 2, ..one_writer() };
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let customers = with_customers(&fleet).await;
    let everybody: Vec<_> = customers.iter().flatten().collect();
    people(&fleet, &everybody, "early", 20).await;
    rows_are(&fleet, 20).await;
    fleet.wait_until_copies_are_current(LIMIT).await.unwrap();
    let older = copy_journal(&mut fleet).await;
    fleet.wait_until_copies_are_current(LIMIT).await.unwrap();
    people(&fleet, &everybody, "late", 150).await;
    rows_are(&fleet, 170).await;
    fleet.writer().kill();
    put_back(&mut fleet, older).await;
    fleet.wait_until_copies_are_current(LIMIT).await.unwrap();
    people(&fleet, &everybody, "again", 90).await;

    let (code, done) = journal(&fleet, "repair --yes").await;
    assert_eq!((code, done["partitions"][0]["copied"].as_array().unwrap().len()), (0, 90), "{done}");
    fleet.writer().restart().await.unwrap();
    rows_are(&fleet, 260).await;
    let rows = every_row(&fleet).await;
    assert_eq!((once(&rows, "again"), once(&rows, "late ")), (90, 150));
    verified(&fleet).await;
    let streams = fleet.streams().await.unwrap();
    let record = streams.iter().find(|stream| stream.stream == "KV_sluice_repair").unwrap();
    assert_eq!(record.replicas, 3, "whatever is accepted outlives a server as the journal does");
}
