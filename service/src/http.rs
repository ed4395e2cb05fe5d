//! Serve a router until stopped, and say whether the process is alive and ready.

use std::{future::Future, time::Duration};

use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Problem, nats::disk_sync::DiskSync};

/// Whether a process can do its work now, and why not; what `/readyz` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// What is missing, a sentence each. It is ready where this is empty.
    pub reasons: Vec<String>,
    /// What somebody should look at, although the process does its work.
    pub warnings: Vec<String>,
}

impl Readiness {
    /// Something is missing without which the process cannot do its work.
    pub fn lacks(&mut self, reason: impl Into<String>) {
        self.reasons.push(reason.into());
    }

    /// Something is not as it should be, and the process works all the same.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl IntoResponse for Readiness {
    /// 200, or 503 as a problem document with the reasons in it.
    fn into_response(self) -> Response {
        if self.is_ready() {
            let body = serde_json::json!({ "status": "ready", "warnings": self.warnings });
            return (StatusCode::OK, Json(body)).into_response();
        }
        let detail = format!("not ready: {}", self.reasons.join("; "));
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail).retry_after(1);
        problem.respond_with(&self)
    }
}

/// Whether a path is one of those that [`health`] answers: who asks there is no user, and what is
/// answered is no user's problem.
pub fn is_health(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics")
}

/// `/livez`: 200 while the process runs. `/readyz`: see [`Readiness`]; what `sync` warns of is among
/// its warnings. `/metrics`: see [`crate::metrics`].
pub fn health<F, Fut>(ready: F, sync: DiskSync) -> Router
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Readiness> + Send,
{
    let readyz = move || async move {
        let mut readiness = ready().await;
        readiness.warnings.extend(sync.warning());
        readiness
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

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, http::header};
    use serde_json::{Value, json};

    use super::*;

    async fn told(readiness: Readiness) -> (StatusCode, String, Value) {
        let response = readiness.into_response();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, kind, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn what_is_not_ready_is_a_problem_that_names_what_is_missing_and_warnings_are_told_either_way() {
        let mut readiness = Readiness::default();
        readiness.warn("shard b is away");
        let (status, _, body) = told(readiness.clone()).await;
        assert_eq!((status, body), (StatusCode::OK, json!({"status": "ready", "warnings": ["shard b is away"]})));
        readiness.lacks("NATS is not reachable");
        readiness.lacks("partition 2 is not read");
        let (status, kind, body) = told(readiness).await;
        assert_eq!((status.as_u16(), kind.as_str()), (503, "application/problem+json"));
        assert_eq!((&body["code"], &body["status"]), (&json!("not_ready"), &json!(503)));
        assert_eq!(body["reasons"], json!(["NATS is not reachable", "partition 2 is not read"]));
        assert_eq!(body["warnings"], json!(["shard b is away"]));
        assert!(body["detail"].as_str().unwrap().contains("NATS is not reachable; partition 2"), "{body}");
    }
}
