//! A meta database that an older version made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; clippy does not see that helpers here are tests")]

use std::{fs, os::unix::fs::PermissionsExt};

use secrecy::ExposeSecret;
use sluice_directory::store::Store;
use sqlx::{Connection, SqliteConnection};

#[tokio::test]
async fn passwords_that_stood_in_clear_are_sealed_and_are_in_no_file_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("meta.db").display());
    let old = sqlx::migrate!("migrations/sqlite");
    let mut connection = SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap();
    let first = old.iter().next().unwrap();
    // As the first version's migrator did it, with what it noted about it.
    sqlx::raw_sql(&first.sql).execute(&mut connection).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL
         DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (?1, 'meta', CURRENT_TIMESTAMP, 1, ?2, 0)")
        .bind(first.version)
        .bind(first.checksum.as_ref())
        .execute(&mut connection)
        .await
        .unwrap();
    let shard = "INSERT INTO shard (name, flavor, host, port, \"user\", password, \"database\", pool)
        VALUES ('a', 'postgres', 'h', 1, 'u', 'canary-in-clear', 'd', 'shared')";
    sqlx::raw_sql(shard).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    // As the first version made it.
    fs::set_permissions(folder.path().join("meta.db"), fs::Permissions::from_mode(0o600)).unwrap();

    let store = Store::open(&url, None).await.unwrap();
    let stored = store.shard("a").await.unwrap().unwrap();
    assert_eq!(store.password(&stored).await.unwrap().expose_secret(), "canary-in-clear");
    let mut files = 0;
    for file in fs::read_dir(folder.path()).unwrap() {
        let (file, path) = (file.as_ref().unwrap().metadata().unwrap(), file.unwrap().path());
        assert_eq!(file.permissions().mode() & 0o077, 0, "{}", path.display());
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(15).any(|window| window == b"canary-in-clear"), "{}", path.display());
        files += 1;
    }
    assert!(files >= 2, "the database and its key");
}
