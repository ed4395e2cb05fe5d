//! A database server of a fleet, of whichever engine.

use sluice_shard::ShardAddress;

use crate::{mariadb::Mariadb, postgres::Postgres};

/// One shard's server. Dropping it ends the server; its folder stays.
pub enum DatabaseServer {
    /// PostgreSQL.
    Postgres(Postgres),
    /// MariaDB, for MySQL's flavor.
    Mariadb(Mariadb),
}

/// Calls the method of the same name on whichever server it is.
macro_rules! either {
    ($server:expr, $each:ident => $call:expr) => {
        match $server {
            DatabaseServer::Postgres($each) => $call,
            DatabaseServer::Mariadb($each) => $call,
        }
    };
}

impl DatabaseServer {
    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        either!(self, server => server.port())
    }

    /// The process id of the server's first process; 0 while it is stopped.
    pub fn pid(&self) -> u32 {
        either!(self, server => server.pid())
    }

    /// How a shard in this database is reached.
    pub fn address(&self, database: &str) -> ShardAddress {
        either!(self, server => server.address(database))
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// Where the server does not answer, or has it.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        either!(self, server => server.create_database(name).await)
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        either!(self, server => server.stop());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        either!(self, server => server.kill());
    }

    /// Starts it again at the same place; stops it first where it runs.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        either!(self, server => server.restart().await)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        either!(self, server => server.has_ended())
    }

    /// What it has said since it was started last.
    pub fn log(&self) -> String {
        either!(self, server => server.log())
    }

    /// See [`Postgres::limit_files`]; only there it is known what the server does about it.
    ///
    /// # Errors
    /// Where it is stopped, is MariaDB, or `prlimit` fails.
    pub fn limit_files(&self, bytes: Option<u64>) -> anyhow::Result<()> {
        match self {
            Self::Postgres(server) => server.limit_files(bytes),
            Self::Mariadb(_) => anyhow::bail!("only PostgreSQL's files are limited here"),
        }
    }
}
