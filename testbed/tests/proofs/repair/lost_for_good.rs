//! Messages that a shard lacks and the journal no longer has: named, and passed once somebody has
//! accepted that.

use sluice_testbed::{FleetShard, set_back::Older as OlderShard};

use super::*;
use crate::{fleet, run};

const PARTITION: Partition = Partition::new(0);

fn one_partition(shard_count: u16) -> FleetOptions {
    FleetOptions { partitions: 1.try_into().unwrap(), shard_count, ..one_writer() }
}

/// The position that was given as the n-th.
fn at(n: u64) -> Position {
    Position::new(Position::before_first(PARTITION).get() + n).unwrap()
}

/// Removes messages: all of the partition, or those of one customer.
async fn purge(fleet: &Fleet, customer: Option<&CustomerId>) {
    let jetstream = async_nats::jetstream::new(fleet.nats_client().await.unwrap());
    let stream = jetstream.get_stream(subject::stream_name(PARTITION)).await.unwrap();
    let purged = match customer {
        None => stream.purge().await,
        Some(customer) => stream.purge().filter(subject::create(fleet.partitions(), customer)).await,
    };
    assert!(purged.unwrap().purged > 0);
}

/// Waits until a shard has stored so many positions.
async fn stored_is(fleet: &Fleet, shard: &str, n: u64) {
    let there = async || stored(fleet).await[shard][&PARTITION] == at(n);
    wait::until("a stored position", LIMIT, there).await.unwrap();
}

/// Waits until a shard's lane has stopped; gives why.
async fn stopped(fleet: &Fleet, shard: &str) -> String {
    let why = async || {
        // A writer that was just started does not answer yet.
        let lanes = fleet.lanes(0).await.unwrap_or_default();
        lanes.into_iter().find(|lane| lane.shard == shard && lane.state == "stopped").and_then(|lane| lane.detail)
    };
    wait::until("a lane that has stopped", LIMIT, async || why().await.is_some()).await.unwrap();
    why().await.unwrap_or_default()
}

