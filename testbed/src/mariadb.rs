//! A real MariaDB server with its own data folder, for as long as somebody holds a [`Mariadb`].
//!
//! As PostgreSQL's (see there): kept by a small shell, so that no server is ever left behind; where we are root, run by the user
//! `mysql`, or `nobody`; and standing alone, since the tests of the shard crate include this very file.

#[path = "mariadb/folder.rs"]
mod folder;
#[allow(
    clippy::duplicate_mod,
    dead_code,
    reason = "each server's file stands alone, and what they have in common stands once"
)]
#[path = "postgres/kept.rs"]
mod kept;

use std::{
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use secrecy::{ExposeSecret, SecretString};
use sluice_shard::{CustomerColumn, Flavor, ShardAddress};
use sqlx::{Connection, MySqlConnection, mysql::MySqlConnectOptions};

use self::{
    folder::{Folder, Programs},
    kept::{LOOK, Running, free_port, unprivileged_user},
};

/// The user of every shard made here, who may do anything but write to a server that is read-only.
const USER: &str = "sluice";
/// The server's operator, with the same password, who may also give rights to others.
pub const OPERATOR: &str = "operator";
/// A server that has not come up by then never will.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running MariaDB server. Dropping it ends the server; its folder stays.
pub struct Mariadb {
    port: u16,
    password: SecretString,
    folder: Folder,
    running: Option<Running>,
}

impl Mariadb {
    /// Makes a server's folder, unless `dir` holds one already, and starts the server on 127.0.0.1.
    ///
    /// Port 0 means any that is free. Only a `durable` server's data outlive a power failure; all outlive a `kill -9`.
    pub async fn start(dir: PathBuf, port: u16, durable: bool) -> anyhow::Result<Self> {
        let programs = Programs::find_or_install()?;
        let folder = Folder { programs, dir, durable, user: unprivileged_user(&["mysql", "nobody"])? };
        let password = folder.prepare()?;
        // A free port may be taken by another process before our server has it: then another one is tried.
        let attempts = if port == 0 { 5 } else { 1 };
        let mut failure = None;
        for _ in 0..attempts {
            let port = if port == 0 { free_port()? } else { port };
            let mut server = Self { port, password: password.clone(), folder: folder.clone(), running: None };
            match server.restart().await {
                Ok(()) => return Ok(server),
                Err(e) => failure = Some(e),
            }
        }
        Err(failure.expect("at least one attempt was made"))
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id; 0 while it is stopped.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, |running| running.pid.as_raw().unsigned_abs())
    }

    /// How a shard in this database is reached.
    pub fn address(&self, database: &str) -> ShardAddress {
        ShardAddress {
            flavor: Flavor::Mysql,
            host: "127.0.0.1".into(),
            port: self.port,
            user: USER.into(),
            password: self.password.clone(),
            database: database.into(),
            customer_column: CustomerColumn::default(),
        }
    }

    /// Makes an empty database. Its own default of characters is the server's: latin1, which no shard may mind.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        ensure!(plain && !name.is_empty(), "a database's name here is of a-z, 0-9 and '_', not {name:?}");
        let mut connection = self.connect().await?;
        sqlx::raw_sql(&format!("CREATE DATABASE `{name}`")).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Ends the server in order: clients are cut off, data are written.
    pub fn stop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        running.end(&[Signal::SIGTERM, Signal::SIGKILL]);
    }

    /// Ends the server as a crash does: `kill -9`, nothing is written.
    pub fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        running.kill();
    }

    /// Whether the server has ended: by itself, by [`Mariadb::stop`] or by [`Mariadb::kill`].
    pub fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(Running::ended)
    }

    /// What the server has said since it was started last.
    pub fn log(&self) -> String {
        self.folder.whole_log()
    }

    /// Starts the server again on the same port and data; stops it first where it runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.running = Some(self.folder.spawn(self.port, &self.password)?);
        let deadline = Instant::now() + START_LIMIT;
        if let Some(status) = self.answers_or_ended(deadline).await? {
            self.running = None;
            bail!("MariaDB ended while starting ({status}):\n{}", self.folder.log_tail());
        }
        Ok(())
    }

    /// Waits until the server lets us in (`None`), or has ended by itself.
    async fn answers_or_ended(&mut self, deadline: Instant) -> anyhow::Result<Option<ExitStatus>> {
        loop {
            let Some(running) = &mut self.running else { bail!("the server is stopped") };
            if let Some(status) = running.keeper.try_wait()? {
                return Ok(Some(status));
            }
            let failed = match self.connect().await {
                Ok(connection) => {
                    connection.close().await?;
                    return Ok(None);
                }
                Err(e) => e,
            };
            if Instant::now() >= deadline {
                return Err(failed.context(format!("MariaDB does not answer:\n{}", self.folder.log_tail())));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn connect(&self) -> anyhow::Result<MySqlConnection> {
        let options = MySqlConnectOptions::new().host("127.0.0.1").port(self.port).username(USER);
        let options = options.password(self.password.expose_secret());
        let connecting = tokio::time::timeout(Duration::from_secs(10), MySqlConnection::connect_with(&options));
        Ok(connecting.await.context("MariaDB took more than 10 s to let us in")??)
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        self.stop();
    }
}
