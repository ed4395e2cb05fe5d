//! A whole fleet on this machine: real servers, our services as processes of their own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use sluice_model::PartitionCount;

use crate::{
    admin::Admin,
    binaries::Binaries,
    databases::{self, FleetShard},
    describe::{Description, Pids},
    home::Home,
    nats_program,
    nats_server::NatsServer,
    options::FleetOptions,
    plan::Plan,
    ports::loopback,
    postgres::Postgres,
    process::Process,
    services::Services,
};

/// A running fleet. Dropping it stops everything, in the order of the fields: nobody outlives what it needs.
pub struct Fleet {
    ingest: Process,
    writers: Vec<Process>,
    directory: Process,
    servers: Vec<Postgres>,
    nats: Process,
    shards: Vec<FleetShard>,
    plan: Plan,
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
        let progress = options.progress;
        progress.line("building the services (the first time takes minutes)");
        let binaries = Binaries::built().await?;
        let step = progress.step("looking for nats-server, or fetching it");
        let program = nats_program::find(&binaries.tools()).await?;
        step.done();
        let home = Arc::new(Home::open(options.dir.as_deref())?);
        let plan = Plan::of(home.path(), &options)?;

        let step =
            progress.step(&format!("starting nats-server and {} {} shards", options.shard_count, options.shards));
        let nats = nats_server(program, &home, &plan, &options)?;
        let databases = databases::start(plan.shards, &home, &plan.databases, options.durable_shards);
        // What is bound first is dropped last, so that a failure below stops things in order too.
        let (nats, databases) = tokio::try_join!(nats.start(), databases)?;
        step.done();

        let step = progress.step("starting the directory and registering the shards");
        let services = Services { binaries: &binaries, home: &home, plan: &plan, options: &options };
        let directory = Process::start(services.directory()?).await?;
        Admin::new(&http(plan.directory))?.register(&databases.shards).await?;
        step.done();

        let step = progress.step("starting ingest and the writer");
        let mut writers = Vec::new();
        for index in 0..plan.writers.len() {
            writers.push(Process::start(services.writer(index)).await?);
        }
        let ingest = Process::start(services.ingest()).await?;
        step.done();
        let databases::Databases { servers, shards } = databases;
        Ok(Self { ingest, writers, directory, servers, nats, shards, plan, options, binaries, home })
    }

    /// Stops everything, showing that; dropping does the same without a word.
    pub fn stop(mut self) {
        let step = self.options.progress.step("stopping");
        self.ingest.stop();
        for writer in &mut self.writers {
            writer.stop();
        }
        self.directory.stop();
        self.servers.iter_mut().for_each(Postgres::stop);
        self.nats.stop();
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

    /// Where NATS is.
    pub fn nats_url(&self) -> String {
        format!("nats://{}", loopback(self.plan.nats))
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
        Admin::new(&self.directory_url())
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

    /// The nats-server process.
    pub fn nats(&mut self) -> &mut Process {
        &mut self.nats
    }

    /// The PostgreSQL servers, one per shard; none for SQLite.
    pub fn servers(&mut self) -> &mut [Postgres] {
        &mut self.servers
    }

    /// Every process that is not a database.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let Self { ingest, writers, directory, nats, .. } = self;
        [ingest, directory, nats].into_iter().chain(writers)
    }

    /// The path of a program of ours, built as this one was.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.path(name)
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
        Description {
            ingest: self.ingest_url(),
            directory: self.directory_url(),
            nats: self.nats_url(),
            shards: self.shards.iter().map(Into::into).collect(),
            pids: Pids {
                nats_server: self.nats.pid(),
                directory: self.directory.pid(),
                ingest: self.ingest.pid(),
                writer: self.writers.iter().map(pid).collect(),
                postgres: self.servers.iter().map(Postgres::pid).collect(),
            },
        }
    }
}

fn nats_server(program: PathBuf, home: &Home, plan: &Plan, options: &FleetOptions) -> anyhow::Result<NatsServer> {
    Ok(NatsServer {
        program,
        folder: home.private_folder("nats")?,
        log: home.log("nats-server"),
        listen: loopback(plan.nats),
        partitions: plan.partitions,
        sync_always: options.sync_always,
        max_file_store: options.max_file_store(),
        own_group: options.own_group,
    })
}

fn http(port: u16) -> String {
    format!("http://{}", loopback(port))
}
