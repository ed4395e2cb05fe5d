//! A writer is frozen in the middle of a lane's transaction, whose locks it keeps so; another takes its partitions over.

use std::time::{Duration, Instant};

use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{
    Fleet, FleetOptions,
    lanes::LaneWatch,
    rows,
    traffic::{Load, Receiver, Traffic},
    wait,
};
use sqlx::{ConnectOptions, Connection, PgConnection, Row, sqlite::SqliteConnectOptions};

use crate::{
    LIMIT, connect,
    under_load::{begin, every_row_is_there, go_on, load, third_behind_a_proxy, third_says, three_shards},
};

/// What a statement may take; after half as much again a transaction counts as abandoned. By then the other writer has taken over.
const STATEMENT_MS: u64 = 4_000;
const ABANDONED: Duration = Duration::from_millis(STATEMENT_MS * 3 / 2);
/// Long enough that what is under way has come to rest when a process is frozen.
const AT_REST: Duration = Duration::from_millis(400);

/// Two writers that share a single partition, and take each other for dead after a second.
fn two_writers() -> FleetOptions {
    let statement = STATEMENT_MS.to_string();
    let args = ["--takeover-ms", "1000", "--shard-statement-ms", &statement, "--lane-patience-ms", "300"];
    FleetOptions {
        partitions: 1.try_into().unwrap(),
        workers: 1,
        writers: 2,
        writer_args: args.map(str::to_owned).to_vec(),
        ..FleetOptions::default()
    }
}

/// Which of the two writes: the one that reads the partition. It may still change hands soon after both have started.
async fn owner(fleet: &Fleet) -> Option<usize> {
    let mut owners = Vec::new();
    for writer in [0, 1] {
        if fleet.reading(writer).await.is_ok_and(|partitions| !partitions.is_empty()) {
            owners.push(writer);
        }
    }
    owners.pop().filter(|_| owners.is_empty())
}

/// Freezes whichever writer writes again and again, until `inside` says that it is in the middle of what it should be in; which
/// that is, and when it was.
async fn freeze_inside(fleet: &mut Fleet, mut inside: impl AsyncFnMut() -> bool) -> (usize, Instant) {
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "never met in the middle of it");
        let Some(writer) = owner(fleet).await else { continue };
        if !inside().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        fleet.writers()[writer].freeze();
        let since = Instant::now();
        tokio::time::sleep(AT_REST).await;
        if inside().await {
            return (writer, since);
        }
        fleet.writers()[writer].thaw();
    }
}

/// The databases of a MariaDB server in which a transaction has changed something and waits for its client.
async fn in_transaction(server: &ShardAddress) -> Vec<String> {
    // Asked again within a tenth of a second, the server answers from what it saw before.
    tokio::time::sleep(Duration::from_millis(110)).await;
    let query = "SELECT p.db FROM information_schema.innodb_trx t
        JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
        WHERE p.command = 'Sleep' AND t.trx_rows_modified > 0";
    let mut connection = rows::mysql_options(server).connect().await.unwrap();
    let found = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found.iter().map(|row| row.try_get_unchecked(0).unwrap()).collect()
}

/// How many lanes' sessions of that database are in that state within a transaction, the server waiting for their client.
async fn sessions(shard: &mut PgConnection, state: &str) -> i64 {
    let query =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice-lane' AND wait_event_type = 'Client'
        AND datname = current_database() AND xact_start IS NOT NULL AND state = $1";
    sqlx::query_scalar(query).bind(state).fetch_one(shard).await.unwrap()
}

async fn a_writer_frozen_in_the_middle_of_a_transaction_on_postgres(state: &str) {
    let (mut fleet, third, proxy) = third_behind_a_proxy(Flavor::Postgres, two_writers()).await;
    let [one, two] = [0, 1].map(|shard| fleet.shards()[shard].address.clone());
    // Each message has too many rows for one statement: its transaction has a middle.
    let receivers = ["1", "2", "3"].map(Receiver::small).to_vec();
    let traffic =
        Traffic::start(&fleet, Load { receivers, messages_per_s: 10, events_per_message: 300 }).await.unwrap();
    begin(&[&one, &two, &third.address]).await;
    // Each of its transactions takes some tenths of a second now, nearly all of them in the middle of it.
    proxy.delay(Duration::from_millis(100));
    let (mut in_one, mut in_two) = (connect(&one).await, connect(&two).await);
    let mut in_third = connect(&ShardAddress { port: two.port, ..third.address.clone() }).await;
    let only_the_third = async || {
        let (mut elsewhere, inside) = (0, sessions(&mut in_third, state).await == 1);
        for other in [&mut in_one, &mut in_two] {
            elsewhere += sessions(other, "active").await + sessions(other, "idle in transaction").await;
        }
        inside && elsewhere == 0
    };
    let (frozen, since) = freeze_inside(&mut fleet, only_the_third).await;
    let lanes = fleet.watch_lanes(1 - frozen);
    proxy.delay(Duration::ZERO);

    go_on(&[&one, &two]).await;
    waits_for_the_lock_and_gets_it(&lanes, "lock timeout", &third.address, since).await;
    // Its session is gone when it wakes; what it had in hand the other has stored meanwhile.
    fleet.writers()[frozen].thaw();
    go_on(&[&one, &two, &third.address]).await;
    assert!(fleet.verify().await.unwrap().ok);
    go_on(&[&one, &two, &third.address]).await;
    let sent = traffic.stop().await.unwrap();
    every_row_is_there(&fleet, &third.address, &sent).await;
}

