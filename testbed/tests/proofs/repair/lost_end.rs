//! The journal lost its end: an older copy of NATS' disk was put back, and publishers went on.

use sluice_testbed::set_back;

use super::*;
use crate::fleet;

/// Shards 1 and 2 have what the journal lost; shard 3 was restored from a copy that is older than the loss. Partition 0 got more
/// messages since than it lost, partition 1 fewer, partition 2 none, and partition 3 lost nothing.
struct Loss {
    fleet: Fleet,
    customers: Vec<Vec<CustomerId>>,
    /// Where each partition ended before the loss.
    ended: BTreeMap<Partition, Bounds>,
}

async fn loss() -> Loss {
    let mut fleet = fleet(Flavor::Sqlite, one_writer()).await;
    let customers = with_customers(&fleet).await;
    let everybody: Vec<_> = customers.iter().flatten().collect();
    people(&fleet, &everybody, "early", 240).await;
    rows_are(&fleet, 240).await;
    let shard3 = set_back::Older::copy(&fleet.shards()[2].address).await.unwrap();
    let older = copy_journal(&mut fleet).await;

    let losing: Vec<_> = customers.iter().flat_map(|of_shard| &of_shard[..3]).collect();
    people(&fleet, &losing, "late", 270).await;
    rows_are(&fleet, 510).await;
    let ended = bounds(&opened(&fleet).await).await;
    put_back(&mut fleet, older).await;
    shard3.put_back().await.unwrap();

    let of = |partition: usize| customers.iter().map(|of_shard| &of_shard[partition]).collect::<Vec<_>>();
    people(&fleet, &of(0), "again in 0:", 120).await;
    people(&fleet, &of(1), "again in 1:", 60).await;
    let bad = [(customers[0][1].clone(), "nonsense".to_owned()), (customers[2][1].clone(), "nonsense".to_owned())];
    publish(&fleet, bad).await;
    Loss { fleet, customers, ended }
}

#[tokio::test]
async fn a_journal_that_lost_its_end_is_repaired_and_each_event_that_it_holds_has_one_row() {
    let Loss { mut fleet, customers, ended } = loss().await;
    refused(&mut fleet, 3).await;
    let rows_before = every_row(&fleet).await;
    let (code, shown) = journal(&fleet, "show").await;
    let partition = Partition::new;
    assert_eq!((code, states(&shown, partition(0))["shard1"]), (1, "replaced"), "{shown}");
    assert_eq!(states(&shown, partition(1))["shard2"], "beyond the end");
    assert!(states(&shown, partition(3)).values().all(|state| *state == "ok"));

    // First it only says what it would do.
    let (before, stored_before) = (bounds(&opened(&fleet).await).await, stored(&fleet).await);
    let (code, plan) = journal(&fleet, "repair").await;
    assert_eq!((code, &plan["done"], plan["partitions"].as_array().unwrap().len()), (1, &false.into(), 3), "{plan}");
    let of = |partition: usize| &plan["partitions"][partition];
    assert_eq!((&of(0)["fillers"], &of(0)["given_again"], &of(0)["to_copy"]), (&0.into(), &90.into(), &60.into()));
    assert_eq!((&of(1)["fillers"], &of(1)["given_again"], &of(1)["to_copy"]), (&28.into(), &62.into(), &41.into()));
    assert_eq!((&of(2)["fillers"], &of(2)["given_again"]), (&90.into(), &0.into()));
    let lost = of(2)["lost"].as_array().unwrap();
    let lost: Vec<_> = lost.iter().map(|lost| (lost["shard"].as_str().unwrap(), lost["through"].as_u64())).collect();
    let end = Some(ended[&partition(2)].last.get());
    assert_eq!(lost, [("shard1", end), ("shard2", end)]);
    assert_eq!((bounds(&opened(&fleet).await).await, every_row(&fleet).await), (before, rows_before.clone()));

    let (code, done) = journal(&fleet, "repair --yes").await;
    assert_eq!((code, &done["done"]), (0, &true.into()), "{done}");
    let copied = |partition: usize| done["partitions"][partition]["copied"].as_array().unwrap();
    assert_eq!([0, 1, 2].map(|partition| copied(partition).len()), [60, 41, 0]);
    let new = |line: &Value| line["new"].as_str().unwrap().parse::<sluice_model::EventId>().unwrap().position();
    assert!(copied(0).iter().all(|line| new(line) > ended[&partition(0)].last), "{done}");
    assert_eq!(journal(&fleet, "repair --yes").await.0, 0, "there is nothing to do any more");

    // The writers go on by themselves, and everybody else does.
    let everybody: Vec<_> = customers.iter().flatten().collect();
    let given = people(&fleet, &everybody, "later", 120).await;
    let highest = |position: &Position| stored_before.values().all(|stored| *position > stored[&position.partition()]);
    assert!(given.iter().all(highest), "no position of a stored row is given again");
    // 240 and 180 of the two shards' 270; shard 3 has 80 early ones, and the others of it are gone.
    rows_are(&fleet, 240 + 180 + 180 + 120).await;
    let rows = every_row(&fleet).await;
    assert!(rows.is_superset(&rows_before), "rows stay");
    assert_eq!((once(&rows, "again"), once(&rows, "later"), once(&rows, "early")), (180, 120, 240));
    assert_eq!(once(&rows, "late "), 180);
    let verified = verified(&fleet).await;
    assert_eq!((verified.dead_letters, verified.shards.iter().map(|shard| shard.before_repair).sum()), (2, 180));
    let (code, shown) = journal(&fleet, "show").await;
    assert!(code == 0 && states(&shown, partition(0)).values().all(|state| *state == "ok"), "{shown}");
}

