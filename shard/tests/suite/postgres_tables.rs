//! Tables of PostgreSQL that `COPY` and `INSERT` do not fill alike, or that cannot be a shard's.

use secrecy::ExposeSecret;
use sluice_shard::{Class, Shard, ShardAddress, register};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use crate::support::{Fixture, append, at, identity, names, numbered, stored};

/// A number of the shard's own database, asked by its operator.
async fn count(fixture: &Fixture, sql: &str) -> i64 {
    let address = &fixture.address;
    let options = PgConnectOptions::new_without_pgpass().host(&address.host).port(address.port);
    let options = options.username(&address.user).password(address.password.expose_secret());
    let mut connection = options.database(&address.database).connect().await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

/// The same database, as a user who is nothing but the owner of the tables.
async fn plain_owner(fixture: &Fixture) -> ShardAddress {
    let owner = format!("owner_of_{}", fixture.address.database);
    fixture
        .admin(&format!(
            "CREATE ROLE {owner} LOGIN PASSWORD 'secret'; ALTER DATABASE {} OWNER TO {owner}",
            fixture.address.database
        ))
        .await;
    ShardAddress { user: owner, password: "secret".to_owned().into(), ..fixture.address.clone() }
}

const ROW_SECURITY: &str = "
    ALTER TABLE person ENABLE ROW LEVEL SECURITY; ALTER TABLE person FORCE ROW LEVEL SECURITY;
    CREATE POLICY everything ON person USING (true) WITH CHECK (true)";

async fn refusal(fixture: &Fixture) -> String {
    let refused = Shard::connect(&fixture.address, &identity()).await.err().expect("it was to be refused");
    assert_eq!(refused.class, Class::Configuration, "{refused}: {}", refused.source);
    refused.source.to_string()
}

#[tokio::test]
async fn a_table_with_row_level_security_takes_small_and_large_batches() {
    let fixture = Fixture::postgres().await;
    let owner = plain_owner(&fixture).await;
    register(&owner, &identity(), &[at(0, 0)]).await.unwrap();
    fixture.admin(ROW_SECURITY).await;
    let mut shard = Shard::connect(&owner, &identity()).await.unwrap();
    append(&mut shard, &numbered(0, 3)).await;
    append(&mut shard, &numbered(3, 1_000)).await;
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (1_003, 1_003));
}

#[tokio::test]
async fn a_lane_whose_table_gets_row_level_security_connects_anew_and_goes_on() {
    let fixture = Fixture::postgres().await;
    let owner = plain_owner(&fixture).await;
    register(&owner, &identity(), &[at(0, 0)]).await.unwrap();
    let mut shard = Shard::connect(&owner, &identity()).await.unwrap();
    append(&mut shard, &numbered(0, 1_000)).await;
    fixture.admin(ROW_SECURITY).await;
    let failed = shard.append(&numbered(1_000, 1_000)).await.unwrap_err();
    assert_eq!(failed.class, Class::Transient, "{}", failed.source);
    let mut shard = Shard::connect(&owner, &identity()).await.unwrap();
    append(&mut shard, &numbered(1_000, 1_000)).await;
    assert_eq!(names(&mut shard).await.len(), 2_000);
}

#[tokio::test]
async fn a_rule_on_insert_holds_for_large_batches_too() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await.close().await;
    fixture
        .admin(
            "CREATE TABLE audit (id BIGINT);
             CREATE RULE also AS ON INSERT TO person DO ALSO INSERT INTO audit VALUES (NEW.id)",
        )
        .await;
    let mut shard = fixture.connect().await;
    append(&mut shard, &numbered(0, 5)).await;
    append(&mut shard, &numbered(5, 1_000)).await;
    assert_eq!(count(&fixture, "SELECT count(*) FROM audit").await, 1_005);
    assert_eq!(names(&mut shard).await.len(), 1_005);
}

#[tokio::test]
async fn an_id_that_the_database_would_count_itself_is_ours_in_small_and_large_batches() {
    let fixture = Fixture::postgres().await;
    fixture
        .admin(
            "CREATE TABLE person (customer_id TEXT COLLATE \"C\" NOT NULL, id BIGINT GENERATED ALWAYS AS IDENTITY,
             name TEXT NOT NULL, address TEXT NOT NULL, PRIMARY KEY (customer_id, id))",
        )
        .await;
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 5)).await;
    append(&mut shard, &numbered(5, 1_000)).await;
    let least = at(0, 1).event(0).get();
    assert_eq!(count(&fixture, &format!("SELECT count(*) FROM person WHERE id >= {least}")).await, 1_005);
}

#[tokio::test]
async fn a_partitioned_table_takes_both_and_is_measured_as_a_whole() {
    let fixture = Fixture::postgres().await;
    fixture
        .admin(
            "CREATE TABLE person (customer_id TEXT COLLATE \"C\" NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL,
             address TEXT NOT NULL, PRIMARY KEY (customer_id, id)) PARTITION BY HASH (customer_id);
             CREATE TABLE even PARTITION OF person FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE odd PARTITION OF person FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        )
        .await;
    let mut shard = fixture.shard().await;
    append(&mut shard, &numbered(0, 5)).await;
    append(&mut shard, &numbered(5, 10_000)).await;
    assert_eq!(names(&mut shard).await.len(), 10_005);
    fixture.admin("ANALYZE person").await;
    let size = fixture.connect().await.size().await.unwrap();
    assert!((5_000..=20_000).contains(&size.rows) && size.bytes > 300_000, "{size:?}");
    fixture.admin("ALTER TABLE even SET UNLOGGED").await;
    assert!(refusal(&fixture).await.contains("not logged"));
}

#[tokio::test]
async fn tables_that_a_crash_empties_or_another_server_keeps_are_refused() {
    let fixture = Fixture::postgres().await;
    fixture.shard().await.close().await;
    for table in ["person", "journal_position", "sluice_shard"] {
        fixture.admin(&format!("ALTER TABLE {table} SET UNLOGGED")).await;
        let said = refusal(&fixture).await;
        assert!(said.contains(table) && said.contains("SET LOGGED"), "{said}");
        fixture.admin(&format!("ALTER TABLE {table} SET LOGGED")).await;
    }
    fixture.connect().await.close().await;
    fixture
        .admin(
            "DROP TABLE person; CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER s FOREIGN DATA WRAPPER elsewhere;
             CREATE FOREIGN TABLE person (customer_id TEXT, id BIGINT, name TEXT, address TEXT) SERVER s",
        )
        .await;
    assert!(refusal(&fixture).await.contains("foreign table"));
}

#[tokio::test]
async fn a_database_whose_encoding_does_not_hold_every_text_is_refused() {
    let fixture = Fixture::postgres().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = format!("{}_{}", fixture.address.database, encoding.to_ascii_lowercase());
        fixture.admin(&format!("CREATE DATABASE {database} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")).await;
        let address = ShardAddress { database, ..fixture.address.clone() };
        let refused = register(&address, &identity(), &[at(0, 0)]).await.unwrap_err();
        assert_eq!(refused.class, Class::Configuration);
        let said = refused.source.to_string();
        assert!(said.contains(encoding) && said.contains("UTF8"), "{said}");
    }
}
