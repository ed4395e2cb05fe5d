//! A whole fleet on this machine: real servers, our services as processes of their own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::ExposeSecret;
use sluice_model::PartitionCount;
use sluice_shard::Flavor;

use crate::{
    admin::Admin,
    binaries::Binaries,
    databases::{self, FleetShard},
    describe::{Description, Pids},
    home::Home,
    nats_cluster, nats_program,
    nats_server::{ClusterPlace, NatsServer},
    nats_users::{Login, NatsUser, NatsUsers},
    options::FleetOptions,
    plan::Plan,
    ports::loopback,
    process::Process,
    proxy::Proxy,
    server::DatabaseServer,
    services::Services,
    tokens::DirectoryTokens,
};

/// A running fleet. Dropping it stops everything, in the order of the fields: nobody outlives what it needs.
pub struct Fleet {
    ingest: Process,
    writers: Vec<Process>,
    directory: Process,
    proxies: Vec<Proxy>,
    servers: Vec<DatabaseServer>,
    nats: Vec<Process>,
    shards: Vec<FleetShard>,
    plan: Plan,
    nats_users: NatsUsers,
    tokens: DirectoryTokens,
    options: FleetOptions,
    binaries: Binaries,
    home: Arc<Home>,
}

impl Fleet {
    /// Builds the services, starts everything, and returns once all of it is ready. Dropping the future stops what was
    /// already started.
    ///
    /// # Errors
    /// Where something does not start: with the last lines of its log.
    pub async fn start(options: FleetOptions) -> anyhow::Result<Self> {
        options.check()?;
        let progress = options.progress;
        progress.line("building the services (the first time takes minutes)");
        let binaries = Binaries::built().await?;
        let step = progress.step("looking for nats-server, or fetching it");
        let program = nats_program::find(&binaries.tools()).await?;
        step.done();
        let home = Arc::new(Home::open(options.dir.as_deref())?);
        let plan = Plan::of(home.path(), &options)?;

        let servers = match options.nats_nodes {
            1 => "nats-server".to_owned(),
            nodes => format!("a cluster of {nodes} nats-servers"),
        };
        let step = progress.step(&format!("starting {servers} and {} {} shards", options.shard_count, options.shards));
        let (nats_users, tokens) = (NatsUsers::random(), DirectoryTokens::random());
        let nats = nats_servers(&program, &home, &plan, &options, &nats_users)?;
        let databases = databases::start(plan.shards, &home, &plan.databases, options.durable_shards);
        // What is bound first is dropped last, so that a failure below stops things in order too.
        let (nats, databases) = tokio::try_join!(NatsServer::start_all(nats), databases)?;
        step.done();

        let step = progress.step("starting the directory and registering the shards");
        let services = Services {
            binaries: &binaries,
            home: &home,
            plan: &plan,
            options: &options,
            nats_users: &nats_users,
            tokens: &tokens,
        };
        let directory = Process::start(services.directory()?).await?;
        let mut proxies = Vec::new();
        let mut registered = databases.shards.clone();
        // SQLite shards, wherever they are in the list, have no server.
        let on_servers = registered.iter_mut().filter(|shard| shard.address.flavor != Flavor::Sqlite);
        for (shard, server) in on_servers.zip(&databases.servers).filter(|_| options.proxied) {
            let proxy = Proxy::before(server.port()).await?;
            shard.address.port = proxy.port();
            proxies.push(proxy);
        }
        Admin::new(&http(plan.directory), &tokens.admin)?.register(&registered).await?;
        step.done();

        let step = progress.step("starting ingest and the writer");
        let mut writers = Vec::new();
        for index in 0..plan.writers.len() {
            writers.push(Process::start(services.writer(index)).await?);
        }
        let ingest = Process::start(services.ingest()).await?;
        step.done();
        let databases::Databases { servers, shards } = databases;
        Ok(Self {
            ingest,
            writers,
            directory,
            proxies,
            servers,
            nats,
            shards,
            plan,
            nats_users,
            tokens,
            options,
            binaries,
            home,
        })
    }

    /// Stops everything, showing that; dropping does the same without a word.
    pub fn stop(mut self) {
        let step = self.options.progress.step("stopping");
        self.ingest.stop();
        for writer in &mut self.writers {
            writer.stop();
        }
        self.directory.stop();
        self.servers.iter_mut().for_each(DatabaseServer::stop);
        for server in &mut self.nats {
            server.stop();
        }
        step.done();
    }

    /// Where ingest takes persons.
    pub fn ingest_url(&self) -> String {
        http(self.plan.ingest)
    }

    /// Where the directory answers.
    pub fn directory_url(&self) -> String {
        http(self.plan.directory)
    }

    /// Where the writer with that index tells what it does.
    pub fn writer_url(&self, index: usize) -> String {
        http(self.plan.writers[index])
    }

    /// Where NATS is: all its servers, with commas between them.
    pub fn nats_url(&self) -> String {
        self.plan.nats_url()
    }

