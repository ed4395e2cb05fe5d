//! What only a server can show.

use std::time::Duration;

use secrecy::ExposeSecret;
use sluice_shard::{Appended, Class, Limits, Operation, Shard, ShardAddress, register};
use sqlx::{ConnectOptions, Executor, postgres::PgConnectOptions};

use crate::{
    postgres_server::Postgres,
    support::{Fixture, append, at, identity, names, numbered, of, refused, stored, takes_nothing},
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
async fn a_row_that_a_trigger_swallows_is_refused_and_a_trigger_that_swallows_all_is_a_matter_of_configuration() {
    let fixture = Fixture::postgres().await;
    let mut shard = fixture.shard().await;
    let swallow = async |rows: &str| {
        let function = format!(
            "CREATE OR REPLACE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN IF {rows} THEN RETURN NULL; END IF; RETURN NEW; END $$"
        );
        fixture.admin(&function).await;
    };
    swallow("NEW.name = 'person 3'").await;
    fixture.admin("CREATE TRIGGER swallow BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION swallow()").await;
    // By one statement, and by a copy.
    for count in [5, 1_000] {
        let appended = shard.append(&numbered(0, count)).await.unwrap();
        assert!(matches!(&appended, Appended::Refused(rows) if rows.len() == 1 && rows[0].index == 3), "{appended:?}");
    }
    swallow("true").await;
    let said = takes_nothing(&mut shard, &numbered(0, 5)).await;
    assert!(said.contains("0 of 1 rows"), "{said}");
    assert_eq!(stored(&mut fixture.connect().await).await, 0);
}

#[tokio::test]
async fn a_partition_that_is_missing_holds_rows_back_until_some_are_taken() {
    let fixture = Fixture::postgres().await;
    let table = "CREATE TABLE person (customer_id TEXT COLLATE \"C\" NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
        address TEXT NOT NULL, PRIMARY KEY (customer_id, id)) PARTITION BY LIST (customer_id)";
    fixture.admin(table).await;
    let mut shard = fixture.shard().await;
    takes_nothing(&mut shard, &of("42", 0, "Ada")).await;
    takes_nothing(&mut shard, &of("43", 0, "Ada")).await;
    fixture.admin("CREATE TABLE one PARTITION OF person FOR VALUES IN ('42')").await;
    append(&mut shard, &of("42", 0, "Ada")).await;
    // Now it takes rows, and whoever has no partition holds nobody up: neither one, nor many, nor
    // after a restart.
    for mut shard in [shard, fixture.connect().await] {
        refused(&mut shard, &of("43", 1, "Ada")).await;
        refused(&mut shard, &of("44", 1, "Ada")).await;
    }
}

#[tokio::test]
async fn a_partition_of_ids_that_is_missing_holds_rows_back() {
    let fixture = Fixture::postgres().await;
    let (end, next) = (at(0, 5).event(0).get(), at(0, 500).event(0).get());
    let table = format!(
        "CREATE TABLE person (customer_id TEXT COLLATE \"C\" NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
         address TEXT NOT NULL, PRIMARY KEY (customer_id, id)) PARTITION BY RANGE (id);
         CREATE TABLE first PARTITION OF person FOR VALUES FROM (0) TO ({end})"
    );
    fixture.admin(&table).await;
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 4)).await;
    takes_nothing(&mut shard, &numbered(4, 3)).await;
    fixture.admin(&format!("CREATE TABLE second PARTITION OF person FOR VALUES FROM ({end}) TO ({next})")).await;
    append(&mut fixture.connect().await, &numbered(4, 3)).await;
}

#[tokio::test]
async fn a_constraint_that_waits_for_the_commit_refuses_its_row_and_stops_nobody() {
    let fixture = Fixture::postgres().await;
    let mut shard = fixture.shard().await;
    fixture
        .admin(
            "CREATE TABLE known (customer TEXT PRIMARY KEY); INSERT INTO known VALUES ('42');
             ALTER TABLE person ADD FOREIGN KEY (customer_id) REFERENCES known DEFERRABLE INITIALLY DEFERRED",
        )
        .await;
    append(&mut shard, &numbered(0, 2)).await;
    refused(&mut shard, &of("43", 2, "Ada")).await;
    append(&mut shard, &numbered(2, 1)).await;
    fixture.admin("DELETE FROM person; DELETE FROM known").await;
    takes_nothing(&mut shard, &numbered(3, 1)).await;
}

#[tokio::test]
async fn a_value_that_an_index_or_an_expression_cannot_take_is_a_refused_row() {
    let fixture = Fixture::postgres().await;
    let mut shard = fixture.shard().await;
    fixture
        .admin(
            "CREATE INDEX own ON person (address);
             ALTER TABLE person ADD CHECK (name !~ '^n' OR name::numeric > 0)",
        )
        .await;
    // What does not compress: the server's own figure is 2,704 bytes.
    let mut random = 1u64;
    let long: String = std::iter::repeat_with(|| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + u8::try_from((random >> 33) % 90).unwrap())
    })
    .take(4_000)
    .collect();
    let mut batch = of("42", 0, "Ada");
    batch.rows.clear();
    let person = sluice_model::Person { name: "Ada".into(), address: long.into() };
    batch.rows.push(&crate::support::customer("42"), at(0, 1).event(0), &person);
    refused(&mut shard, &batch).await;
    refused(&mut shard, &of("42", 0, "not a number")).await;
    append(&mut shard, &of("42", 0, "Ada")).await;
}

/// The same code says that one row is shut out, and that our user may not insert any.
#[tokio::test]
async fn a_row_that_a_policy_shuts_out_is_refused_and_a_right_that_is_missing_is_a_matter_of_configuration() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await;
    fixture
        .admin(
            "CREATE ROLE plain LOGIN PASSWORD 'plain';
             GRANT SELECT, INSERT ON person TO plain; GRANT SELECT, UPDATE ON journal_position TO plain;
             GRANT SELECT ON sluice_shard TO plain;
             ALTER TABLE person ENABLE ROW LEVEL SECURITY;
             CREATE POLICY one ON person USING (true) WITH CHECK (customer_id <> '42')",
        )
        .await;
    let (user, password) = ("plain".to_owned(), "plain".to_owned().into());
    let address = ShardAddress { user, password, ..fixture.address.clone() };
    let mut shard = Shard::connect(&address, &identity()).await.unwrap();
    refused(&mut shard, &of("42", 0, "Ada")).await;
    append(&mut shard, &of("43", 0, "Ada")).await;
    fixture.admin("REVOKE INSERT ON person FROM plain").await;
    takes_nothing(&mut shard, &of("43", 1, "Ada")).await;
    fixture.admin("DROP OWNED BY plain; DROP ROLE plain").await;
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
