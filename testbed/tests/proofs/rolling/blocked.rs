//! A shard that takes nothing for a while.

use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, lock::Lock, read_only};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::run;

/// What a file of a PostgreSQL server without room may have: a segment of its log fits, and no
/// larger table.
const TABLE_BYTES: u64 = (16 << 20) + 4096;
/// What a file of a writer may have, such as the log of a SQLite shard.
const WRITER_FILE_BYTES: u64 = 8 << 20;

/// Why the shard takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Another program holds a lock. The shard can be read.
    Locked,
    /// It can be read, and not be written.
    ReadOnly,
    /// Its files may not grow. It can be read.
    Full,
    /// It answers nothing, and closes no connection.
    Frozen,
}

impl Block {
    /// All that can be done to a shard of that engine. A SQLite file does not freeze, and how
    /// MariaDB behaves when its files may not grow is not known.
    pub(super) fn all(shards: Flavor) -> &'static [Self] {
        match shards {
            Flavor::Postgres => &[Self::Locked, Self::ReadOnly, Self::Full, Self::Frozen],
            Flavor::Mysql => &[Self::Locked, Self::ReadOnly, Self::Frozen],
            Flavor::Sqlite => &[Self::Locked, Self::ReadOnly, Self::Full],
        }
    }
}

/// A block, until it is ended.
pub(super) enum Blocked {
    Locked(Lock),
    ReadOnly,
    FullServer,
    /// Holds an old snapshot, so that the file's log cannot begin anew.
    FullFile(SqliteConnection),
    Frozen,
}

/// What the fleet's writers need, so that their SQLite files can be full: a limit for each of their
/// files, whose signal they ignore.
pub(super) fn with_limited_files(options: FleetOptions) -> FleetOptions {
    let limit = format!("--fsize={WRITER_FILE_BYTES}:");
    let under = ["prlimit", &limit, "sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""];
    FleetOptions { writer_under: under.map(str::to_owned).to_vec(), ..options }
}

/// The customer of rows that only take room.
pub(super) const FILLER: &str = "filler";

/// Lets the table of a PostgreSQL shard grow to the limit, so that the next page is too many. Four
/// rows fill a page, and leave no room in it. Gives the number of rows.
pub(super) async fn prepare(shard: &ShardAddress) -> usize {
    if shard.flavor != Flavor::Postgres {
        return 0;
    }
    let rows = TABLE_BYTES / 2_000;
    let columns = "customer_id, id, name, address";
    let values = format!("'{FILLER}', n, '{FILLER}', repeat('x', 1975)");
    run(shard, &format!("INSERT INTO person ({columns}) SELECT {values} FROM generate_series(1, {rows}) n")).await;
    usize::try_from(rows).unwrap()
}

/// Removes those rows: no event explains them.
pub(super) async fn remove_filler(shard: &ShardAddress) {
    if shard.flavor == Flavor::Postgres {
        run(shard, &format!("DELETE FROM person WHERE customer_id = '{FILLER}'")).await;
    }
}

impl Blocked {
    /// Blocks the fleet's first shard.
    pub(super) async fn begin(fleet: &mut Fleet, block: Block) -> Self {
        let shard = fleet.shards()[0].address.clone();
        match block {
            Block::Locked => Self::Locked(Lock::take(&shard).await.unwrap()),
            Block::ReadOnly => {
                read_only::set(&shard, true).await.unwrap();
                Self::ReadOnly
            }
            Block::Full if shard.flavor == Flavor::Sqlite => Self::FullFile(fill(&shard).await),
            Block::Full => {
                fleet.servers()[0].limit_files(Some(TABLE_BYTES)).unwrap();
                Self::FullServer
            }
            Block::Frozen => {
                fleet.proxies()[0].hold();
                Self::Frozen
            }
        }
    }

    /// The shard takes everything again.
    pub(super) async fn end(self, fleet: &mut Fleet) {
        let shard = fleet.shards()[0].address.clone();
        match self {
            Self::Locked(lock) => lock.release().await.unwrap(),
            Self::ReadOnly => read_only::set(&shard, false).await.unwrap(),
            Self::FullServer => fleet.servers()[0].limit_files(None).unwrap(),
            Self::FullFile(snapshot) => make_room(&shard, snapshot).await,
            Self::Frozen => fleet.proxies()[0].release(),
        }
    }
}

fn sqlite(shard: &ShardAddress) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(&shard.database).busy_timeout(std::time::Duration::from_secs(30))
}

/// Fills the log of a SQLite shard beyond what a writer's file may have. A snapshot keeps the log
/// from being written over.
async fn fill(shard: &ShardAddress) -> SqliteConnection {
    let mut snapshot = sqlite(shard).connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM person").execute(&mut snapshot).await.unwrap();
    let mut operator = sqlite(shard).connect().await.unwrap();
    let filler = format!("CREATE TABLE filler AS SELECT zeroblob({}) AS bytes", 2 * WRITER_FILE_BYTES);
    sqlx::raw_sql(&filler).execute(&mut operator).await.unwrap();
    operator.close().await.unwrap();
    snapshot
}

async fn make_room(shard: &ShardAddress, snapshot: SqliteConnection) {
    snapshot.close().await.unwrap();
    let mut operator = sqlite(shard).connect().await.unwrap();
    let empty = "DROP TABLE filler; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)";
    sqlx::raw_sql(empty).execute(&mut operator).await.unwrap();
    operator.close().await.unwrap();
}