    /// One of the users of NATS.
    pub fn login(&self, user: NatsUser) -> Login {
        self.nats_users.login(user, self.nats_url())
    }

    /// Copies of each stream and bucket.
    pub fn replicas(&self) -> u16 {
        self.options.replicas()
    }

    /// The shards, in the order of their names.
    pub fn shards(&self) -> &[FleetShard] {
        &self.shards
    }

    /// The directory's administrator.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn admin(&self) -> anyhow::Result<Admin> {
        Admin::new(&self.directory_url(), &self.tokens.admin)
    }

    /// The ingest process.
    pub fn ingest(&mut self) -> &mut Process {
        &mut self.ingest
    }

    /// The first writer process.
    ///
    /// # Panics
    /// Where the fleet was started without one.
    pub fn writer(&mut self) -> &mut Process {
        self.writers.first_mut().expect("the fleet has a writer")
    }

    /// Every writer process.
    pub fn writers(&mut self) -> &mut [Process] {
        &mut self.writers
    }

    /// The directory process.
    pub fn directory(&mut self) -> &mut Process {
        &mut self.directory
    }

    /// The nats-server process; of a cluster the first one.
    pub fn nats(&mut self) -> &mut Process {
        self.nats.first_mut().expect("a fleet has a NATS server")
    }

    /// Every nats-server process, in the order of their names.
    pub fn nats_nodes(&mut self) -> &mut [Process] {
        &mut self.nats
    }

    /// The database servers, in the order of the shards: one for each, none for SQLite.
    pub fn servers(&mut self) -> &mut [DatabaseServer] {
        &mut self.servers
    }

    /// The proxies before the database servers, where the options asked for them.
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// Every process that is not a database.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let Self { ingest, writers, directory, nats, .. } = self;
        [ingest, directory].into_iter().chain(nats).chain(writers)
    }

    /// The path of a program of ours, built as this one was.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.path(name)
    }

    /// What its processes are started by.
    pub(crate) fn parts(&self) -> Services<'_> {
        let Self { binaries, home, plan, options, nats_users, tokens, .. } = self;
        Services { binaries, home, plan, options, nats_users, tokens }
    }

    /// By what callers prove to the directory who they are.
    pub fn tokens(&self) -> &DirectoryTokens {
        &self.tokens
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }

    /// How many partitions its journal has.
    pub fn partitions(&self) -> PartitionCount {
        self.plan.partitions
    }

    /// Where everything is, for programs that share no code with us.
    pub fn describe(&self) -> Description {
        let pid = |process: &Process| process.pid();
        let pids = |of: fn(&DatabaseServer) -> bool| {
            self.servers.iter().filter(|server| of(server)).map(DatabaseServer::pid).collect()
        };
        Description {
            ingest: self.ingest_url(),
            directory: self.directory_url(),
            directory_reader_token: self.tokens.reader.expose_secret().to_owned(),
            directory_admin_token: self.tokens.admin.expose_secret().to_owned(),
            nats: self.nats_url(),
            nats_users: NatsUser::ALL.map(|user| (&self.login(user)).into()).into(),
            shards: self.shards.iter().map(Into::into).collect(),
            pids: Pids {
                nats_server: self.nats[0].pid(),
                nats_servers: self.nats.iter().map(pid).collect(),
                directory: self.directory.pid(),
                ingest: self.ingest.pid(),
                writer: self.writers.iter().map(pid).collect(),
                postgres: pids(|server| matches!(server, DatabaseServer::Postgres(_))),
                mysql: pids(|server| matches!(server, DatabaseServer::Mariadb(_))),
            },
        }
    }
}

/// One server, or each of a cluster: with a name, a folder and a log of its own, and all else the same.
fn nats_servers(
    program: &Path,
    home: &Home,
    plan: &Plan,
    options: &FleetOptions,
    users: &NatsUsers,
) -> anyhow::Result<Vec<NatsServer>> {
    let routes: Vec<_> = plan.nats_routes.iter().copied().map(loopback).collect();
    let server = |(index, port): (usize, u16)| {
        let cluster = routes.get(index).map(|listen| ClusterPlace { listen: *listen, routes: routes.clone() });
        // The first one's are those of a server that is alone.
        let number = if index == 0 { String::new() } else { (index + 1).to_string() };
        Ok(NatsServer {
            name: nats_cluster::name(index),
            program: program.to_owned(),
            folder: home.private_folder(&format!("nats{number}"))?,
            log: home.log(&format!("nats-server{number}")),
            listen: loopback(port),
            partitions: plan.partitions,
            sync_always: options.sync_always,
            max_file_store: options.max_file_store(),
            monitor: None,
            own_group: options.own_group,
            users: Some(users.clone()),
            cluster,
        })
    };
    plan.nats_nodes().enumerate().map(server).collect()
}

fn http(port: u16) -> String {
    format!("http://{}", loopback(port))
}