/// Partition 0 of one shard lost 1,500 messages, and was given 1,000 again.
async fn long_loss() -> (Fleet, BTreeSet<(String, String, i64, String)>, u64) {
    let options =
        FleetOptions { partitions: 1.try_into().unwrap(), shard_count: 2, sync_always: false, ..one_writer() };
    let mut fleet = fleet(Flavor::Sqlite, options).await;
    let customers = with_customers(&fleet).await;
    let everybody: Vec<_> = customers.iter().flatten().collect();
    people(&fleet, &everybody, "early", 10).await;
    rows_are(&fleet, 10).await;
    let older = copy_journal(&mut fleet).await;
    people(&fleet, &everybody, "late", 1_500).await;
    rows_are(&fleet, 1_510).await;
    fleet.writer().kill();
    put_back(&mut fleet, older).await;
    people(&fleet, &everybody, "again", 1_000).await;
    let rows = every_row(&fleet).await;
    (fleet, rows, 1_510)
}

async fn repaired_once(mut fleet: Fleet, rows_before: &BTreeSet<(String, String, i64, String)>) {
    fleet.writer().restart().await.unwrap();
    rows_are(&fleet, 2_510).await;
    verified(&fleet).await;
    let rows = every_row(&fleet).await;
    assert!(rows.is_superset(rows_before));
    assert_eq!((once(&rows, "again"), once(&rows, "late "), rows.len()), (1_000, 1_500, 2_510));
}

#[tokio::test]
async fn a_repair_that_is_killed_again_and_again_is_finished_by_the_next_one_and_doubles_nothing() {
    let (fleet, rows_before, top) = long_loss().await;
    let opened = opened(&fleet).await;
    let partition = Partition::new(0);
    let last = async || opened.bounds(partition).await.unwrap().last.get();
    let begins = last().await;
    assert_eq!(begins, 1_010);
    // While it fills, as it begins to copy, and while it copies: as far as this test is quick enough.
    let (mut killed, mut finished) = (0, false);
    for at in [begins + 1, begins + 200, top + 1, top + 3, top + 150, top + 400, top + 800] {
        let mut repair = started(&fleet, "repair --yes");
        wait::until("the repair has come so far", LIMIT, async || last().await >= at).await.unwrap();
        repair.kill().await.unwrap();
        finished = opened.repairs(partition).await.unwrap().0.finished().next().is_some();
        if finished {
            break;
        }
        killed += 1;
    }
    assert!(killed >= 3, "only {killed} repairs were killed before they had finished");
    if !finished {
        let (_, shown) = journal(&fleet, "show").await;
        assert_eq!((&shown[0]["repair_unfinished"], states(&shown, partition)["shard1"]), (&true.into(), "replaced"));
        let (code, done) = journal(&fleet, "repair --yes").await;
        assert_eq!((code, done["partitions"][0]["copied"].as_array().unwrap().len()), (0, 1_000), "{done}");
    }
    repaired_once(fleet, &rows_before).await;
}

#[tokio::test]
async fn two_repairs_at_once_do_no_harm() {
    let (fleet, rows_before, _) = long_loss().await;
    // Each may find that the other has taken over, and says so; whoever is last finishes.
    let ended = futures::future::join_all((0..3).map(|_| journal(&fleet, "repair --yes"))).await;
    assert!(ended.iter().all(|(code, _)| matches!(code, 0 | 2)), "{ended:?}");
    let (code, report) = journal(&fleet, "repair --yes").await;
    assert_eq!(code, 0, "{report}");
    repaired_once(fleet, &rows_before).await;
}
