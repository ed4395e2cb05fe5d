//! The whole life of the directory's process.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use secrecy::{ExposeSecret, SecretString};
use sluice_journal::{Journal, Settings};
use sluice_service::{followed_file, nats::disk_sync::DiskSync, tokens::Tokens};
use sluice_shard::CustomerColumn;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::Directory,
    http::{self, Slot},
    measure,
    nats::Face,
    placement::Policy,
    registration::Registrar,
    store::Store,
};

/// How long to wait before a bucket that could not be made is tried again.
const BUCKETS_AGAIN: Duration = Duration::from_secs(5);

/// What a directory is told.
#[derive(Debug)]
pub struct Config {
    /// The meta database: `sqlite://PATH`, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    pub meta: SecretString,
    /// The key that the shards' passwords are sealed with; without, the file beside a SQLite database.
    pub key_file: Option<PathBuf>,
    /// What the customer's column is called in every shard.
    pub customer_column: CustomerColumn,
    /// How often the shards are asked how much they hold.
    pub measure: Duration,
    /// What becomes of unknown customers.
    pub placement: Policy,
    /// How the journal is made, where there is none.
    pub journal: Settings,
    /// By what callers over HTTP prove who they are.
    pub tokens: Tokens,
    /// Whether NATS acknowledges only what its disk has.
    pub sync: DiskSync,
}

/// Serves both faces until `shutdown`, and answers what is under way before it returns.
///
/// HTTP is there at once, so that `/livez` and `/readyz` can be asked; questions are answered from when the journal is
/// open, however long NATS takes to come up.
///
/// # Errors
/// Where the meta database cannot be opened, the journal is not what the configuration says, or a face fails.
pub async fn run(
    mut config: Config,
    listener: TcpListener,
    nats: async_nats::Client,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let store = Store::open(config.meta.expose_secret(), config.key_file.as_deref()).await?;
    let slot = Slot::default();
    let tokens = Arc::new(std::mem::take(&mut config.tokens));
    let followed = Arc::clone(&tokens);
    tokio::spawn(followed_file::follow(move || followed.look(), shutdown.clone()));
    // Whichever part ends first, for whatever reason, stops the other.
    let stop = shutdown.child_token();
    let http = async {
        let _stopping = stop.clone().drop_guard();
        serve_http(listener, http::router(slot.clone(), tokens, config.sync.clone()), stop.clone()).await
    };
    let questions = async {
        let _stopping = stop.clone().drop_guard();
        serve_questions(&config, store.clone(), &slot, nats, stop.clone()).await
    };
    let (http, questions) = tokio::join!(http, questions);
    store.close().await;
    questions.and(http)
}

async fn serve_http(listener: TcpListener, router: Router, stop: CancellationToken) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "the directory listens");
    sluice_service::http::serve(listener, router, stop).await
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
    // Before anybody asks: in a cluster a bucket that is only just being made does not answer.
    let mut made = make_buckets(&journal).await;
    let face = Face::subscribe(nats).await.context("cannot announce the service on NATS")?;
    let column = config.customer_column.clone();
    let directory = Arc::new(Directory::new(store, Registrar::new(journal.clone()), config.placement, column));
    slot.open(directory.clone());
    tracing::info!(placement = ?config.placement, "the directory is ready");
    let measuring = measure::run(Arc::clone(&directory), config.measure, stop.clone());
    let watching = journal.watch(stop.clone());
    tokio::join!(face.serve(directory, stop.clone()), measuring, watching, async {
        while !made && stop.run_until_cancelled(tokio::time::sleep(BUCKETS_AGAIN)).await.is_some() {
            made = make_buckets(&journal).await;
        }
    });
    Ok(())
}

/// Others wait for these: they may not be allowed to make them.
async fn make_buckets(journal: &Journal) -> bool {
    let made = journal.make_buckets().await;
    made.inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "trying again")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_nats_the_process_lives_is_not_ready_says_why_and_stops_when_told() {
        sluice_service::telemetry::init_for_test();
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            meta: format!("sqlite://{}", folder.path().join("meta.db").display()).into(),
            key_file: None,
            customer_column: CustomerColumn::default(),
            measure: Duration::from_secs(10),
            placement: Policy::Auto,
            journal: Settings::default(),
            tokens: Tokens::default(),
            sync: DiskSync::default(),
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
        let (status, body) = get("/readyz").await;
        assert!(status == 503 && body.contains("reasons") && body.contains("it waits for the journal"), "{body}");
        let (status, body) = get("/write/1").await;
        assert!(status == 503 && body.contains("starting") && body.contains("NATS"), "{status} {body}");
        shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), running).await.expect("it stops in time");
        ended.unwrap().unwrap();
    }
}
