//! Serve a router until stopped, and say whether the process is alive and ready.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::nats::disk_sync::DiskSync;

/// Whether the process can do its work now; what `/readyz` answers. Clones share the answer.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on `/readyz` answers 200 (or, for false, 503).
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// What `/readyz` answers now.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// `/livez`: 200 while the process runs. `/readyz`: 200 while `ready` says yes, else 503; its body
/// has what `sync` warns of, which makes nobody unready. `/metrics`: see [`crate::metrics`].
pub fn health<F, Fut>(ready: F, sync: DiskSync) -> Router
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = bool> + Send,
{
    let readyz = move || async move {
        let (status, text) =
            if ready().await { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
        let warnings: Vec<String> = sync.warning().into_iter().collect();
        (status, Json(serde_json::json!({ "status": text, "warnings": warnings }))).into_response()
    };
    Router::new()
        .route("/livez", get(|| async { Json(serde_json::json!({ "status": "alive" })) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(crate::metrics::show))
}

/// How long, after a stop, requests under way may take to end. Too short: answers are lost. Too long: somebody who sends
/// half a request keeps a process from ending.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Serves until `shutdown`; then takes no more, and returns once every request under way is answered, or after 10 s.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> anyhow::Result<()> {
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(STOP_LIMIT).await;
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        served = serving => served?,
        () = late => tracing::warn!("stopped with HTTP connections open"),
    }
    Ok(())
}
