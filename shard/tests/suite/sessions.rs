//! What is asked of a session is in force, or the database is refused with the reason.

use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use sluice_shard::{Class, Limits, Shard, ShardAddress, register};
use sqlx::{ConnectOptions, Executor, PgConnection, postgres::PgConnectOptions};

use crate::{
    mariadb_server::Mariadb,
    support::{
        Fixture, append, at, identity, names, numbered,
        pooler::{Pooler, Pooling},
        stored,
    },
};

fn behind(pooler: &Pooler, fixture: &Fixture) -> ShardAddress {
    ShardAddress { port: pooler.port, ..fixture.address.clone() }
}

/// A client that shares no code with the shard's.
async fn client(address: &ShardAddress) -> PgConnection {
    let options = PgConnectOptions::new_without_pgpass().host(&address.host).port(address.port);
    let options = options.username(&address.user).password(address.password.expose_secret());
    options.database(&address.database).connect().await.unwrap()
}

#[tokio::test]
async fn behind_a_pooler_that_drops_options_the_limits_are_in_force() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await.close().await;
    let pooler = Pooler::before(fixture.address.port, Pooling::BySession).await;
    let limits = Limits::of_statement(Duration::from_millis(1_500));
    let mut shard = Shard::connect_within(&behind(&pooler, &fixture), &identity(), limits).await.unwrap();
    let mut other = client(&fixture.address).await;
    other.execute("BEGIN; LOCK TABLE journal_position IN EXCLUSIVE MODE").await.unwrap();
    let began = Instant::now();
    let failed = tokio::time::timeout(Duration::from_secs(20), shard.append(&numbered(0, 5))).await;
    let failed = failed.expect("the lock is waited for without a limit").unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{}", failed.source);
    assert!(failed.source.to_string().contains("lock timeout"), "{}", failed.source);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_pooler_by_transaction_is_refused_by_name() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await.close().await;
    let pooler = Pooler::before(fixture.address.port, Pooling::ByTransaction).await;
    let address = behind(&pooler, &fixture);
    // The first has the server's session for itself, as far as anybody can tell.
    let mut first = Shard::connect(&address, &identity()).await.unwrap();
    append(&mut first, &numbered(0, 5)).await;
    for _ in 0..2 {
        let refused = Shard::connect(&address, &identity()).await.err().expect("it was to be refused");
        assert_eq!(refused.class, Class::Configuration, "{}", refused.source);
        assert!(refused.source.to_string().contains("pool_mode = session"), "{}", refused.source);
    }
    // That was no harm to the first.
    append(&mut first, &numbered(5, 1_000)).await;
}

#[tokio::test]
async fn nothing_is_stored_in_a_session_that_is_no_longer_as_it_was_set_up() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await.close().await;
    let pooler = Pooler::before(fixture.address.port, Pooling::ByTransaction).await;
    let address = behind(&pooler, &fixture);
    for rows in [5, 1_000] {
        let mut shard = Shard::connect(&address, &identity()).await.unwrap();
        let from = stored(&mut shard).await;
        append(&mut shard, &numbered(from, 1)).await;
        // What a pooler does with a session that it gives to somebody else.
        client(&address).await.execute("DISCARD ALL").await.unwrap();
        let refused = shard.append(&numbered(from + 1, rows)).await.unwrap_err();
        assert_eq!(refused.class, Class::Configuration, "{}", refused.source);
        assert!(refused.source.to_string().contains("shared with other clients"), "{}", refused.source);
        assert_eq!(stored(&mut fixture.connect().await).await, from + 1);
    }
}

#[tokio::test]
async fn a_pooler_whose_connections_are_used_up_is_named_as_what_may_be_in_the_way() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await.close().await;
    let pooler = Pooler::before(fixture.address.port, Pooling::OfOne).await;
    let address = behind(&pooler, &fixture);
    let _held = Shard::connect(&address, &identity()).await.unwrap();
    let refused = register(&address, &identity(), &[at(0, 0)]).await.unwrap_err();
    assert_eq!(refused.class, Class::Transient);
    assert!(refused.source.to_string().contains("pooler"), "{}", refused.source);
}

#[tokio::test]
async fn a_commit_is_on_the_disk_also_where_the_database_says_otherwise() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await.close().await;
    fixture
        .admin(&format!(
            "ALTER DATABASE {} SET synchronous_commit = off; CREATE TABLE seen (it text);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO seen VALUES (current_setting(''synchronous_commit'')); RETURN NULL; END';
             CREATE TRIGGER note AFTER INSERT ON person FOR EACH STATEMENT EXECUTE FUNCTION note()",
            fixture.address.database
        ))
        .await;
    append(&mut fixture.connect().await, &numbered(0, 5)).await;
    let seen: Vec<String> =
        sqlx::query_scalar("SELECT it FROM seen").fetch_all(&mut client(&fixture.address).await).await.unwrap();
    assert_eq!(seen, ["on"]);
}

/// Each of these, as the server's own default, would lose rows out of what is read, end the
/// session with each commit, or cut texts to fit.
#[tokio::test]
async fn a_mysql_servers_own_defaults_do_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let server = Mariadb::start(dir.path().join("mariadb"), 0, false).await.unwrap();
    server.create_database("shard").await.unwrap();
    let address = server.address("shard");
    let options = sqlx::mysql::MySqlConnectOptions::new().host(&address.host).port(address.port);
    let options = options.username(&address.user).password(address.password.expose_secret());
    let mut operator = options.connect().await.unwrap();
    let defaults = "SET GLOBAL completion_type = 'RELEASE', sql_select_limit = 2, sql_mode = '', autocommit = 0,
        tx_isolation = 'SERIALIZABLE', time_zone = '+05:00', innodb_lock_wait_timeout = 500";
    operator.execute(sqlx::raw_sql(defaults)).await.unwrap();
    register(&address, &identity(), &[at(0, 0), at(1, 0), at(2, 0), at(3, 0)]).await.unwrap();
    let mut shard = Shard::connect(&address, &identity()).await.unwrap();
    assert_eq!(shard.positions().await.unwrap().len(), 4);
    append(&mut shard, &numbered(0, 5)).await;
    append(&mut shard, &numbered(5, 1_000)).await;
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (1_005, 1_005));
}
