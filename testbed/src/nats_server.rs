//! A NATS server with JetStream and the account mapping.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use sluice_journal::subject;
use sluice_model::PartitionCount;

use crate::{
    binaries::Binaries,
    log_file::LogFile,
    nats_program,
    ports::{Ports, loopback},
    process::{Launch, Process},
    ready::Ready,
};

/// How the server is to be.
#[derive(Debug, Clone)]
pub struct NatsServer {
    /// The program.
    pub program: PathBuf,
    /// Where it keeps its configuration and its streams.
    pub folder: PathBuf,
    /// Its log.
    pub log: LogFile,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Over how many partitions the mapping spreads customers.
    pub partitions: PartitionCount,
    /// Whether it acknowledges only what the disk has (`sync_interval: always`).
    pub sync_always: bool,
    /// The most bytes that all streams may set aside.
    pub max_file_store: u64,
    /// See [`Launch::own_group`].
    pub own_group: bool,
}

impl NatsServer {
    /// A server in that folder, on a free port, started; and where it is.
    ///
    /// # Errors
    /// Where there is no program and none can be fetched, or it does not start.
    pub async fn start_on_free_port(
        folder: &Path,
        partitions: PartitionCount,
        sync_always: bool,
    ) -> anyhow::Result<(Process, String)> {
        let listen = loopback(Ports::new(None).take("nats-server")?);
        let server = Self {
            program: nats_program::find(&Binaries::beside_this_program()?.tools()).await?,
            folder: folder.to_owned(),
            log: LogFile::new(folder, "nats-server"),
            listen,
            partitions,
            sync_always,
            max_file_store: 8 << 30,
            own_group: false,
        };
        Ok((server.start().await?, format!("nats://{listen}")))
    }

    /// Writes the configuration, starts the server and waits until JetStream answers.
    ///
    /// # Errors
    /// Where the folder cannot be written or the server does not start.
    pub async fn start(self) -> anyhow::Result<Process> {
        let config = self.folder.join("nats.conf");
        std::fs::create_dir_all(&self.folder)?;
        std::fs::write(&config, self.config()).with_context(|| format!("cannot write {}", config.display()))?;
        Process::start(Launch {
            name: "nats-server".into(),
            program: self.program,
            args: vec!["--config".into(), config.into()],
            env: Vec::new(),
            log: self.log,
            ready: Ready::Nats(format!("nats://{}", self.listen)),
            own_group: self.own_group,
        })
        .await
    }

    fn config(&self) -> String {
        let Self { listen, max_file_store, .. } = self;
        let store = self.folder.join("jetstream");
        let sync =
            if self.sync_always { "sync_interval: always" } else { "# sync_interval: the server's own, minutes" };
        let mapping = subject::mapping(self.partitions);
        format!(
            "# Written by testbed at each start.\n\
             server_name: sluice\n\
             listen: \"{listen}\"\n\
             jetstream {{\n    store_dir: {store:?}\n    max_file_store: {max_file_store}\n    {sync}\n}}\n\
             # `person.create.<customer>`, published by anybody, goes to the partition of that customer.\n\
             {mapping}\n"
        )
    }
}