/// The second writer is refused the lock for a while, and then has it: not before the first one's transaction counts as
/// abandoned, and not much later.
async fn waits_for_the_lock_and_gets_it(lanes: &LaneWatch, said: &str, third: &ShardAddress, since: Instant) {
    third_says(lanes, said).await;
    let before = rows::count(third).await.unwrap().rows;
    let more = async || rows::count(third).await.is_ok_and(|shard| shard.rows > before);
    wait::until("rows by the other writer", LIMIT, more).await.unwrap();
    let took = since.elapsed();
    // It may have been in that state for some tenths of a second before it was frozen. And one more wait for the lock, and one
    // before the next try, may come on top.
    assert!(took + AT_REST > ABANDONED && took < ABANDONED + Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn a_writer_frozen_between_two_statements_of_a_transaction_keeps_the_next_one_out_for_a_limited_time_only() {
    a_writer_frozen_in_the_middle_of_a_transaction_on_postgres("idle in transaction").await;
}

/// The server would wait for ever: none of its own limits reaches a client that sends no more rows.
#[tokio::test]
async fn a_writer_frozen_while_it_sends_rows_keeps_the_next_one_out_for_a_limited_time_only() {
    a_writer_frozen_in_the_middle_of_a_transaction_on_postgres("active").await;
}

#[tokio::test]
async fn a_writer_frozen_in_the_middle_of_a_transaction_on_mysql_keeps_the_next_one_out_for_a_limited_time_only() {
    let (mut fleet, third, proxy) = third_behind_a_proxy(Flavor::Mysql, two_writers()).await;
    let [one, two] = [0, 1].map(|shard| fleet.shards()[shard].address.clone());
    let traffic = load(&fleet, 20).await;
    begin(&[&one, &two, &third.address]).await;
    // As on PostgreSQL.
    proxy.delay(Duration::from_millis(100));
    // It is on the second one's server.
    let only_the_third = async || in_transaction(&two).await == ["shard3"] && in_transaction(&one).await.is_empty();
    let (frozen, since) = freeze_inside(&mut fleet, only_the_third).await;
    let lanes = fleet.watch_lanes(1 - frozen);
    proxy.delay(Duration::ZERO);

    go_on(&[&one, &two]).await;
    waits_for_the_lock_and_gets_it(&lanes, "Lock wait timeout", &third.address, since).await;
    fleet.writers()[frozen].thaw();
    go_on(&[&one, &two, &third.address]).await;
    let sent = traffic.stop().await.unwrap();
    every_row_is_there(&fleet, &third.address, &sent).await;
}

/// Whether somebody holds the lock of writers.
async fn is_locked(shard: &ShardAddress) -> bool {
    let options = SqliteConnectOptions::new().filename(&shard.database).busy_timeout(Duration::ZERO);
    let mut connection = options.connect().await.unwrap();
    let locked = sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await.is_err();
    connection.close().await.unwrap();
    locked
}

/// A file's locks are those of a process: nobody can take them from one that still lives. Its shard waits, and no other.
#[tokio::test]
async fn a_writer_frozen_in_the_middle_of_a_sqlite_transaction_delays_that_shard_alone_and_does_no_harm_when_it_wakes()
{
    let mut fleet = three_shards(Flavor::Sqlite, two_writers()).await;
    let [one, two, third] = [0, 1, 2].map(|shard| fleet.shards()[shard].address.clone());
    // Most of the time in the third shard's transactions.
    let mut receivers = vec![Receiver { customer: "3".to_owned(), address_bytes: 1_000 }; 6];
    receivers.extend([Receiver::small("1"), Receiver::small("2")]);
    let load = Load { receivers, messages_per_s: 320, events_per_message: 20 };
    let traffic = Traffic::start(&fleet, load).await.unwrap();
    go_on(&[&one, &two, &third]).await;
    let only_the_third = async || is_locked(&third).await && !is_locked(&one).await && !is_locked(&two).await;
    let (frozen, _) = freeze_inside(&mut fleet, only_the_third).await;
    let lanes = fleet.watch_lanes(1 - frozen);

    go_on(&[&one, &two]).await;
    third_says(&lanes, "database is locked").await;
    let before = rows::count(&third).await.unwrap().rows;
    go_on(&[&one, &two]).await;
    assert_eq!(rows::count(&third).await.unwrap().rows, before, "its lock is held");

    fleet.writers()[frozen].thaw();
    go_on(&[&one, &two, &third]).await;
    assert!(fleet.verify().await.unwrap().ok);
    let sent = traffic.stop().await.unwrap();
    every_row_is_there(&fleet, &third, &sent).await;
}
