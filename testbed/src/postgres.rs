//! A real PostgreSQL server with its own data folder, for as long as somebody holds a [`Postgres`].
//!
//! The server is the child of a small shell that waits for two things: the server's end, and the end of whoever started
//! it (its standard input closes then, even after a `kill -9`). So no server is ever left behind.
//!
//! `initdb` and `postgres` refuse to run as root: then they run as the user `postgres`, or `nobody`.
//!
//! It stands alone in this crate (no `crate::`, and paths for its rooms), since the tests of the shard crate include
//! this very file.

#[path = "postgres/cluster.rs"]
mod cluster;
#[path = "postgres/kept.rs"]
mod kept;
#[path = "postgres/programs.rs"]
mod programs;

use std::{
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use secrecy::{ExposeSecret, SecretString};
use sluice_shard::{CustomerColumn, Flavor, ShardAddress};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use self::{
    cluster::Cluster,
    kept::{LOOK, Running, free_port, unprivileged_user},
    programs::Programs,
};

/// The superuser of every server made here.
const USER: &str = "sluice";
/// A server that has not come up by then never will.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running PostgreSQL server. Dropping it ends the server; its folder stays.
pub struct Postgres {
    port: u16,
    password: SecretString,
    cluster: Cluster,
    running: Option<Running>,
}

impl Postgres {
    /// Makes a server's folder, unless `dir` holds one already, and starts the server on 127.0.0.1.
    ///
    /// Port 0 means any that is free. Only a `durable` server's data outlive a power failure; all outlive a `kill -9`.
    pub async fn start(dir: PathBuf, port: u16, durable: bool) -> anyhow::Result<Self> {
        let programs = Programs::find_or_install()?;
        let user = unprivileged_user(&["postgres", "nobody"])?;
        let cluster = Cluster { programs, dir, durable, user };
        let password = cluster.prepare()?;
        // A free port may be taken by another process before our server has it: then another one is tried.
        let attempts = if port == 0 { 5 } else { 1 };
        let mut failure = None;
        for _ in 0..attempts {
            let port = if port == 0 { free_port()? } else { port };
            let mut server = Self { port, password: password.clone(), cluster: cluster.clone(), running: None };
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

    /// The process id of the server's first process; 0 while it is stopped.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, |running| running.pid.as_raw().unsigned_abs())
    }

    /// How a shard in this database is reached.
    pub fn address(&self, database: &str) -> ShardAddress {
        ShardAddress {
            flavor: Flavor::Postgres,
            host: "127.0.0.1".into(),
            port: self.port,
            user: USER.into(),
            password: self.password.clone(),
            database: database.into(),
            customer_column: CustomerColumn::default(),
        }
    }

    /// Makes an empty database.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        ensure!(plain && !name.is_empty(), "a database's name here is of a-z, 0-9 and '_', not {name:?}");
        let mut connection = self.connect("postgres").await?;
        sqlx::raw_sql(&format!("CREATE DATABASE {name}")).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Ends the server in order: clients are cut off, data are written.
    pub fn stop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // In order, at once, and by force.
        running.end(&[Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL]);
    }

    /// Ends the server as a crash does: `kill -9`, nothing is written.
    pub fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        running.kill();
    }

    /// From now on no file of the server may grow beyond so many bytes; `None`: any may. Where the limit is no multiple of a
    /// page (8 KiB), a table that comes to it gets half a page written, and the server says what it says on a full disk
    /// (SQLSTATE 53100). No disk is needed for it and no rights. Below 16 MiB the write-ahead log finds no room, and the
    /// server ends. Started again, it has no limit.
    pub fn limit_files(&self, bytes: Option<u64>) -> anyhow::Result<()> {
        let running = self.running.as_ref().context("the server is stopped")?;
        self.cluster.limit_files(running, bytes)
    }

    /// Whether the server has ended: by itself, by [`Postgres::stop`] or by [`Postgres::kill`].
    pub fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(Running::ended)
    }

    /// What the server has said since it was started last.
    pub fn log(&self) -> String {
        self.cluster.whole_log()
    }

    /// Starts the server again on the same port and data; stops it first where it runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.running = Some(self.cluster.spawn(self.port)?);
            let Some(status) = self.answers_or_ended(deadline).await? else { return Ok(()) };
            self.running = None;
            // Processes of a killed server linger for a moment, and keep a new one from its data.
            let lingering = self.cluster.log_tail().contains("pre-existing shared memory block");
            if !lingering || Instant::now() >= deadline {
                bail!("PostgreSQL ended while starting ({status}):\n{}", self.cluster.log_tail());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the server lets us in (`None`), or has ended by itself.
    async fn answers_or_ended(&mut self, deadline: Instant) -> anyhow::Result<Option<ExitStatus>> {
        loop {
            let Some(running) = &mut self.running else { bail!("the server is stopped") };
            if let Some(status) = running.keeper.try_wait()? {
                return Ok(Some(status));
            }
            let failed = match self.connect("postgres").await {
                Ok(connection) => {
                    connection.close().await?;
                    return Ok(None);
                }
                Err(e) => e,
            };
            if Instant::now() >= deadline {
                return Err(failed.context(format!("PostgreSQL does not answer:\n{}", self.cluster.log_tail())));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(USER)
            .password(self.password.expose_secret())
            .database(database);
        let connecting = tokio::time::timeout(Duration::from_secs(10), PgConnection::connect_with(&options));
        Ok(connecting.await.context("PostgreSQL took more than 10 s to let us in")??)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
