//! A fleet of two SQLite shards, read to the end.

use std::path::{Path, PathBuf};

use sluice_directory::{Pool, ShardEntry, ShardState};
use sluice_model::{CustomerId, Partition, Person, Place, Position, Rows};
use sluice_shard::{Advance, Appended, Batch, Flavor, Identity, Shard, ShardAddress, register};

use super::{claims::Claims, fleet::Fleet, ledger_tests::partitions, survey::Selection};
use crate::{
    account::{Account, Claim},
    verify::ledger::Ledger,
};

const JOURNAL: &str = "j1";

fn entry(folder: &Path, name: &str) -> ShardEntry {
    let address = ShardAddress {
        flavor: Flavor::Sqlite,
        host: String::new(),
        port: 0,
        user: String::new(),
        password: String::new().into(),
        database: folder.join(name).display().to_string(),
        customer_column: sluice_shard::CustomerColumn::default(),
    };
    ShardEntry { name: name.to_owned(), address, pool: Pool::Shared, state: ShardState::Open, version: 1 }
}

/// Stores rows of these names, one message each.
async fn store(entry: &ShardEntry, customer: &CustomerId, names: impl Iterator<Item = String>) {
    let identity = Identity { shard: entry.name.clone(), journal_id: JOURNAL.to_owned() };
    let from = Position::before_first(Partition::new(0));
    register(&entry.address, &identity, &[from]).await.unwrap();
    let (mut rows, mut to) = (Rows::new(), from);
    for name in names {
        to = to.next();
        rows.push(customer, to.event(0), &Person { name: name.into(), address: "x".into() });
    }
    let mut shard = Shard::connect(&entry.address, &identity).await.unwrap();
    let batch = Batch { rows, advances: vec![Advance { from: from.into(), to: Place { position: to, stamp: 1 } }] };
    assert_eq!(shard.append(&batch).await.unwrap(), Appended::Stored);
    shard.close().await;
}

/// 2,000 rows of customer a on s1 (so two full pages), three of b on s2, of which one is of a bad event.
async fn two_shards(test: &str) -> (PathBuf, Vec<ShardEntry>) {
    let folder = std::env::temp_dir().join(format!("loadgen-fleet-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let entries = vec![entry(&folder, "s1"), entry(&folder, "s2")];
    store(&entries[0], &"a".parse().unwrap(), (0..2_000).map(|n| format!("name {n}"))).await;
    store(&entries[1], &"b".parse().unwrap(), ["Ada", "bad-1-7", "Bob"].map(str::to_owned).into_iter()).await;
    (folder, entries)
}

#[tokio::test]
async fn every_row_is_shown_with_its_name_whatever_the_pages() {
    let (folder, entries) = two_shards("names").await;
    let mut fleet = Fleet::new(&entries, JOURNAL);
    let claim = |must| Claim { must, perhaps: 0, must_not: 0 };
    let customers = [("a".parse().unwrap(), claim(2_000)), ("b".parse().unwrap(), claim(3))];
    let mut claims = Claims::new([Account { seed: 1, customers: customers.into() }], 20);
    fleet.show_people(&mut claims).await.unwrap();
    let report = claims.close();
    assert_eq!((report.rows, report.others, report.wrong_customers), (2_003, 0, 0), "{report:?}");
    assert_eq!((report.bad[0].shard.as_str(), report.bad[0].name.as_str(), report.bad_rows), ("s2", "bad-1-7", 1));
    drop(fleet);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn of_a_fleet_with_one_shard_selected_the_others_are_not_even_asked() {
    let (folder, mut entries) = two_shards("selected").await;
    // It would be an error to ask it.
    entries[0].address.database = folder.join("no").join("file").display().to_string();
    let mut fleet = Fleet::new(&entries, JOURNAL);
    assert!(fleet.select("s3").is_err());
    let shard = fleet.select("s2").unwrap();
    let selection = Selection { customer: None, shard: Some(shard) };
    let mut ledger = Ledger::survey(partitions(), fleet.names(), selection);
    let stored = fleet.positions().await.unwrap();
    assert!(stored[0].as_ref().unwrap().is_empty());
    assert_eq!(stored[1].as_ref().unwrap().len(), 1);
    fleet.show_rows(&mut ledger).await.unwrap();
    let shards = ledger.close(20).shards;
    assert_eq!((shards.len(), shards[0].shard.as_str(), shards[0].rows), (1, "s2", 3));
    drop(fleet);
    std::fs::remove_dir_all(folder).unwrap();
}
