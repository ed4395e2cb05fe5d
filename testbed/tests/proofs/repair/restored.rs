//! A shard is restored to an older copy after, or in the midst of, a repair of the journal that was made for a newer state of it.

use sluice_testbed::set_back;

use super::*;
use crate::fleet;

/// One partition, two shards, and copies of the first one's database.
struct Stage {
    fleet: Fleet,
    customers: Vec<Vec<CustomerId>>,
    copies: PathBuf,
}

impl Stage {
    async fn new() -> Self {
        let partitions = 1.try_into().unwrap();
        let options = FleetOptions { partitions, shard_count: 2, sync_always: false, ..one_writer() };
        let fleet = fleet(Flavor::Sqlite, options).await;
        let customers = with_customers(&fleet).await;
        let copies = fleet.folder().join("copies");
        std::fs::create_dir(&copies).unwrap();
        Self { fleet, customers, copies }
    }

    /// Publishes so many people of this name, to customers of the two shards in turn.
    async fn publish(&self, name: &str, count: usize) {
        let everybody: Vec<_> = self.customers.iter().flatten().collect();
        people(&self.fleet, &everybody, name, count).await;
    }

    async fn copy_shard(&self, name: &str) {
        let address = &self.fleet.shards()[0].address;
        drop(set_back::Older::copy(address).await.unwrap());
        std::fs::rename(format!("{}.older", address.database), self.copies.join(name)).unwrap();
    }

    /// The writer is away meanwhile.
    async fn restore_shard(&mut self, name: &str) {
        self.fleet.writer().kill();
        let copy = self.copies.join("restored");
        std::fs::copy(self.copies.join(name), &copy).unwrap();
        set_back::replace(&self.fleet.shards()[0].address, &copy).unwrap();
        // It is not ready where a partition is refused.
        self.fleet.writer().restart_unready().unwrap();
    }

    /// Waits until both shards have stored all that the journal holds.
    async fn level(&self) {
        let (journal, partition) = (opened(&self.fleet).await, Partition::new(0));
        let last = journal.bounds(partition).await.unwrap().last;
        let level = async || stored(&self.fleet).await.values().all(|stored| stored[&partition] == last);
        wait::until("both shards have stored all that the journal holds", LIMIT, level).await.unwrap();
    }

    /// How many people of this name the first shard has, and the second; each must have one row only.
    async fn people(&self, name: &str) -> (usize, usize) {
        let rows = every_row(&self.fleet).await;
        once(&rows, name);
        let on = |shard: &str| rows.iter().filter(|(of, _, _, named)| of == shard && named.starts_with(name)).count();
        (on("shard1"), on("shard2"))
    }
}

#[tokio::test]
async fn a_shard_restored_to_before_a_journal_repair_has_each_row_once() {
    let mut stage = Stage::new().await;
    stage.publish("early", 20).await;
    rows_are(&stage.fleet, 20).await;
    stage.copy_shard("before the cut").await;
    let older = copy_journal(&mut stage.fleet).await;
    stage.publish("late", 20).await;
    rows_are(&stage.fleet, 40).await;
    stage.copy_shard("between").await;
    stage.publish("latest", 20).await;
    rows_are(&stage.fleet, 60).await;
    stage.fleet.writer().kill();
    put_back(&mut stage.fleet, older).await;
    stage.publish("again", 30).await;
    let bad = |shard: usize| (stage.customers[shard][0].clone(), "nonsense".to_owned());
    publish(&stage.fleet, [bad(0), bad(1)]).await;
    let (code, done) = journal(&stage.fleet, "repair --yes").await;
    assert_eq!((code, done["partitions"][0]["copied"].as_array().unwrap().len()), (0, 32), "{done}");
    stage.fleet.writer().restart().await.unwrap();
    rows_are(&stage.fleet, 90).await;
    let letters = opened(&stage.fleet).await.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 2, "{letters:?}");

    // It has what the journal holds, and once: not where it stands, but in the copies.
    stage.restore_shard("before the cut").await;
    stage.level().await;
    assert_eq!((stage.people("early").await, stage.people("late").await), ((10, 10), (0, 20)));
    assert_eq!(stage.people("again").await, (15, 15));
    verified(&stage.fleet).await;

    // It has some of what the journal lost: that has to be accepted first. Its copies stand already.
    stage.restore_shard("between").await;
    refused(&mut stage.fleet, 1).await;
    let (_, shown) = journal(&stage.fleet, "show").await;
    assert_eq!(states(&shown, Partition::new(0))["shard1"], "replaced", "{shown}");
    let (code, plan) = journal(&stage.fleet, "repair").await;
    assert_eq!((code, &plan["partitions"][0]["to_copy"]), (1, &0.into()), "{plan}");
    assert_eq!(journal(&stage.fleet, "repair --yes").await.0, 0);
    stage.level().await;
    assert_eq!((stage.people("early").await, stage.people("late ").await), ((10, 10), (10, 10)));
    assert_eq!((stage.people("latest").await, stage.people("again").await), ((0, 10), (15, 15)));
    stage.publish("later", 10).await;
    rows_are(&stage.fleet, 45 + 35 + 10).await;
    verified(&stage.fleet).await;

    // And once more from the beginning, by the records of both repairs.
    stage.restore_shard("before the cut").await;
    stage.level().await;
    assert_eq!((stage.people("again").await, stage.people("later").await), ((15, 15), (5, 5)));
    let letters = opened(&stage.fleet).await.dead_letters().list().await.unwrap();
    assert_eq!(letters.len(), 2, "a dead letter of a copy is the event's only one: {letters:?}");
    verified(&stage.fleet).await;
}

#[tokio::test]
async fn a_shard_restored_in_the_midst_of_a_repair_waits_until_that_is_finished_and_has_each_row_once() {
    let mut stage = Stage::new().await;
    stage.publish("early", 10).await;
    rows_are(&stage.fleet, 10).await;
    stage.copy_shard("before the cut").await;
    let older = copy_journal(&mut stage.fleet).await;
    stage.publish("late", 3_000).await;
    rows_are(&stage.fleet, 3_010).await;
    stage.fleet.writer().kill();
    put_back(&mut stage.fleet, older).await;
    stage.publish("again", 4_000).await;
    let journal_now = opened(&stage.fleet).await;
    let partition = Partition::new(0);
    let last = async || journal_now.bounds(partition).await.unwrap().last.get();
    let begun = last().await;
    let mut repair = started(&stage.fleet, "repair --yes");
    wait::until("some copies are stored", LIMIT, async || last().await >= begun + 50).await.unwrap();
    repair.kill().await.unwrap();
    let record = journal_now.repairs(partition).await.unwrap().0;
    assert!(record.unfinished().is_some(), "the repair was quicker than this test: {record:?}");

    stage.restore_shard("before the cut").await;
    refused(&mut stage.fleet, 1).await;
    let (code, shown) = journal(&stage.fleet, "show").await;
    assert_eq!((code, states(&shown, partition)["shard1"]), (1, "unfinished"), "{shown}");
    assert_eq!(stage.people("again").await, (0, 0));
    let (code, done) = journal(&stage.fleet, "repair --yes").await;
    assert_eq!((code, done["partitions"][0]["copied"].as_array().unwrap().len()), (0, 3_000), "{done}");
    stage.level().await;
    assert_eq!((stage.people("early").await, stage.people("late").await), ((5, 5), (0, 1_500)));
    assert_eq!(stage.people("again").await, (2_000, 2_000));
    verified(&stage.fleet).await;
}
