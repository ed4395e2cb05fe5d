//! Several directories at once, and what an administrator does to shards while events come.

use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, FleetShard, NatsUser, Process, admin::Admin, proxy::Proxy, rows, wait};

use crate::{
    LIMIT, connect, fleet, start_load,
    trim::{bounds, journal},
};

/// The URL of a database for the directories' own data.
async fn meta(fleet: &mut Fleet) -> (ShardAddress, String) {
    let server = &fleet.servers()[0];
    server.create_database("meta").await.unwrap();
    let address = server.address("meta");
    let ShardAddress { host, port, user, password, database, .. } = &address;
    let url = format!("postgres://{user}:{}@{host}:{port}/{database}", password.expose_secret());
    (address, url)
}

async fn directory(fleet: &Fleet, name: &str, meta: &str) -> (Process, Admin) {
    let key = fleet.folder().join("directories.key").display().to_string();
    let env = [("DIRECTORY_META", meta.to_owned()), ("DIRECTORY_KEY_FILE", key)];
    let (process, url) = fleet.start_further(name, NatsUser::Directory, &["serve"], &env).await.unwrap();
    (process, Admin::new(&url, &fleet.tokens().admin).unwrap())
}

/// How many customers are placed, as the list has it.
async fn placed(admin: &Admin) -> Vec<u64> {
    let shards = admin.shards().await.unwrap();
    shards.iter().map(|shard| shard["customers"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn directories_that_are_killed_again_and_again_while_they_place_leave_each_customer_on_one_shard() {
    let options = FleetOptions { shard_count: 1, writers: 0, ..FleetOptions::default() };
    let mut fleet = fleet(Flavor::Postgres, options).await;
    fleet.directory().stop();
    let (meta, url) = meta(&mut fleet).await;
    let (mut one, admin) = directory(&fleet, "directory-one", &url).await;
    let (mut two, _) = directory(&fleet, "directory-two", &url).await;
    let shards = ["a", "b", "c"].map(|name| FleetShard::sqlite(name, fleet.folder()));
    admin.register(&shards).await.unwrap();
    let args = ["run", "--workers", "2", "--idle-advance-ms", "500"];
    let (writer, _) = fleet.start_further("asking", NatsUser::Writer, &args, &[]).await.unwrap();
    let load = start_load(&fleet, 4_000, 24_000);
    let mut kills = 0;
    loop {
        let before = placed(&admin).await.iter().sum::<u64>();
        if before == 4_000 {
            break;
        }
        // In the middle of it: some are placed since, others are being placed.
        let killed = if kills % 2 == 0 { &mut two } else { &mut one };
        killed.kill();
        kills += 1;
        killed.restart().await.unwrap();
        let more = async || admin.shards().await.is_ok() && placed(&admin).await.iter().sum::<u64>() > before;
        wait::until("more customers placed", LIMIT, more).await.unwrap();
    }
    assert!(kills >= 2, "all were placed before a directory could be killed");
    load.await.unwrap().unwrap();
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
    let counts = "SELECT count(*), count(DISTINCT customer) FROM route";
    let routes: (i64, i64) = sqlx::query_as(counts).fetch_one(&mut connect(&meta).await).await.unwrap();
    assert_eq!(routes, (4_000, 4_000));
    let placed = placed(&admin).await;
    let mut there = Vec::new();
    for shard in &shards {
        there.push(rows::count(&shard.address).await.unwrap().customers.unsigned_abs());
    }
    assert_eq!(placed, there);
    assert!(placed.iter().all(|customers| *customers > 1_000), "{placed:?}");
    drop(writer);
}

/// Sets the password of the server's user, and cuts all its connections.
async fn rotate(address: &ShardAddress, new: &str) -> ShardAddress {
    let mut operator = connect(address).await;
    sqlx::raw_sql(&format!("ALTER ROLE {} PASSWORD '{new}'", address.user)).execute(&mut operator).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
        AND backend_type = 'client backend'";
    sqlx::raw_sql(cut).execute(&mut operator).await.unwrap();
    ShardAddress { password: new.into(), ..address.clone() }
}

#[tokio::test]
async fn a_rotated_password_is_picked_up_without_a_restart() {
    let mut fleet = fleet(Flavor::Postgres, FleetOptions { shard_count: 1, ..FleetOptions::default() }).await;
    let admin = fleet.admin().unwrap();
    let pids = (fleet.writer().pid(), fleet.directory().pid());
    let lanes = fleet.watch_lanes(0);
    let accepted = async || fleet.load(&["--customers", "7", "--count", "500"]).await.unwrap().accepted;
    assert_eq!(accepted().await, 500);
    assert!(fleet.verify().await.unwrap().ok);
    let first = fleet.shards()[0].address.clone();

    // The lane cannot get in, and says so; the administrator tells the directory.
    let second = rotate(&first, "the second").await;
    assert_eq!(accepted().await, 500);
    wait::until("a lane that is not let in", LIMIT, async || lanes.told("shard1", "password")).await.unwrap();
    let wrong = admin.change("shard1", &json!({"password": "a wrong one"})).await.unwrap_err().to_string();
    assert!(wrong.contains("shard_refused") && !wrong.contains("a wrong one"), "{wrong}");
    admin.change("shard1", &json!({"password": "the second"})).await.unwrap();
    let all = async |address: &ShardAddress, rows: i64| {
        let there = async || rows::count(address).await.is_ok_and(|found| found.rows == rows);
        wait::until("all rows", LIMIT, there).await.unwrap();
    };
    all(&second, 1_000).await;

    // From now on the password stands in a file, and nobody has to be told.
    let file = fleet.folder().join("shard1.password");
    std::fs::write(&file, "the second\n").unwrap();
    admin.change("shard1", &json!({"password_file": file})).await.unwrap();
    let third = rotate(&second, "the third").await;
    std::fs::write(&file, "the third\n").unwrap();
    assert_eq!(accepted().await, 500);
    all(&third, 1_500).await;
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(pids, (fleet.writer().pid(), fleet.directory().pid()));
}

#[tokio::test]
async fn a_password_is_changed_while_the_shards_table_is_locked() {
    let fleet = fleet(Flavor::Postgres, FleetOptions { shard_count: 1, writers: 0, ..FleetOptions::default() }).await;
    let second = rotate(&fleet.shards()[0].address, "the second").await;
    let mut holder = connect(&second).await;
    sqlx::raw_sql("BEGIN; LOCK TABLE person IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
    let begun = Instant::now();
    fleet.admin().unwrap().change("shard1", &json!({"password": "the second"})).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "no row is looked at: {:?}", begun.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
}

#[tokio::test]
async fn a_lane_follows_its_shard_to_another_address_though_the_old_one_answers_still() {
    let mut fleet = fleet(Flavor::Postgres, FleetOptions { shard_count: 1, ..FleetOptions::default() }).await;
    let address = fleet.shards()[0].address.clone();
    let load = async || fleet.load(&["--customers", "7", "--count", "100"]).await.unwrap().accepted;
    let rows = async || rows::count(&address).await.unwrap().rows;
    assert_eq!(load().await, 100);
    wait::until("the first rows", LIMIT, async || rows().await == 100).await.unwrap();
    let proxy = Proxy::before(address.port).await.unwrap();
    let mut operator = connect(&address).await;
    let changed: String = sqlx::query_scalar("SELECT now()::text").fetch_one(&mut operator).await.unwrap();
    fleet.admin().unwrap().change("shard1", &json!({"port": proxy.port()})).await.unwrap();
    // Writers ask every ten seconds; then no connection is left that was there before.
    let older = "SELECT count(*) FROM pg_stat_activity WHERE backend_start < $1::timestamptz
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let left = async || {
        let mut operator = connect(&address).await;
        sqlx::query_scalar::<_, i64>(older).bind(&changed).fetch_one(&mut operator).await.unwrap()
    };
    // The operator's own, from before, is one of them.
    wait::until("lanes at the new address", LIMIT, async || left().await == 1).await.unwrap();
    proxy.hold();
    assert_eq!(load().await, 100);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rows().await, 100, "rows came by another way than the new address");
    proxy.release();
    wait::until("the other rows", LIMIT, async || rows().await == 200).await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
    fleet.writer().stop();
}

#[tokio::test]
async fn a_dead_shard_that_nobody_is_on_is_taken_out_and_no_longer_holds_the_journal() {
    let writer_args = ["--retain-s", "0", "--trim-interval-ms", "100"].map(str::to_owned).to_vec();
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions { writer_args, ..FleetOptions::default() }).await;
    let admin = fleet.admin().unwrap();
    for (customer, shard) in [("1", "shard1"), ("2", "shard2"), ("3", "shard1"), ("4", "shard2")] {
        admin.place(customer, shard).await.unwrap();
    }
    let dead = fleet.shards()[2].address.database.clone();
    let url = fleet.writer_url(0);
    let lanes = async || {
        let report: Value = reqwest::get(format!("{url}/lanes")).await.unwrap().json().await.unwrap();
        let names = report["lanes"].as_array().unwrap().iter().map(|lane| lane["shard"].as_str().unwrap().to_owned());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    assert!(lanes().await.contains("shard3"));
    fleet.writer().stop();
    for side in ["", "-wal", "-shm"] {
        let _ = std::fs::rename(format!("{dead}{side}"), format!("{dead}{side}.gone"));
    }
    fleet.writer().restart().await.unwrap();
    let load = async || fleet.load(&["--customers", "4", "--count", "2000"]).await.unwrap().accepted;
    assert_eq!(load().await, 2_000);
    let journal = journal(&fleet).await;
    let messages = async || bounds(&journal).await.values().map(|bounds| bounds.messages).sum::<u64>();
    assert!(messages().await > 50, "a shard that lacks nothing yet holds the journal");
    let refused = admin.remove("shard3").await.unwrap_err().to_string();
    assert!(refused.contains("shard_not_closed"), "{refused}");
    admin.change("shard3", &json!({"state": "closed"})).await.unwrap();
    admin.remove("shard3").await.unwrap();
    wait::until("a journal that is trimmed", LIMIT, async || messages().await <= 4).await.unwrap();
    wait::until("no lane of that shard", LIMIT, async || !lanes().await.contains("shard3")).await.unwrap();
    assert_eq!(load().await, 2_000);
    let stored = async || {
        let first = rows::count(&fleet.shards()[0].address).await.unwrap().rows;
        first + rows::count(&fleet.shards()[1].address).await.unwrap().rows == 4_000
    };
    wait::until("every row", LIMIT, stored).await.unwrap();
}
