//! What only MySQL and MariaDB can show.

use std::time::{Duration, Instant};

use sluice_model::{Person, Rows};
use sluice_shard::{Appended, Batch, Class, Limits, Operation, Shard, ShardAddress, register};
use sqlx::{Executor, MySqlConnection, Row};

use crate::{
    mariadb_server::Mariadb,
    support::{
        Fixture, append, at, customer, identity, named, names, numbered, of, refused, step, stored, takes_nothing,
    },
};

/// A batch of one row of customer 42.
fn one_row(name: &str, address: &str) -> Batch {
    let mut rows = Rows::new();
    rows.push(&customer("42"), at(0, 1).event(0), &Person { name: name.into(), address: address.into() });
    Batch { rows, advances: vec![step(0, 0, 1)] }
}

async fn run(connection: &mut MySqlConnection, sql: &str) {
    connection.execute(sqlx::raw_sql(sql)).await.unwrap();
}

/// Returns once some transaction of the connection's database waits for a lock.
async fn until_it_waits_for_a_lock(connection: &mut MySqlConnection) {
    let waiting = "SELECT COUNT(*) FROM information_schema.innodb_trx t
        JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
        WHERE p.db = DATABASE() AND t.trx_state = 'LOCK WAIT'";
    let began = Instant::now();
    while connection.fetch_one(sqlx::raw_sql(waiting)).await.unwrap().get::<i64, _>(0) == 0 {
        assert!(began.elapsed() < Duration::from_secs(15), "nobody comes to the locked row");
        // Asked again within a tenth of a second, the server answers from what it saw before.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test]
async fn a_database_of_latin1_stores_emoji_all_the_same() {
    let fixture = Fixture::mysql().await;
    let mut connection = fixture.mysql_connection().await;
    let default = connection.fetch_one(sqlx::raw_sql("SELECT @@character_set_database")).await.unwrap();
    assert_eq!(default.try_get_unchecked::<String, _>(0).unwrap(), "latin1");
    let mut shard = fixture.shard().await;
    append(&mut shard, &one_row("Ada 👩‍🚀", "Łódź")).await;
    let row = &shard.customer_rows(&customer("42"), None, 1).await.unwrap()[0];
    assert_eq!((row.name.as_str(), row.address.as_str()), ("Ada 👩‍🚀", "Łódź"));
    let sql = "SELECT COUNT(*) FROM person WHERE HEX(name) = HEX(CONVERT('Ada 👩‍🚀' USING utf8mb4))";
    assert_eq!(connection.fetch_one(sqlx::raw_sql(sql)).await.unwrap().get::<i64, _>(0), 1);
}

#[tokio::test]
async fn a_table_that_knows_no_transactions_is_refused() {
    for table in ["person", "journal_position", "sluice_shard"] {
        let fixture = Fixture::mysql().await;
        fixture.shard().await;
        fixture.admin(&format!("ALTER TABLE {table} ENGINE = MyISAM")).await;
        let registered = register(&fixture.address, &identity(), &[at(0, 0)]).await.unwrap_err();
        let connected = Shard::connect(&fixture.address, &identity()).await.err().expect("MyISAM was to be refused");
        for refused in [registered, connected] {
            assert_eq!(refused.class, Class::Configuration);
            let said = refused.source.to_string();
            assert!(said.contains("InnoDB") && said.contains(table), "{said}");
        }
    }
}

#[tokio::test]
async fn a_person_table_that_takes_customers_for_one_another_is_refused() {
    let fixture = Fixture::mysql().await;
    for column in
        ["VARCHAR(64) COLLATE utf8mb4_general_ci", "VARCHAR(9) COLLATE utf8mb4_bin", "VARCHAR(64) CHARSET latin1"]
    {
        fixture
            .admin(&format!(
                "CREATE OR REPLACE TABLE person (customer_id {column} NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
                 address TEXT NOT NULL, PRIMARY KEY (customer_id, id)) CHARSET utf8mb4"
            ))
            .await;
        let refused = register(&fixture.address, &identity(), &[at(0, 0)]).await.unwrap_err();
        assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::Register), "{column}");
        assert!(refused.source.to_string().contains("customer_id"), "{}", refused.source);
    }
}

