//! The writer's whole life: connect, start the workers, stop in order.

use std::{sync::Arc, time::Duration};

use sluice_directory::Client;
use sluice_journal::Journal;
use sluice_service::{
    Backoff, http,
    nats::{self, disk_sync::DiskSync},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Config,
    group::{
        MemberName,
        division::{Assignment, Division},
        membership::Membership,
    },
    lane::{health::chain, task::Context},
    lanes::Lanes,
    shards::Shards,
    status::{self, Part, Status},
    trim::{self, round::Trimmer},
    worker::Worker,
};

/// How often the directory is asked for shards that were registered meanwhile.
const SHARDS_REFRESH: Duration = Duration::from_secs(10);

/// Writes until told to stop; then stops reading, commits what is queued, and returns.
///
/// # Errors
/// Where the journal can never be used as it is, or the listener fails.
pub async fn run(config: Config, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
    let client = nats::connect(&config.nats, "sluice-writer").await?;
    let status = Status::new(Duration::from_secs(config.stalled_after_s));
    status.watch_disks(DiskSync::watch(&config.monitor, client.clone(), shutdown.clone())?);
    let address = listener.local_addr()?;
    tracing::info!(%address, "writer's status");
    let name = config.group.name.clone();
    let name = name.unwrap_or_else(|| MemberName::of_this_process(address));
    let serving = CancellationToken::new();
    let server = tokio::spawn(http::serve(listener, status::routes(status.clone()), serving.clone()));
    let written = open_and_write(&config, name, client, status, &shutdown).await;
    serving.cancel();
    server.await??;
    written
}

async fn open_and_write(
    config: &Config,
    name: MemberName,
    client: async_nats::Client,
    status: Status,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let directory = Client::from_args(&config.directory, &client)?;
    let Some(journal) = Journal::open_when_ready(client, &config.journal, shutdown).await? else { return Ok(()) };
    tracing::info!(journal = journal.id(), partitions = %journal.partitions(), "the journal is open");
    status.opened(journal.clone());
    let watch = CancellationToken::new();
    // Until the last lane has ended: readiness and lanes go by what it sees.
    let _watching = watch.clone().drop_guard();
    let watched = journal.clone();
    tokio::spawn(async move { watched.watch(watch).await });
    write(config, name, journal, directory, status, shutdown).await
}

/// What [`run`] does once journal and directory are there, without the listener: a simulation starts here, with its own.
///
/// # Errors
/// Where a part of it has panicked.
pub async fn write(
    config: &Config,
    name: MemberName,
    journal: Journal,
    directory: Client,
    status: Status,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let shards = Arc::new(Shards::new(directory.clone(), journal.clone()));
    let Some(names_shards_late) = wait_for_directory(&directory, shutdown).await else { return Ok(()) };
    let (stop_reading, stop_lanes) = (CancellationToken::new(), CancellationToken::new());
    let (readers, lane_tasks) = (TaskTracker::new(), TaskTracker::new());
    let workers: Vec<Arc<Lanes>> = (0..config.workers)
        .map(|worker| {
            let context = Context {
                share: Arc::default(),
                journal: journal.clone(),
                directory: directory.clone(),
                shards: Arc::clone(&shards),
                config: config.lanes.clone(),
                names_shards_late,
                stop: stop_lanes.clone(),
            };
            Arc::new(Lanes::new(worker, context, status.clone(), lane_tasks.clone()))
        })
        .collect();
    // Only a writer that has shards to write to says that it is there.
    if first_shards(&shards, &workers, shutdown).await {
        status.knows_shards();
        let membership = Membership::new(name, journal.clone(), config.group.takeover(), status.clone());
        let assigned = workers.iter().map(|lanes| {
            let (assigned, assignment) = watch::channel(Assignment::default());
            readers.spawn(Worker::new(Arc::clone(lanes), stop_reading.clone()).run(assignment));
            assigned
        });
        readers.spawn(status.clone().observe(journal.clone(), stop_reading.clone()));
        let partitions = journal.partitions().all().collect();
        let division = Division { partitions, assigned: assigned.collect(), status: status.clone() };
        readers.spawn(division.run(membership.name().clone(), membership.follow(), stop_reading.clone()));
        let trimmer = Trimmer::new(journal.clone(), directory.clone(), config.trim.clone());
        readers.spawn(trim::run(trimmer, config.trim.interval(), status.clone(), stop_reading.clone()));
        let member = tokio::spawn(membership.run(stop_reading.clone()));
        follow_shards(&shards, &workers, &status, shutdown).await;
        stop_reading.cancel();
        member.await?;
    }
    readers.close();
    readers.wait().await;
    stop_lanes.cancel();
    lane_tasks.close();
    if tokio::time::timeout(config.lanes.grace(), lane_tasks.wait()).await.is_err() {
        tracing::warn!("some shards did not take their last batch in time; the next writer reads it again");
    }
    Ok(())
}

/// Asks until there is an answer whether the directory names all its shards; `None` where `shutdown` came first.
async fn wait_for_directory(directory: &Client, shutdown: &CancellationToken) -> Option<bool> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        match directory.names_shards_late().await {
            Ok(late) => return Some(late),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the directory");
                tokio::select! { biased; () = shutdown.cancelled() => return None, () = tokio::time::sleep(backoff.next_wait()) => {} }
            }
        }
    }
}

/// Asks for the shards until the directory answers; false where `shutdown` came first.
async fn first_shards(shards: &Shards, workers: &[Arc<Lanes>], shutdown: &CancellationToken) -> bool {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        match refresh(shards, workers).await {
            Ok(()) => return true,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the directory");
                tokio::select! { biased; () = shutdown.cancelled() => return false, () = tokio::time::sleep(backoff.next_wait()) => {} }
            }
        }
    }
}

/// Keeps a lane for every registered shard, until `shutdown`.
async fn follow_shards(shards: &Shards, workers: &[Arc<Lanes>], status: &Status, shutdown: &CancellationToken) {
    while !sluice_service::shutdown::cancelled_within(shutdown, SHARDS_REFRESH).await {
        let refreshed = refresh(shards, workers).await;
        if let Err(error) = &refreshed {
            tracing::warn!(error = error as &dyn std::error::Error, "the directory does not answer");
        }
        status.part(Part::Directory, refreshed.err().map(|error| chain(&error)));
    }
}

async fn refresh(shards: &Shards, workers: &[Arc<Lanes>]) -> Result<(), sluice_directory::DirectoryError> {
    let names = shards.refresh().await?;
    for lanes in workers {
        names.iter().for_each(|shard| lanes.get_or_start(shard));
        if !lanes.context().names_shards_late {
            lanes.retain(&names);
        }
    }
    Ok(())
}
