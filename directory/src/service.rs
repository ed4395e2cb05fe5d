//! The whole life of the directory's process.

use std::sync::Arc;

use anyhow::Context;
use sluice_journal::{Journal, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::Directory,
    http::{self, Slot},
    nats::Face,
    placement::Policy,
    registration::Registrar,
    store::Store,
};

/// What a directory is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The meta database: `sqlite://PATH`.
    pub meta: String,
    /// What becomes of unknown customers.
    pub placement: Policy,
    /// How the journal is made, where there is none.
    pub journal: Settings,
}

/// Serves both faces until `shutdown`, and answers what is under way before it returns.
///
/// HTTP is there at once, so that `/livez` and `/readyz` can be asked; questions are answered from when the journal is
/// open, however long NATS takes to come up.
///
/// # Errors
/// Where the meta database cannot be opened, the journal is not what the configuration says, or a face fails.
pub async fn run(
    config: Config,
    listener: TcpListener,
    nats: async_nats::Client,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let store = Store::open(&config.meta).await?;
    let slot = Slot::default();
    // Whichever part ends first, for whatever reason, stops the other.
    let stop = shutdown.child_token();
    let http = async {
        let _stopping = stop.clone().drop_guard();
        serve_http(listener, slot.clone(), stop.clone()).await
    };
    let questions = async {
        let _stopping = stop.clone().drop_guard();
        serve_questions(&config, store.clone(), &slot, nats, stop.clone()).await
    };
    let (http, questions) = tokio::join!(http, questions);
    store.close().await;
    questions.and(http)
}

async fn serve_http(listener: TcpListener, slot: Slot, stop: CancellationToken) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "the directory listens");
    sluice_service::http::serve(listener, http::router(slot), stop).await
}

async fn serve_questions(
    config: &Config,
    store: Store,
    slot: &Slot,
    nats: async_nats::Client,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let journal = Journal::open_when_ready(nats.clone(), &config.journal, &stop).await;
    let Some(journal) = journal.context("the journal cannot be used")? else { return Ok(()) };
    tracing::info!(journal = journal.id(), partitions = %journal.partitions(), "the journal is open");
    let face = Face::subscribe(nats).await.context("cannot announce the service on NATS")?;
    let directory = Arc::new(Directory::new(store, Registrar::new(journal), config.placement));
    slot.open(directory.clone());
    tracing::info!(meta = config.meta, placement = ?config.placement, "the directory is ready");
    face.serve(directory, stop).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn without_nats_the_process_lives_is_not_ready_says_why_and_stops_when_told() {
        sluice_service::telemetry::init_for_test();
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            meta: format!("sqlite://{}", folder.path().join("meta.db").display()),
            placement: Policy::Auto,
            journal: Settings::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        // A port that is bound but never answered on: nothing else can take it while the test runs.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nats = async_nats::ConnectOptions::new()
            .retry_on_initial_connect()
            .connect(silent.local_addr().unwrap().to_string())
            .await
            .unwrap();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(config, listener, nats, shutdown.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| {
            let response = client.get(format!("{base}{path}")).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        assert_eq!(get("/livez").await.0, 200);
        assert_eq!(get("/readyz").await.0, 503);
        let (status, body) = get("/write/1").await;
        assert!(status == 503 && body.contains("starting") && body.contains("NATS"), "{status} {body}");
        shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), running).await.expect("it stops in time");
        ended.unwrap().unwrap();
    }
}