/// In strict mode each row that does not fit would be refused for its value, and become a dead
/// letter.
#[tokio::test]
async fn a_column_that_was_changed_to_hold_fewer_texts_is_refused_at_connecting() {
    let fixture = Fixture::mysql().await;
    fixture.shard().await.close().await;
    fixture.admin("ALTER TABLE person MODIFY name TEXT CHARACTER SET latin1 NOT NULL").await;
    let refused = Shard::connect(&fixture.address, &identity()).await.err().expect("it was to be refused");
    assert_eq!(refused.class, Class::Configuration, "{}", refused.source);
    let said = refused.source.to_string();
    assert!(said.contains("name") && said.contains("latin1") && said.contains("utf8mb4"), "{said}");
}

/// As the original's own table has them. What is too long becomes a dead letter.
#[tokio::test]
async fn short_columns_of_somebody_elses_table_are_taken() {
    let fixture = Fixture::mysql().await;
    fixture
        .admin(
            "CREATE TABLE person (customer_id VARCHAR(64) COLLATE utf8mb4_bin NOT NULL, id BIGINT NOT NULL,
             name VARCHAR(255) NOT NULL, address VARCHAR(255) NOT NULL, PRIMARY KEY (customer_id, id)) CHARSET utf8mb4",
        )
        .await;
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 5)).await;
    let mut batch = named(5, [&*"x".repeat(300), "next"]);
    let Appended::Refused(refused) = shard.append(&batch).await.unwrap() else { panic!("one is too long") };
    batch.rows.retain(|id| refused.iter().all(|row| row.id != id));
    append(&mut shard, &batch).await;
    assert_eq!(names(&mut shard).await.len(), 6);
}

#[tokio::test]
async fn an_over_long_value_is_refused_and_not_cut_to_fit() {
    let fixture = Fixture::mysql().await;
    // Whatever the server's own mode is.
    fixture.admin("SET GLOBAL sql_mode = ''").await;
    let mut shard = fixture.shard().await;
    let mut batch = one_row(&"x".repeat(65_536), "");
    let refused = shard.append(&batch).await.unwrap();
    assert!(matches!(refused, Appended::Refused(rows) if rows.len() == 1));
    batch.rows.clear();
    append(&mut shard, &batch).await;
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (1, 0));
    fixture.admin("SET GLOBAL sql_mode = DEFAULT").await;
}

#[tokio::test]
async fn a_partition_that_is_missing_holds_rows_back_until_some_are_taken() {
    let fixture = Fixture::mysql().await;
    let mut shard = fixture.shard().await;
    let partitions = "ALTER TABLE person PARTITION BY LIST COLUMNS (customer_id) (PARTITION none VALUES IN ('1'))";
    fixture.admin(partitions).await;
    takes_nothing(&mut shard, &of("42", 0, "Ada")).await;
    takes_nothing(&mut shard, &of("43", 0, "Ada")).await;
    fixture.admin("ALTER TABLE person ADD PARTITION (PARTITION one VALUES IN ('42'))").await;
    append(&mut shard, &of("42", 0, "Ada")).await;
    for mut shard in [shard, fixture.connect().await] {
        refused(&mut shard, &of("43", 1, "Ada")).await;
        refused(&mut shard, &of("44", 1, "Ada")).await;
    }
}

#[tokio::test]
async fn a_value_that_a_column_of_another_kind_cannot_take_is_a_refused_row() {
    let fixture = Fixture::mysql().await;
    let mut shard = fixture.shard().await;
    append(&mut shard, &of("42", 0, "Ada")).await;
    // No plain row is taken any more: what was stored last tells that rows are.
    fixture.admin("ALTER TABLE person MODIFY name ENUM ('Ada', 'Grace') NOT NULL").await;
    refused(&mut shard, &of("42", 1, "Mary")).await;
    append(&mut shard, &of("43", 1, "Grace")).await;
    fixture.admin("DELETE FROM person; ALTER TABLE person MODIFY name INT NOT NULL").await;
    takes_nothing(&mut shard, &of("42", 2, "Mary")).await;
}

