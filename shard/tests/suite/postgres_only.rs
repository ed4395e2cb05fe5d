//! What only a server can show.

use std::time::Duration;

use secrecy::ExposeSecret;
use sluice_shard::{Class, Limits, Operation, Shard, ShardAddress, register};
use sqlx::{ConnectOptions, Executor, postgres::PgConnectOptions};

use crate::{
    postgres_server::Postgres,
    support::{Fixture, append, at, identity, names, numbered, stored},
};

fn postgres_options(address: &ShardAddress) -> PgConnectOptions {
    let ShardAddress { host, port, user, password, database, .. } = address;
    let options = PgConnectOptions::new_without_pgpass().host(host).port(*port).username(user).database(database);
    options.password(password.expose_secret())
}

async fn refusal(address: &ShardAddress) -> (Class, Operation) {
    let refused = Shard::connect(address, &identity()).await.err().expect("the connection was to be refused");
    (refused.class, refused.operation)
}

#[tokio::test]
async fn a_wrong_password_or_database_is_a_matter_of_configuration() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await;
    let password = ShardAddress { password: "wrong".to_owned().into(), ..fixture.address.clone() };
    assert_eq!(refusal(&password).await, (Class::Configuration, Operation::Connect));
    let database = ShardAddress { database: "no_such".into(), ..fixture.address.clone() };
    assert_eq!(refusal(&database).await, (Class::Configuration, Operation::Connect));
}

#[tokio::test]
async fn a_server_that_does_not_listen_is_transient() {
    let fixture = Fixture::postgres().await;
    // Bound, so that nobody else gets it, but never listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = ShardAddress { port: socket.local_addr().unwrap().port(), ..fixture.address.clone() };
    assert_eq!(refusal(&nobody).await, (Class::Transient, Operation::Connect));
}

#[tokio::test]
async fn a_server_that_never_answers_is_transient_within_a_limit() {
    let fixture = Fixture::postgres().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = ShardAddress { port: listener.local_addr().unwrap().port(), ..fixture.address.clone() };
    let refused = tokio::time::timeout(Duration::from_secs(60), refusal(&silent)).await;
    assert_eq!(refused.expect("the connection was to be given up"), (Class::Transient, Operation::Connect));
}

#[tokio::test]
async fn a_killed_server_is_transient_and_has_kept_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Postgres::start(dir.path().join("postgres"), 0, false).await.unwrap();
    server.create_database("shard").await.unwrap();
    let address = server.address("shard");
    register(&address, &identity(), &[at(0, 0)]).await.unwrap();
    let mut shard = Shard::connect(&address, &identity()).await.unwrap();
    append(&mut shard, &numbered(0, 10)).await;
    server.kill();
    let failed = shard.append(&numbered(10, 10)).await.unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{failed}: {}", failed.source);
    assert_eq!(refusal(&address).await.0, Class::Transient);
    server.restart().await.unwrap();
    let mut shard = Shard::connect(&address, &identity()).await.unwrap();
    assert_eq!(stored(&mut shard).await, 10);
    append(&mut shard, &numbered(10, 10)).await;
    assert_eq!(names(&mut shard).await.len(), 20);
}

#[tokio::test]
async fn a_read_only_server_is_transient() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await;
    let database = &fixture.address.database;
    fixture.admin(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;
    let mut shard = fixture.connect().await;
    let failed = shard.append(&numbered(0, 1)).await.unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{failed}: {}", failed.source);
}

#[tokio::test]
async fn a_row_that_a_trigger_swallows_is_an_invariant() {
    let fixture = Fixture::postgres().await;
    let mut shard = fixture.shard().await;
    fixture
        .admin(
            "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER swallow BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION swallow()",
        )
        .await;
    let failed = shard.append(&numbered(0, 5)).await.unwrap_err();
    assert_eq!(failed.class, Class::Invariant);
    assert_eq!(stored(&mut fixture.connect().await).await, 0);
}

/// The database itself says by which statement rows come.
#[tokio::test]
async fn a_small_batch_is_one_statement_and_a_large_one_a_copy() {
    let fixture = Fixture::postgres().await;
    let mut shard = fixture.shard().await;
    fixture
        .admin(
            "CREATE TABLE seen (statement text, rows bigint);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO seen SELECT left(btrim(current_query(), E' \\n'), 4), (SELECT count(*) FROM stored);
                 RETURN NULL;
             END $$;
             CREATE TRIGGER note AFTER INSERT ON person REFERENCING NEW TABLE AS stored
                 FOR EACH STATEMENT EXECUTE FUNCTION note()",
        )
        .await;
    append(&mut shard, &numbered(0, 5)).await;
    append(&mut shard, &numbered(5, 1_000)).await;
    let mut connection = postgres_options(&fixture.address).connect().await.unwrap();
    let seen: Vec<(String, i64)> =
        sqlx::query_as("SELECT statement, rows FROM seen ORDER BY rows").fetch_all(&mut connection).await.unwrap();
    assert_eq!(seen, [("WITH".to_owned(), 5), ("COPY".to_owned(), 1_000)]);
}

/// What a lane's process leaves behind that is frozen while it sends its rows: a session that the server waits for, for ever.
#[tokio::test]
async fn a_writer_that_went_silent_in_the_middle_of_its_rows_is_ended_by_the_next_one() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await;
    let options = postgres_options(&fixture.address).application_name("sluice-lane");
    let mut silent = options.options([("statement_timeout", "500ms")]).connect().await.unwrap();
    silent.execute("BEGIN").await.unwrap();
    silent.execute("UPDATE journal_position SET position = position + 1 WHERE journal_partition = 0").await.unwrap();
    let copy = silent.copy_in_raw("COPY person FROM STDIN").await.unwrap();

    let limits = Limits::of_statement(Duration::from_millis(1_200));
    let mut shard = Shard::connect_within(&fixture.address, &identity(), limits).await.unwrap();
    let began = std::time::Instant::now();
    let mut refusals = 0;
    while let Err(refused) = shard.append(&numbered(0, 5)).await {
        assert_eq!(refused.class, Class::Transient, "{refused}: {}", refused.source);
        refusals += 1;
        assert!(began.elapsed() < Duration::from_secs(30), "the silent session holds its lock for ever");
    }
    // Not at once: for so long it may have been at work.
    assert!(refusals > 0 && began.elapsed() > limits.abandoned() - Duration::from_millis(500), "{:?}", began.elapsed());
    assert!(copy.finish().await.is_err(), "its session was to be ended");
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (5, 5));
}
