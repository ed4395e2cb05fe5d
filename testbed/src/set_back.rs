//! A shard goes back in time, as after a restored backup or a failover to a replica that lagged.

use std::path::{Path, PathBuf};

use sluice_shard::{Flavor, ShardAddress};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::{
    mariadb, read_only,
    rows::{mysql_options, postgres_options},
};

/// What a PostgreSQL shard shows when it was brought back: the positions as they were, and no row from after them.
const BACK: &str = "BEGIN;
    LOCK TABLE journal_position, person;
    DELETE FROM person USING older WHERE id >> 54 = journal_partition AND id >> 10 > position;
    UPDATE journal_position p SET position = o.position, stamp = o.stamp FROM older o
        WHERE o.journal_partition = p.journal_partition;
    COMMIT";

/// The same for MariaDB. It locks every position first, in the order in which a lane does: no lane is at work then.
const BACK_MYSQL: &str = "BEGIN;
    SELECT count(*) FROM journal_position FOR UPDATE;
    UPDATE journal_position p JOIN older o ON o.journal_partition = p.journal_partition
        SET p.position = o.position, p.stamp = o.stamp;
    DELETE person FROM person JOIN older ON id >> 54 = journal_partition WHERE id >> 10 > position;
    COMMIT";

/// A copy of a shard.
#[derive(Debug)]
pub struct Older {
    shard: ShardAddress,
}

impl Older {
    /// Copies a shard as it is now; of a server's only what tells the rows that came later. A shard has one copy at a time.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn copy(shard: &ShardAddress) -> anyhow::Result<Self> {
        let older = Self { shard: shard.clone() };
        match shard.flavor {
            Flavor::Postgres => {
                let mut connection = postgres_options(shard).connect().await?;
                let copy = "DROP TABLE IF EXISTS older; CREATE TABLE older AS SELECT * FROM journal_position";
                sqlx::raw_sql(copy).execute(&mut connection).await?;
                connection.close().await?;
            }
            Flavor::Mysql => {
                let mut connection = mysql_options(shard).connect().await?;
                let copy = "DROP TABLE IF EXISTS older; CREATE TABLE older AS SELECT * FROM journal_position";
                sqlx::raw_sql(copy).execute(&mut connection).await?;
                connection.close().await?;
            }
            Flavor::Sqlite => {
                let _ = std::fs::remove_file(older.file());
                let mut connection = SqliteConnectOptions::new().filename(&shard.database).connect().await?;
                let copy = format!("VACUUM INTO '{}'", older.file().display());
                sqlx::raw_sql(&copy).execute(&mut connection).await?;
                connection.close().await?;
            }
        }
        Ok(older)
    }

    /// Puts the copy in the shard's place, under open connections; on a server by one transaction, also where it is read-only for
    /// others.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn put_back(self) -> anyhow::Result<()> {
        match self.shard.flavor {
            Flavor::Postgres => {
                let mut connection = read_only::postgres_operator(&self.shard).await?;
                sqlx::raw_sql(BACK).execute(&mut connection).await?;
                connection.close().await?;
            }
            Flavor::Mysql => {
                let mut connection = mysql_options(&self.shard).username(mariadb::OPERATOR).connect().await?;
                sqlx::raw_sql(BACK_MYSQL).execute(&mut connection).await?;
                connection.close().await?;
            }
            Flavor::Sqlite => replace(&self.shard, &self.file())?,
        }
        Ok(())
    }

    fn file(&self) -> PathBuf {
        format!("{}.older", self.shard.database).into()
    }
}

/// Puts a file in a SQLite shard's place, as an operator restores one: the side files of the lost one go too.
///
/// # Errors
/// Where the file cannot be moved.
pub fn replace(shard: &ShardAddress, copy: &Path) -> std::io::Result<()> {
    std::fs::rename(copy, &shard.database)?;
    for side in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{side}", shard.database));
    }
    Ok(())
}

/// Copies a folder and all that is in it.
///
/// # Errors
/// Where a file cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