/// In the middle of the search for a refused row, some of whose batch mates are in: the server chooses us as its victim, takes
/// the whole transaction back, and would let all that follows commit for itself.
#[tokio::test]
async fn after_a_deadlock_nothing_is_committed() {
    let fixture = Fixture::mysql().await;
    let mut shard = fixture.shard().await;
    fixture.refuse_name("poison").await;
    fixture.admin("CREATE TABLE heavy (n INT) ENGINE = InnoDB").await;
    let mut other = fixture.mysql_connection().await;
    // The server's victim is the one that has changed less.
    run(&mut other, "BEGIN; INSERT INTO heavy SELECT seq FROM seq_1_to_5000").await;
    let locked = at(0, 80).event(0).get();
    run(&mut other, &format!("INSERT INTO person VALUES ('42', {locked}, 'not ours', '')")).await;

    let batch = named(0, (0..100).map(|index| if index == 20 { "poison" } else { "good" }));
    let lane = tokio::spawn(async move { shard.append(&batch).await });
    // It has its position by then, and rows before that one.
    until_it_waits_for_a_lock(&mut other).await;
    run(&mut other, "UPDATE journal_position SET stamp = 5 WHERE journal_partition = 0").await;
    let failed = lane.await.unwrap().unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{}", failed.source);
    assert!(failed.source.to_string().contains("1213"), "{}", failed.source);
    run(&mut other, "ROLLBACK").await;
    let mut reader = fixture.connect().await;
    assert_eq!((stored(&mut reader).await, names(&mut reader).await.len()), (0, 0));
}

#[tokio::test]
async fn a_transaction_of_a_writer_that_froze_ends_by_itself() {
    let fixture = Fixture::mysql().await;
    fixture.shard().await;
    let limits = Limits::of_statement(Duration::from_secs(3));
    let mut frozen = Shard::connect_within(&fixture.address, &identity(), limits).await.unwrap();
    let mut next = Shard::connect_within(&fixture.address, &identity(), limits).await.unwrap();
    let mut other = fixture.mysql_connection().await;
    let locked = at(0, 2).event(0).get();
    run(&mut other, &format!("BEGIN; INSERT INTO person VALUES ('42', {locked}, 'not ours', '')")).await;
    let batch = numbered(0, 2);
    let mut transaction = Box::pin(frozen.append(&batch));
    tokio::select! {
        done = &mut transaction => panic!("it waits for a row: {done:?}"),
        () = until_it_waits_for_a_lock(&mut other) => {}
    }
    // Its transaction is open, and nobody goes on with it.
    run(&mut other, "ROLLBACK").await;
    let began = Instant::now();
    while let Err(refused) = next.append(&numbered(0, 5)).await {
        assert_eq!(refused.class, Class::Transient, "{refused}: {}", refused.source);
        assert!(began.elapsed() < Duration::from_secs(30), "the frozen writer keeps its lock for ever");
    }
    // Not at once: for so long it may have been at work.
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    let failed = transaction.await.unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{failed}: {}", failed.source);
    let mut reader = fixture.connect().await;
    assert_eq!((stored(&mut reader).await, names(&mut reader).await.len()), (5, 5));
}

#[tokio::test]
async fn a_killed_server_is_transient_and_has_kept_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Mariadb::start(dir.path().join("mariadb"), 0, false).await.unwrap();
    server.create_database("shard").await.unwrap();
    let address = server.address("shard");
    register(&address, &identity(), &[at(0, 0)]).await.unwrap();
    let mut shard = Shard::connect(&address, &identity()).await.unwrap();
    append(&mut shard, &numbered(0, 10)).await;
    server.kill();
    let failed = shard.append(&numbered(10, 10)).await.unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{failed}: {}", failed.source);
    let refused = Shard::connect(&address, &identity()).await.err().expect("the server is gone");
    assert_eq!((refused.class, refused.operation), (Class::Transient, Operation::Connect));
    server.restart().await.unwrap();
    let mut shard = Shard::connect(&address, &identity()).await.unwrap();
    assert_eq!(stored(&mut shard).await, 10);
    append(&mut shard, &numbered(10, 10)).await;
    assert_eq!(names(&mut shard).await.len(), 20);
}

#[tokio::test]
async fn a_wrong_password_or_database_is_a_matter_of_configuration() {
    let fixture = Fixture::mysql().await;
    fixture.shard().await;
    let password = ShardAddress { password: "wrong".to_owned().into(), ..fixture.address.clone() };
    let none = ShardAddress { password: String::new().into(), ..fixture.address.clone() };
    let database = ShardAddress { database: "no_such".into(), ..fixture.address.clone() };
    for address in [password, none, database] {
        let refused = Shard::connect(&address, &identity()).await.err().expect("it was to be refused");
        assert_eq!((refused.class, refused.operation), (Class::Configuration, Operation::Connect));
    }
}