/// The shards that lack something of the only loss that a report names, each with the first
/// position that it lacks.
fn lacking(report: &Value) -> Vec<(&str, u64)> {
    let losses = report["losses"].as_array().unwrap();
    assert_eq!(losses.len(), 1, "{report}");
    let lacking = losses[0]["lacking"].as_array().unwrap();
    lacking.iter().map(|lacks| (lacks["shard"].as_str().unwrap(), lacks["from"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn what_was_purged_while_a_mariadb_shard_lacked_it_is_named_and_passed_once_it_is_accepted() {
    let mut fleet = fleet(Flavor::Mysql, one_partition(2)).await;
    let customers = with_customers(&fleet).await;
    let everybody: Vec<_> = customers.iter().flatten().cloned().collect();
    let everybody: Vec<_> = everybody.iter().collect();
    people(&fleet, &everybody, "early", 6).await;
    rows_are(&fleet, 6).await;
    run(&fleet.shards()[1].address.clone(), "RENAME TABLE person TO person_away").await;
    people(&fleet, &everybody[1..], "lost", 5).await;
    people(&fleet, &everybody[..1], "late", 1).await;
    stored_is(&fleet, "shard1", 12).await;
    stored_is(&fleet, "shard2", 6).await;
    fleet.writer().stop();
    purge(&fleet, None).await;
    fleet.writer().restart_unready().unwrap();
    run(&fleet.shards()[1].address.clone(), "RENAME TABLE person_away TO person").await;
    let why = stopped(&fleet, "shard2").await;
    assert!(
        why.contains("the journal begins at 0/13") && why.contains("0/7") && why.contains("--accept-loss"),
        "{why}"
    );

    let (code, shown) = journal(&fleet, "show").await;
    assert_eq!((code, states(&shown, PARTITION)["shard1"], states(&shown, PARTITION)["shard2"]), (1, "ok", "lacks"));
    for line in ["repair", "repair --accept-loss", "repair --yes"] {
        let (code, told) = journal(&fleet, line).await;
        assert_eq!(
            (code, &told["losses"][0]["positions"], &told["losses"][0]["cause"]),
            (1, &6.into(), &"purged".into()),
            "{line}"
        );
        assert_eq!(lacking(&told), [("shard2", at(7).get())], "{line}: {told}");
        // One of the six was the other shard's, and is its row.
        assert_eq!(told["losses"][0]["known"], serde_json::json!([{ "shard": "shard1", "events": 1 }]));
        assert_eq!(told["losses"][0]["accepted"], false);
    }
    let told = fleet.verify().await.unwrap();
    assert!(!told.ok && told.lacking.len() == 1 && told.losses.is_empty(), "{told:?}");

    let (code, done) = journal(&fleet, "repair --yes --accept-loss").await;
    assert_eq!((code, &done["losses"][0]["accepted"]), (0, &true.into()), "{done}");
    assert_eq!(journal(&fleet, "repair").await.0, 0);
    assert_eq!(journal(&fleet, "repair --yes --accept-loss").await.0, 0, "once more, and nothing is left");
    // It looks again by itself; nobody restarts it.
    people(&fleet, &everybody, "after", 4).await;
    rows_are(&fleet, 11).await;
    let (code, shown) = journal(&fleet, "show").await;
    assert_eq!((code, states(&shown, PARTITION)["shard2"]), (0, "ok"), "{shown}");
    let verified = verified(&fleet).await;
    let loss = &verified.losses[0];
    assert_eq!((&loss["positions"], &loss["shards"]), (&6.into(), &serde_json::json!(["shard2"])), "{verified:?}");
}

#[tokio::test]
async fn a_message_gone_from_the_middle_stops_the_partition_until_it_is_accepted_for_new_shards_too() {
    let mut fleet = fleet(Flavor::Sqlite, one_partition(2)).await;
    let customers = with_customers(&fleet).await;
    let (one, two, gone) = (&customers[0][0], &customers[1][0], "gone".parse::<CustomerId>().unwrap());
    let admin = fleet.admin().unwrap();
    admin.place(gone.as_str(), "shard2").await.unwrap();
    people(&fleet, &[one, two], "early", 4).await;
    rows_are(&fleet, 4).await;
    fleet.writer().stop();
    people(&fleet, &[one, &gone, two], "late", 3).await;
    purge(&fleet, Some(&gone)).await;
    fleet.writer().restart_unready().unwrap();
    let log = fleet.writer().log().to_owned();
    let told = async || std::fs::read_to_string(&log).unwrap().contains("the journal has a gap: 0/6");
    wait::until("the writer tells of the gap", LIMIT, told).await.unwrap();
    let new = FleetShard::sqlite("new", fleet.folder());
    admin.register(std::slice::from_ref(&new)).await.unwrap();

    let (code, told) = journal(&fleet, "repair").await;
    assert_eq!((code, &told["losses"][0]["positions"], &told["losses"][0]["cause"]), (1, &1.into(), &"removed".into()));
    assert_eq!(lacking(&told), ["new", "shard1", "shard2"].map(|shard| (shard, at(6).get())));
    let (_, shown) = journal(&fleet, "show").await;
    assert!(states(&shown, PARTITION).values().all(|state| *state == "stops ahead"), "{shown}");
    assert_eq!(journal(&fleet, "repair --yes --accept-loss").await.0, 0);
    // All go on by themselves, and so does a shard that is registered now and begins before the
    // hole.
    let newer = FleetShard::sqlite("newer", fleet.folder());
    admin.register(std::slice::from_ref(&newer)).await.unwrap();
    for (customer, shard) in [("of-new", "new"), ("of-newer", "newer")] {
        admin.place(customer, shard).await.unwrap();
    }
    let all: Vec<CustomerId> = ["of-new", "of-newer"].map(|name| name.parse().unwrap()).to_vec();
    people(&fleet, &[one, two, &all[0], &all[1]], "after", 8).await;
    let there = async || {
        let counts = [&fleet.shards()[0], &fleet.shards()[1], &new, &newer]
            .map(|shard| sluice_testbed::rows::count(&shard.address));
        let counts = futures::future::join_all(counts).await;
        counts.into_iter().flatten().map(|shard| shard.rows).collect::<Vec<_>>() == [5, 5, 2, 2]
    };
    wait::until("every row but the lost one", LIMIT, there).await.unwrap();
    let verified = verified(&fleet).await;
    assert_eq!((verified.losses.len(), &verified.losses[0]["positions"]), (1, &1.into()), "{verified:?}");
    assert_eq!(journal(&fleet, "show").await.0, 0);
}

#[tokio::test]
async fn a_shard_restored_to_before_a_loss_that_was_accepted_for_another_one_stops_until_it_is_accepted_for_it_too() {
    let fleet = fleet(Flavor::Sqlite, one_partition(2)).await;
    let customers = with_customers(&fleet).await;
    let (one, two) = (&customers[0][0], &customers[1][0]);
    people(&fleet, &[one, two], "early", 4).await;
    stored_is(&fleet, "shard1", 4).await;
    stored_is(&fleet, "shard2", 4).await;
    let older = OlderShard::copy(&fleet.shards()[0].address).await.unwrap();
    let database = PathBuf::from(&fleet.shards()[1].address.database);
    let away = database.with_extension("away");
    std::fs::rename(&database, &away).unwrap();
    people(&fleet, &[one, one, one, two, two], "late", 5).await;
    stored_is_of_first(&fleet, 9).await;
    purge(&fleet, None).await;
    // A shard that is away is named, and what it lacks is not accepted before it is back.
    let (code, told) = journal(&fleet, "repair --yes --accept-loss").await;
    assert!(code == 1 && told["refused"][0].as_str().unwrap().contains("shard2"), "{told}");
    std::fs::rename(&away, &database).unwrap();
    assert_eq!(lacking(&journal(&fleet, "repair").await.1), [("shard2", at(5).get())]);
    assert_eq!(journal(&fleet, "repair --yes --accept-loss").await.0, 0);
    people(&fleet, &[one, two], "after", 2).await;
    rows_are(&fleet, 9).await;

    older.put_back().await.unwrap();
    let why = stopped(&fleet, "shard1").await;
    assert!(why.contains("accepted for other shards") && why.contains("0/5"), "{why}");
    let (code, told) = journal(&fleet, "repair").await;
    assert_eq!((code, lacking(&told)), (1, vec![("shard1", at(5).get())]), "{told}");
    let told = fleet.loadgen(NatsUser::Operator, &["verify", "--json", "--wait-s", "1"]).await.unwrap();
    assert_eq!((&told["ok"], &told["lacking"][0]["shard"]), (&false.into(), &"shard1".into()), "{told}");
    assert_eq!(journal(&fleet, "repair --yes --accept-loss").await.0, 0);
    rows_are(&fleet, 6).await;
    assert_eq!(verified(&fleet).await.losses.len(), 2);
}

/// As [`stored_is`], while the second shard is away.
async fn stored_is_of_first(fleet: &Fleet, n: u64) {
    let shard = &fleet.shards()[0];
    let there = async || {
        let journal_id = journal_of(&shard.address, &shard.name).await.unwrap();
        let identity = sluice_shard::Identity { shard: shard.name.clone(), journal_id };
        let positions = Shard::connect(&shard.address, &identity).await.unwrap().positions().await.unwrap();
        positions[&PARTITION].position == at(n)
    };
    wait::until("a stored position", LIMIT, there).await.unwrap();
}
