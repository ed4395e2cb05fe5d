//! The journal was made anew: NATS came up with an empty disk.

use super::*;
use crate::fleet;

/// Every shard has 100 rows or so of a journal that is gone; what was started since has made another, and partition 0 of that has got
/// 50 messages.
async fn anew() -> (Fleet, Vec<Vec<CustomerId>>, String) {
    let options = FleetOptions { writers: 1, ..one_writer() };
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let customers = with_customers(&fleet).await;
    let everybody: Vec<_> = customers.iter().flatten().collect();
    people(&fleet, &everybody, "early", 300).await;
    rows_are(&fleet, 300).await;
    let old = opened(&fleet).await.id().to_owned();
    let stores = stores(&mut fleet);
    without_nats(&mut fleet, || stores.iter().for_each(|store| std::fs::remove_dir_all(store).unwrap())).await;
    fleet.directory().restart().await.unwrap();
    fleet.ingest().restart().await.unwrap();
    fleet.writer().kill();
    let of_0: Vec<_> = customers.iter().map(|of_shard| &of_shard[0]).collect();
    let given = people(&fleet, &of_0, "again", 51).await;
    assert!(given.iter().all(|position| position.get() <= 51), "they are given again");
    (fleet, customers, old)
}

#[tokio::test]
async fn shards_of_a_journal_that_is_gone_are_given_over_to_the_new_one_beyond_all_that_they_have_stored() {
    let (mut fleet, customers, old) = anew().await;
    let new = opened(&fleet).await;
    let (rows_before, stored_before) = (every_row(&fleet).await, stored(&fleet).await);
    let (code, shown) = journal(&fleet, "show").await;
    assert!(code == 1 && states(&shown, Partition::new(1)).values().all(|state| *state == "other journal"), "{shown}");

    // Only somebody who names the old journal may give it up.
    for line in ["repair --yes".to_owned(), format!("repair --yes --from-journal {}", new.id())] {
        let (code, refused) = journal(&fleet, &line).await;
        let why = refused["refused"][0].as_str().unwrap();
        assert!(code == 1 && why.contains(&format!("--from-journal {old}")), "{refused}");
    }
    let (code, plan) = journal(&fleet, &format!("repair --from-journal {old}")).await;
    let ways: Vec<_> =
        plan["partitions"].as_array().unwrap().iter().map(|part| part["way"].as_str().unwrap()).collect();
    assert_eq!((code, ways), (1, vec!["fill", "jump", "jump", "jump"]), "{plan}");
    assert_eq!(plan["given_over"].as_array().unwrap().len(), 3);
    assert_eq!((every_row(&fleet).await, stored(&fleet).await), (rows_before.clone(), stored_before.clone()));

    let line = format!("repair --yes --from-journal {old}");
    let (code, done) = journal(&fleet, &line).await;
    assert_eq!((code, done["partitions"][0]["copied"].as_array().unwrap().len()), (0, 51), "{done}");
    assert_eq!(journal(&fleet, "repair").await.0, 0, "there is nothing to do any more");
    goes_on(&mut fleet, &customers, &rows_before, &stored_before).await;
}

async fn goes_on(
    fleet: &mut Fleet,
    customers: &[Vec<CustomerId>],
    rows_before: &BTreeSet<(String, String, i64, String)>,
    stored_before: &BTreeMap<String, BTreeMap<Partition, Position>>,
) {
    fleet.writer().restart().await.unwrap();
    let everybody: Vec<_> = customers.iter().flatten().collect();
    let given = people(fleet, &everybody, "later", 120).await;
    let highest = |position: &Position| stored_before.values().all(|stored| *position > stored[&position.partition()]);
    assert!(given.iter().all(highest), "no position of a stored row is given again");
    rows_are(fleet, 300 + 51 + 120).await;
    let rows = every_row(fleet).await;
    assert!(rows.is_superset(rows_before));
    assert_eq!((once(&rows, "again"), once(&rows, "later")), (51, 120));
    verified(fleet).await;
    let (code, shown) = journal(fleet, "show").await;
    assert_eq!(code, 0, "{shown}");
}

#[tokio::test]
async fn giving_over_that_is_killed_again_and_again_is_finished_by_the_next_one() {
    let (mut fleet, customers, old) = anew().await;
    let new = opened(&fleet).await;
    let (rows_before, stored_before) = (every_row(&fleet).await, stored(&fleet).await);
    let line = format!("repair --yes --from-journal {old}");
    let ends: BTreeMap<_, _> = bounds(&new).await;
    let grown = async |partition: u16, by: u64| {
        let partition = Partition::new(partition);
        let end = new.bounds(partition).await.unwrap().last;
        end.get() >= ends[&partition].last.get() + by
    };
    for (partition, by) in [(0, 1), (0, 60), (1, 1), (2, 1), (3, 1)] {
        let mut repair = started(&fleet, &line);
        wait::until("the repair has come so far", LIMIT, async || grown(partition, by).await).await.unwrap();
        repair.kill().await.unwrap();
    }
    // A repair that died before it opened a partition again: nothing is taken there until the next one has been.
    let gate = new.shut(Partition::new(3)).await.unwrap();
    drop(gate);
    let (_, shown) = journal(&fleet, "show").await;
    assert_eq!((&shown[3]["shut"], &shown[0]["shut"]), (&true.into(), &false.into()), "{shown}");
    let shards = fleet.shards().to_vec();
    let given_over =
        async |shard: &sluice_testbed::FleetShard| journal_of(&shard.address, &shard.name).await.unwrap() == new.id();
    let mut repair = started(&fleet, &line);
    let one = async || futures::future::join_all(shards.iter().map(given_over)).await.contains(&true);
    wait::until("one shard is given over", LIMIT, one).await.unwrap();
    repair.kill().await.unwrap();
    assert_eq!(journal(&fleet, &line).await.0, 0);
    // Once more, when nothing else is to be done.
    drop(new.shut(Partition::new(0)).await.unwrap());
    let (code, done) = journal(&fleet, "repair --yes").await;
    assert_eq!((code, &done["opened"]), (0, &serde_json::json!([0])), "{done}");
    goes_on(&mut fleet, &customers, &rows_before, &stored_before).await;
}
