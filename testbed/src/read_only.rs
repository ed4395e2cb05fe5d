//! A shard that can be read, and not be written.

use std::{fs::OpenOptions, os::unix::fs::FileExt, path::Path};

use sluice_shard::{Flavor, ShardAddress};
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};

use crate::{
    mariadb,
    rows::{mysql_options, postgres_options},
    set_back,
};

/// Makes a shard read-only, or writable again, under open connections.
///
/// - PostgreSQL: new sessions may only read, and those of lanes end.
/// - MariaDB: its whole server, at once.
/// - SQLite: a copy of the file that may only be read takes its place. What is committed while it
///   is copied is lost with the file.
///
/// # Errors
/// Where the database does not answer.
pub async fn set(shard: &ShardAddress, on: bool) -> anyhow::Result<()> {
    match shard.flavor {
        Flavor::Mysql => {
            let mut connection = mysql_options(shard).username(mariadb::OPERATOR).connect().await?;
            sqlx::raw_sql(&format!("SET GLOBAL read_only = {}", u8::from(on))).execute(&mut connection).await?;
            connection.close().await?;
        }
        Flavor::Postgres => {
            let database = &shard.database;
            let set = if on { "SET default_transaction_read_only = on" } else { "RESET default_transaction_read_only" };
            let sql = format!(
                "ALTER DATABASE {database} {set};
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice-lane'"
            );
            let mut connection = postgres_operator(shard).await?;
            sqlx::raw_sql(&sql).execute(&mut connection).await?;
            connection.close().await?;
        }
        Flavor::Sqlite if on => replace_by_a_copy(shard).await?,
        Flavor::Sqlite => set_write_version(Path::new(&shard.database), 2)?,
    }
    Ok(())
}

/// A session of PostgreSQL that may write where others may not.
///
/// # Errors
/// Where the database does not answer.
pub(crate) async fn postgres_operator(shard: &ShardAddress) -> sqlx::Result<PgConnection> {
    postgres_options(shard).options([("default_transaction_read_only", "off")]).connect().await
}

async fn replace_by_a_copy(shard: &ShardAddress) -> anyhow::Result<()> {
    let copy = format!("{}.read-only", shard.database);
    let _ = std::fs::remove_file(&copy);
    let mut connection = SqliteConnectOptions::new().filename(&shard.database).connect().await?;
    sqlx::raw_sql(&format!("VACUUM INTO '{copy}'")).execute(&mut connection).await?;
    connection.close().await?;
    // In the mode of a shard, which its copy has not got.
    let copied = SqliteConnectOptions::new().filename(&copy).journal_mode(SqliteJournalMode::Wal);
    copied.connect().await?.close().await?;
    set_write_version(Path::new(&copy), 3)?;
    set_back::replace(shard, Path::new(&copy))?;
    Ok(())
}

/// Sets the byte of a SQLite file that says which version may write it: a program that knows only
/// lower ones may read it. Unlike a file's mode this holds for root too.
fn set_write_version(file: &Path, version: u8) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all_at(&[version], 18)
}
