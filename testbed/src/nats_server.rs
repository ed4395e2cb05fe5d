//! A NATS server with JetStream and the account mapping, alone or as one of a cluster.

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
    nats_cluster, nats_program,
    nats_users::{NatsUser, NatsUsers},
    ports::{Ports, loopback},
    process::{Launch, Process},
    ready::Ready,
};

/// How the server is to be.
#[derive(Debug, Clone)]
pub struct NatsServer {
    /// Its name: its own in a cluster, as JetStream tells the servers apart by it.
    pub name: String,
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
    /// Where its monitoring listens; `None` where it has none.
    pub monitor: Option<SocketAddr>,
    /// See [`Launch::own_group`].
    pub own_group: bool,
    /// Its users; `None` where anybody may do anything.
    pub users: Option<NatsUsers>,
    /// Its place in a cluster; `None` where it is alone.
    pub cluster: Option<ClusterPlace>,
}

/// Where a server of a cluster listens for the others, and where they are.
#[derive(Debug, Clone)]
pub struct ClusterPlace {
    /// Where it listens for the others.
    pub listen: SocketAddr,
    /// All servers of the cluster, this one too: JetStream takes their number for the size of its group.
    pub routes: Vec<SocketAddr>,
}

impl NatsServer {
    /// A server in that folder, on a free port and without users, started; and where it is.
    ///
    /// # Errors
    /// Where there is no program and none can be fetched, or it does not start.
    pub async fn start_on_free_port(
        folder: &Path,
        partitions: PartitionCount,
        sync_always: bool,
    ) -> anyhow::Result<(Process, String)> {
        let server = Self::on_free_port(folder, partitions, sync_always).await?;
        let url = server.url();
        Ok((server.start().await?, url))
    }

    /// The same, not started yet.
    ///
    /// # Errors
    /// Where there is no program and none can be fetched, or no port is free.
    pub async fn on_free_port(folder: &Path, partitions: PartitionCount, sync_always: bool) -> anyhow::Result<Self> {
        let listen = loopback(Ports::new(None).take("nats-server")?);
        Ok(Self {
            name: "sluice".to_owned(),
            program: nats_program::find(&Binaries::beside_this_program()?.tools()).await?,
            folder: folder.to_owned(),
            log: LogFile::new(folder, "nats-server"),
            listen,
            partitions,
            sync_always,
            max_file_store: 8 << 30,
            monitor: None,
            own_group: false,
            users: None,
            cluster: None,
        })
    }

    /// Servers of one cluster, each in a folder of its own below that one, on free ports and without users. None is started yet.
    ///
    /// # Errors
    /// Where there is no program and none can be fetched, or no port is free.
    pub async fn cluster_on_free_ports(
        folder: &Path,
        partitions: PartitionCount,
        servers: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let program = nats_program::find(&Binaries::beside_this_program()?.tools()).await?;
        let mut ports = Ports::new(None);
        let mut take = || Ok(loopback(ports.take("nats-server")?));
        let routes = (0..servers).map(|_| take()).collect::<anyhow::Result<Vec<_>>>()?;
        let server = |(index, route): (usize, &SocketAddr)| {
            let name = nats_cluster::name(index);
            Ok(Self {
                program: program.clone(),
                folder: folder.join(&name),
                log: LogFile::new(folder, &name),
                listen: take()?,
                partitions,
                sync_always: false,
                max_file_store: 8 << 30,
                monitor: None,
                own_group: false,
                users: None,
                cluster: Some(ClusterPlace { listen: *route, routes: routes.clone() }),
                name,
            })
        };
        routes.iter().enumerate().map(server).collect()
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.listen)
    }

    /// Starts all servers of a cluster at the same time; see [`NatsServer::start`].
    ///
    /// # Errors
    /// Where one of them does not start.
    pub async fn start_all(servers: Vec<Self>) -> anyhow::Result<Vec<Process>> {
        futures::future::try_join_all(servers.into_iter().map(Self::start)).await
    }

    /// Writes the configuration, starts the server and waits until JetStream answers. In a cluster that takes most of the
    /// servers, as they have to elect one that answers: start them at the same time.
    ///
    /// # Errors
    /// Where the folder cannot be written or the server does not start.
    pub async fn start(self) -> anyhow::Result<Process> {
        let (config, url) = (self.folder.join("nats.conf"), self.url());
        std::fs::create_dir_all(&self.folder)?;
        let access = match &self.users {
            Some(_) => NatsUsers::write(&self.folder, self.partitions)?,
            None => format!("{}\n", subject::mapping(self.partitions)),
        };
        std::fs::write(&config, self.config(&access)).with_context(|| format!("cannot write {}", config.display()))?;
        let login = self.users.as_ref().map(|users| users.login(NatsUser::Operator, url.clone()));
        Process::start(Launch {
            name: self.log.name(),
            program: self.program,
            args: vec!["--config".into(), config.into()],
            env: self.users.as_ref().map(NatsUsers::environment).unwrap_or_default(),
            log: self.log,
            ready: Ready::Nats(url, login),
            own_group: self.own_group,
        })
        .await
    }

    fn config(&self, access: &str) -> String {
        let Self { name, listen, max_file_store, .. } = self;
        let store = self.folder.join("jetstream");
        let sync =
            if self.sync_always { "sync_interval: always" } else { "# sync_interval: the server's own, minutes" };
        let cluster = self.cluster.as_ref().map(ClusterPlace::config).unwrap_or_default();
        let monitor = self.monitor.map(|at| format!("http: \"{at}\"\n")).unwrap_or_default();
        format!(
            "# Written by testbed at each start.\n\
             server_name: {name}\n\
             listen: \"{listen}\"\n\
             # As in compose/nats.conf.\n\
             write_deadline: \"2s\"\n\
             jetstream {{\n    store_dir: {store:?}\n    max_file_store: {max_file_store}\n    {sync}\n}}\n\
             # `person.create.<customer>`, published by anybody who may, goes to the partition of that customer.\n\
             {access}{cluster}{monitor}"
        )
    }
}

impl ClusterPlace {
    fn config(&self) -> String {
        let Self { listen, routes } = self;
        let routes: Vec<_> = routes.iter().map(|route| format!("\"nats://{route}\"")).collect();
        format!("cluster {{\n    name: sluice\n    listen: \"{listen}\"\n    routes: [{}]\n}}\n", routes.join(", "))
    }
}
