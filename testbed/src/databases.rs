//! The databases of a fleet's shards.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::try_join_all;
use secrecy::SecretString;
use sluice_shard::{Flavor, ShardAddress};
use tokio::runtime::Handle;

use crate::{home::Home, postgres::Postgres};

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
        };
        Self { name: name.to_owned(), address }
    }
}

/// The servers that hold the shards (none for SQLite), and the shards.
pub(crate) struct Databases {
    pub(crate) servers: Vec<Postgres>,
    pub(crate) shards: Vec<FleetShard>,
}

/// Starts one database for each port: all at once, for making a PostgreSQL cluster takes seconds.
pub(crate) async fn start(flavor: Flavor, home: &Arc<Home>, ports: &[u16], durable: bool) -> anyhow::Result<Databases> {
    let named = || ports.iter().enumerate().map(|(index, port)| (format!("shard{}", index + 1), *port));
    match flavor {
        Flavor::Sqlite => {
            let folder = home.private_folder("sqlite")?;
            let shards = named().map(|(name, _)| FleetShard::sqlite(&name, &folder)).collect();
            Ok(Databases { servers: Vec::new(), shards })
        }
        Flavor::Postgres => {
            let folder = home.open_folder("postgres")?;
            let start = |(name, port)| start_server(Arc::clone(home), folder.join(&name), name, port, durable);
            let mut names = named();
            // The first one alone: it may have to install PostgreSQL, which only one can do at a time.
            let first = try_join_all(names.next().map(start)).await?;
            let others = try_join_all(names.map(start)).await?;
            let (servers, shards) = first.into_iter().chain(others).unzip();
            Ok(Databases { servers, shards })
        }
    }
}

/// On a thread of its own, as making a cluster blocks. The thread holds the fleet's folder: where nobody waits for it any
/// more, it ends what it has started before that folder is removed.
async fn start_server(
    home: Arc<Home>,
    folder: PathBuf,
    name: String,
    port: u16,
    durable: bool,
) -> anyhow::Result<(Postgres, FleetShard)> {
    let runtime = Handle::current();
    let work = move || {
        let started = runtime.block_on(async {
            let server = Postgres::start(folder, port, durable).await?;
            // A kept folder has it.
            server.create_database(&name).await.or_else(|error| if exists(&error) { Ok(()) } else { Err(error) })?;
            let address = server.address(&name);
            Ok((server, FleetShard { name, address }))
        });
        (started, home)
    };
    let (started, _home) = tokio::task::spawn_blocking(work).await?;
    started
}

/// SQLSTATE 42P04: the database is there already.
fn exists(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error).and_then(|e| e.code());
    code.as_deref() == Some("42P04")
}
