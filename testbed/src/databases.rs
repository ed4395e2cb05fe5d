//! The databases of a fleet's shards.

use std::{path::Path, sync::Arc};

use futures::future::try_join_all;
use secrecy::SecretString;
use sluice_shard::{CustomerColumn, Flavor, ShardAddress};
use tokio::runtime::Handle;

use crate::{home::Home, mariadb::Mariadb, postgres::Postgres, server::DatabaseServer, shards::Shards};

/// A shard of the fleet.
#[derive(Debug, Clone)]
pub struct FleetShard {
    /// Its name in the directory.
    pub name: String,
    /// Where it is, with its password.
    pub address: ShardAddress,
}

impl FleetShard {
    /// A SQLite shard in a file of that folder.
    pub fn sqlite(name: &str, folder: &Path) -> Self {
        let address = ShardAddress {
            flavor: Flavor::Sqlite,
            host: String::new(),
            port: 0,
            user: String::new(),
            password: SecretString::default(),
            database: folder.join(format!("{name}.db")).to_string_lossy().into_owned(),
            customer_column: CustomerColumn::default(),
        };
        Self { name: name.to_owned(), address }
    }
}

/// The servers that hold the shards (none for SQLite), and the shards.
pub(crate) struct Databases {
    pub(crate) servers: Vec<DatabaseServer>,
    pub(crate) shards: Vec<FleetShard>,
}

/// Starts one database for each port: all at once, for making a server's folder takes seconds.
pub(crate) async fn start(shards: Shards, home: &Arc<Home>, ports: &[u16], durable: bool) -> anyhow::Result<Databases> {
    let start = |(index, port): (usize, u16)| {
        start_one(Arc::clone(home), shards.of(index), format!("shard{}", index + 1), port, durable)
    };
    let mut numbered = ports.iter().copied().enumerate();
    // The first of each engine alone: it may have to install the server, which only one can do at a time.
    let alone = if shards == Shards::Mixed { 2 } else { 1 };
    let mut started = Vec::new();
    for one in numbered.by_ref().take(alone) {
        started.push(start(one).await?);
    }
    started.extend(try_join_all(numbered.map(start)).await?);
    let (servers, shards): (Vec<_>, Vec<_>) = started.into_iter().unzip();
    Ok(Databases { servers: servers.into_iter().flatten().collect(), shards })
}

/// On a thread of its own, as making a server's folder blocks. The thread holds the fleet's folder: where nobody waits for it any
/// more, it ends what it has started before that folder is removed.
async fn start_one(
    home: Arc<Home>,
    flavor: Flavor,
    name: String,
    port: u16,
    durable: bool,
) -> anyhow::Result<(Option<DatabaseServer>, FleetShard)> {
    let folder = match flavor {
        Flavor::Sqlite => return Ok((None, FleetShard::sqlite(&name, &home.private_folder("sqlite")?))),
        server => home.open_folder(&server.to_string())?.join(&name),
    };
    let runtime = Handle::current();
    let work = move || {
        let started = runtime.block_on(async {
            let server = if flavor == Flavor::Mysql {
                DatabaseServer::Mariadb(Mariadb::start(folder, port, durable).await?)
            } else {
                DatabaseServer::Postgres(Postgres::start(folder, port, durable).await?)
            };
            // A kept folder has it.
            server.create_database(&name).await.or_else(|error| if exists(&error) { Ok(()) } else { Err(error) })?;
            let address = server.address(&name);
            Ok((Some(server), FleetShard { name, address }))
        });
        (started, home)
    };
    let (started, _home) = tokio::task::spawn_blocking(work).await?;
    started
}

/// The database is there already: SQLSTATE 42P04 of PostgreSQL; of MariaDB error 1007, whose SQLSTATE many others have.
fn exists(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error).and_then(|e| e.code());
    let number = mysql_number(error);
    code.as_deref() == Some("42P04") || number == Some(1007)
}

fn mysql_number(error: &anyhow::Error) -> Option<u16> {
    let error = error.downcast_ref::<sqlx::Error>()?.as_database_error()?;
    Some(error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?.number())
}
