//! The journal is trimmed: to what every shard has stored, and never further.

use std::collections::BTreeMap;

use sluice_journal::{Bounds, Journal, Settings, TrimLedger, trim::WriteError};
use sluice_model::{Partition, Position};
use sluice_shard::{Flavor, Identity, Shard};
use sluice_testbed::{Fleet, FleetOptions, FleetShard, rows, wait};

use crate::{LIMIT, all_rows, fleet};

/// Arguments of a writer that keeps nothing longer than it has to, and looks often.
fn greedy() -> Vec<String> {
    ["--retain-s", "0", "--trim-interval-ms", "100"].map(str::to_owned).to_vec()
}

pub(crate) async fn journal(fleet: &Fleet) -> Journal {
    let client = fleet.nats_client().await.unwrap();
    Journal::open(client, &Settings::default()).await.unwrap()
}

pub(crate) async fn bounds(journal: &Journal) -> BTreeMap<Partition, Bounds> {
    let mut all = BTreeMap::new();
    for partition in journal.partitions().all() {
        all.insert(partition, journal.bounds(partition).await.unwrap());
    }
    all
}

/// Waits until each partition holds one message at most: the one that the shards have stored last.
async fn shrunk(journal: &Journal) {
    let shrunk = async || bounds(journal).await.values().all(|bounds| bounds.messages <= 1);
    wait::until("a journal that is trimmed to what is needed", LIMIT, shrunk).await.unwrap();
}

async fn stored(journal: &Journal, shard: &FleetShard) -> BTreeMap<Partition, Position> {
    let identity = Identity { shard: shard.name.clone(), journal_id: journal.id().to_owned() };
    let mut shard = Shard::connect(&shard.address, &identity).await.unwrap();
    shard.positions().await.unwrap().into_iter().map(|(partition, stored)| (partition, stored.position)).collect()
}

/// Waits for some more rounds of whoever trims.
async fn rounds(ledger: &TrimLedger, rounds: u64) {
    let before = ledger.load().await.unwrap().0.beat;
    let passed = async || ledger.load().await.unwrap().0.beat >= before + rounds;
    wait::until("rounds of trimming", LIMIT, passed).await.unwrap();
}

#[tokio::test]
async fn without_a_wish_the_journal_shrinks_to_what_every_shard_has_stored_and_no_row_is_missing() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions { writer_args: greedy(), ..FleetOptions::default() }).await;
    let journal = journal(&fleet).await;
    for round in 1..=2 {
        assert_eq!(fleet.load(&["--customers", "50", "--count", "3000"]).await.unwrap().accepted, 3_000);
        shrunk(&journal).await;
        for shard in fleet.shards() {
            let stored = stored(&journal, shard).await;
            let kept = bounds(&journal).await;
            assert!(kept.iter().all(|(partition, bounds)| bounds.first <= stored[partition]), "{kept:?} {stored:?}");
        }
        let verified = fleet.verify().await.unwrap();
        assert!(verified.ok, "{verified:?}");
        assert_eq!(all_rows(&fleet).await, 3_000 * round);
    }
    // A shard that comes now begins where the journal does, and gets its rows.
    let late = FleetShard::sqlite("late", fleet.folder());
    let admin = fleet.admin().unwrap();
    admin.register(std::slice::from_ref(&late)).await.unwrap();
    admin.place("late", "late").await.unwrap();
    assert_eq!(fleet.load(&["--customers", "1,late", "--count", "200"]).await.unwrap().accepted, 200);
    let there = async || rows::count(&late.address).await.is_ok_and(|shard| shard.rows == 100);
    wait::until("100 rows on the late shard", LIMIT, there).await.unwrap();
    shrunk(&journal).await;
    assert!(fleet.verify().await.unwrap().ok);
}

#[tokio::test]
async fn a_shard_that_is_down_keeps_what_it_lacks_in_the_journal_and_gets_every_row() {
    let mut fleet = fleet(Flavor::Postgres, FleetOptions { writer_args: greedy(), ..FleetOptions::default() }).await;
    let admin = fleet.admin().unwrap();
    for (customer, shard) in ["1", "2", "3"].iter().zip(["shard1", "shard2", "shard3"]) {
        admin.place(customer, shard).await.unwrap();
    }
    let journal = journal(&fleet).await;
    let ledger = journal.trim_ledger().await.unwrap();
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "1,2,3", "--count", "6000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 6_000);
    shrunk(&journal).await;
    let last = stored(&journal, &fleet.shards()[2]).await;
    fleet.servers()[2].stop();

    assert_eq!(fleet.load(&args).await.unwrap().accepted, 6_000);
    wait::until("all rows of the others", LIMIT, async || all_rows(&fleet).await == 8_000).await.unwrap();
    rounds(&ledger, 3).await;
    // What was last read outlives the process that read it.
    fleet.writer().kill();
    fleet.writer().restart().await.unwrap();
    rounds(&ledger, 3).await;
    let kept = bounds(&journal).await;
    let holds = |(partition, bounds): (&Partition, &Bounds)| bounds.messages == 0 || bounds.first <= last[partition];
    assert!(kept.iter().all(holds), "{kept:?} {last:?}");
    assert!(kept.values().map(|bounds| bounds.messages).sum::<u64>() >= 6_000, "{kept:?}");

    fleet.servers()[2].restart().await.unwrap();
    shrunk(&journal).await;
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    assert_eq!(all_rows(&fleet).await, 12_000);
}

