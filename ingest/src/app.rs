//! The service's whole life, and what its requests share.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::http::StatusCode;
use sluice_journal::{Fate, Journal, Publisher, fate::inbox::Waiting};
use sluice_service::{
    Problem,
    door::busy,
    followed_file,
    nats::{self, disk_sync::DiskSync},
};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::{Config, access::Access, config::Limits, routes::routes};

/// What the requests share. Without a publisher until the journal is open: until then they get 503.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    publisher: OnceLock<Publisher>,
    access: Access,
    limits: Limits,
    places: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    stop: CancellationToken,
}

impl App {
    /// An app whose journal is not open yet. From `stop` on nobody waits for commits.
    pub fn new(access: Access, limits: Limits, stop: CancellationToken) -> Self {
        let (places, uploads) = (Semaphore::new(limits.in_flight), Semaphore::new(limits.uploads));
        let (places, uploads) = (places.into(), uploads.into());
        Self(Arc::new(Inner { publisher: OnceLock::new(), access, limits, places, uploads, stop }))
    }

    /// From now on events are stored by this publisher.
    ///
    /// # Errors
    /// Where there is one already.
    pub fn open(&self, publisher: Publisher) -> anyhow::Result<()> {
        self.0.publisher.set(publisher).map_err(|_| anyhow::anyhow!("the journal was opened twice"))
    }

    /// The way into the journal, once it is open.
    ///
    /// # Errors
    /// 503 until then: nothing was published.
    pub fn publisher(&self) -> Result<&Publisher, Problem> {
        let detail = "the journal is not open yet; nothing was published";
        let starting = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail).retry_after(1);
        self.0.publisher.get().ok_or_else(starting)
    }

    /// Who may write for whom.
    pub fn access(&self) -> &Access {
        &self.0.access
    }

    /// What each request has to keep to.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Waits for what becomes of an event, for so long at most; not beyond a stop, as the process ends then.
    pub async fn hear(&self, fate: Waiting, limit: Duration) -> Option<Arc<Fate>> {
        self.0.stop.run_until_cancelled(fate.within(limit)).await.flatten()
    }

    /// A place among the requests that are storing something.
    ///
    /// # Errors
    /// 503 where there is none: nothing was published.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        place.map_err(|_| busy("as many requests are being stored as may be; nothing was published"))
    }

    /// A place among the uploads; waits for one for as long as storing may take, and the client with it.
    ///
    /// # Errors
    /// 503 where there is none: nothing was published.
    pub async fn upload(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = tokio::time::timeout(self.0.limits.storing, Arc::clone(&self.0.uploads).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok);
        place.ok_or_else(|| busy("as many uploads are under way as may be; nothing was published"))
    }
}

/// Serves from the first moment on, opens the journal as soon as NATS answers, and stops when told: what it has accepted
/// it answers first.
///
/// # Errors
/// Where the journal can never be used as it is, or the listener fails.
pub async fn run(config: Config, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
    config.door.check(listener.local_addr()?)?;
    let app = App::new(Access::in_file(config.tokens.as_deref())?, config.limits(), shutdown.clone());
    let following = app.clone();
    tokio::spawn(followed_file::follow(move || following.access().look(), shutdown.clone()));
    let client = nats::connect(&config.nats, "sluice-ingest").await?;
    let sync = DiskSync::watch(&config.monitor, client.clone(), shutdown.clone())?;
    tracing::info!(address = %listener.local_addr()?, "ingest listens");
    let router = routes(app.clone(), client.clone(), sync, &config.cors_origins);
    let (door, stop) = (config.door.clone(), shutdown.clone());
    let mut server = tokio::spawn(async move { door.serve(listener, router, stop).await });
    let opened = tokio::select! {
        opened = Journal::open_when_ready(client, &config.journal, &shutdown) => opened,
        // A certificate that cannot be used is an error now, and not once NATS is there.
        served = &mut server => return served?,
    };
    match opened {
        Ok(Some(journal)) => {
            tracing::info!(journal = journal.id(), partitions = %journal.partitions(), "the journal is open");
            app.open(Publisher::start(&journal, config.ack_timeout()).await?)?;
            let stop = shutdown.clone();
            tokio::spawn(async move { journal.watch(stop).await });
        }
        Ok(None) => {}
        Err(error) => {
            shutdown.cancel();
            server.await??;
            return Err(error.into());
        }
    }
    server.await?
}