#[tokio::test]
async fn a_journal_that_is_full_can_be_written_again_once_it_is_trimmed_whatever_the_wish() {
    let options = FleetOptions {
        partitions: 1.try_into().unwrap(),
        journal_max_bytes: 200_000,
        writer_args: ["--trim-interval-ms", "100"].map(str::to_owned).to_vec(),
        ..FleetOptions::default()
    };
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let journal = journal(&fleet).await;
    // The wish of a day holds while there is room.
    assert_eq!(fleet.load(&["--customers", "5", "--count", "50"]).await.unwrap().accepted, 50);
    rounds(&journal.trim_ledger().await.unwrap(), 3).await;
    let first = Position::first(Partition::new(0));
    assert_eq!(bounds(&journal).await[&Partition::new(0)].first, first);

    fleet.writer().stop();
    while fleet.load(&["--customers", "5", "--count", "500"]).await.unwrap().failed == 0 {}
    let full = bounds(&journal).await[&Partition::new(0)];
    fleet.writer().restart().await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/person/1", fleet.ingest_url());
    let taken = async || client.post(&url).send().await.is_ok_and(|answer| answer.status() == 202);
    wait::until("a post is taken again", LIMIT, taken).await.unwrap();
    // A post more may find it nearly full again, until the shards have stored enough.
    let roomy = async || bounds(&journal).await[&Partition::new(0)].bytes < full.bytes * 8 / 10;
    wait::until("a journal with room", LIMIT, roomy).await.unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

#[tokio::test]
async fn of_two_writers_one_trims_the_other_takes_over_and_neither_does_harm() {
    let options = FleetOptions { writers: 2, writer_args: greedy(), ..FleetOptions::default() };
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let journal = journal(&fleet).await;
    let ledger = journal.trim_ledger().await.unwrap();
    let nats = fleet.nats_url();
    let args = ["--via", "nats", "--nats-url", &nats, "--customers", "50", "--count", "20000"];
    assert_eq!(fleet.load(&args).await.unwrap().accepted, 20_000);
    shrunk(&journal).await;
    // Once killed, once frozen and woken up when the other has taken over.
    for freeze in [false, true] {
        let before = ledger.load().await.unwrap().0.owner.unwrap();
        let owns = |pid: u32| before.starts_with(&format!("{pid}-"));
        let owner = fleet.writers().iter().position(|writer| owns(writer.pid())).unwrap();
        if freeze {
            fleet.writers()[owner].freeze();
        } else {
            fleet.writers()[owner].kill();
        }
        let another = async || ledger.load().await.unwrap().0.owner.is_some_and(|owner| owner != before);
        wait::until("the other one trims", LIMIT, another).await.unwrap();
        assert_eq!(fleet.load(&args).await.unwrap().accepted, 20_000);
        shrunk(&journal).await;
        if freeze {
            fleet.writers()[owner].thaw();
        } else {
            fleet.writers()[owner].restart().await.unwrap();
        }
        assert_eq!(fleet.load(&args).await.unwrap().accepted, 20_000);
        shrunk(&journal).await;
        let verified = fleet.verify().await.unwrap();
        assert!(verified.ok, "{verified:?}");
        fleet.writers()[owner].wait_ready().await.unwrap();
    }
    assert_eq!(all_rows(&fleet).await, 100_000);
}

#[tokio::test]
async fn a_registration_and_a_trimmer_never_overtake_each_other() {
    // No writer: the trimmer is this test.
    let fleet = fleet(Flavor::Sqlite, FleetOptions { writers: 0, ..FleetOptions::default() }).await;
    assert_eq!(fleet.load(&["--customers", "50", "--count", "500"]).await.unwrap().accepted, 500);
    let journal = journal(&fleet).await;
    let ledger = journal.trim_ledger().await.unwrap();

    // A database that somebody prepared at the journal's beginning, and then died.
    let dead = FleetShard::sqlite("dead", fleet.folder());
    let identity = Identity { shard: "dead".to_owned(), journal_id: journal.id().to_owned() };
    let beginning: Vec<_> = journal.partitions().all().map(Position::before_first).collect();
    sluice_shard::register(&dead.address, &identity, &beginning).await.unwrap();

    // Announced after the claim: what the claim was made for is refused.
    let (mut record, claim) = ledger.load().await.unwrap();
    let announced = ledger.announce("new").await.unwrap();
    let ends: Vec<_> = bounds(&journal).await.into_values().map(|bounds| bounds.last).collect();
    ends.iter().for_each(|end| record.settle(*end));
    assert!(matches!(ledger.write(&record, claim).await, Err(WriteError::Stale)));
    let (seen, _) = ledger.load().await.unwrap();
    assert!(seen.registering.values().eq(["new"]) && seen.floors.is_empty(), "{seen:?}");
    ledger.withdraw(&announced).await.unwrap();

    // Settled, and not yet purged: a shard that is registered now begins at the floor.
    let (mut record, claim) = ledger.load().await.unwrap();
    assert!(record.registering.is_empty());
    ends.iter().for_each(|end| record.settle(*end));
    ledger.write(&record, claim).await.unwrap();
    let late = FleetShard::sqlite("late", fleet.folder());
    let admin = fleet.admin().unwrap();
    admin.register(std::slice::from_ref(&late)).await.unwrap();
    assert!(ledger.load().await.unwrap().0.registering.is_empty());
    let begins = stored(&journal, &late).await;
    assert!(begins.values().eq(&ends), "{begins:?}");
    for end in ends {
        assert!(journal.purge_below(end).await.unwrap() > 0);
        // Beyond its end the server would empty it.
        assert_eq!(journal.purge_below(end.next()).await.unwrap(), 0);
        assert_eq!(journal.bounds(end.partition()).await.unwrap().first, end);
    }

    let refused = format!("{:#}", admin.register(&[dead]).await.unwrap_err());
    assert!(refused.contains("shard_left_behind") && refused.contains("0/0"), "{refused}");
    assert!(ledger.load().await.unwrap().0.registering.is_empty());
}
