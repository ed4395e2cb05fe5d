//! The service's whole life, and its routes.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{Method, StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use sluice_journal::{Journal, Publisher};
use sluice_service::{Problem, http, nats};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Config, person};

/// The most bytes of a request's body: a person of the longest fields, every character of them escaped.
pub const BODY_MAX_BYTES: usize = 64 << 10;

/// What the routes share. Empty until the journal is open: until then requests get 503.
#[derive(Debug, Clone, Default)]
pub struct App {
    publisher: Arc<OnceLock<Publisher>>,
}

impl App {
    /// An app that stores events through this publisher.
    pub fn opened(publisher: Publisher) -> Self {
        Self { publisher: Arc::new(publisher.into()) }
    }

    /// The way into the journal, once it is open.
    ///
    /// # Errors
    /// 503 until then: nothing was published.
    pub fn publisher(&self) -> Result<&Publisher, Problem> {
        let starting = || {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "starting",
                "the journal is not open yet; nothing was published",
            )
            .retry_after(1)
        };
        self.publisher.get().ok_or_else(starting)
    }
}

/// Serves from the first moment on, opens the journal as soon as NATS answers, and stops when told: what it has accepted
/// it answers first.
///
/// # Errors
/// Where the journal can never be used as it is, or the listener fails.
pub async fn run(config: Config, listener: TcpListener, shutdown: CancellationToken) -> anyhow::Result<()> {
    let client = nats::connect(&config.nats, "sluice-ingest").await?;
    let app = App::default();
    tracing::info!(address = %listener.local_addr()?, "ingest listens");
    let request_timeout = Duration::from_millis(config.request_timeout_ms);
    let router = routes(app.clone(), client.clone(), request_timeout);
    let server = tokio::spawn(http::serve(listener, router, shutdown.clone()));
    let opened = Journal::open_when_ready(client, &config.journal, &shutdown).await;
    match opened {
        Ok(Some(journal)) => {
            tracing::info!(journal = journal.id(), partitions = %journal.partitions(), "the journal is open");
            let publisher = Publisher::start(&journal, Duration::from_millis(config.ack_timeout_ms)).await?;
            app.publisher.set(publisher).map_err(|_| anyhow::anyhow!("the journal was opened twice"))?;
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

/// The routes, with the client whose connection decides on readiness.
pub fn routes(app: App, client: async_nats::Client, request_timeout: Duration) -> Router {
    let ready = {
        let app = app.clone();
        move || {
            let connected = client.connection_state() == async_nats::connection::State::Connected;
            let open = app.publisher().is_ok();
            async move { connected && open }
        }
    };
    Router::new()
        .route("/person/{customer_id}", post(person::create))
        .with_state(app)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn(move |request: Request, next: Next| limit_time(request_timeout, request, next)))
        .merge(http::health(ready))
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_here)
}

/// The last resort, behind the limits of each part. What was under way may still be stored.
async fn limit_time(limit: Duration, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {} ms; whether the event is stored is unknown", limit.as_millis());
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", detail).into_response()
    })
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; to create a person, POST to it", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

async fn nothing_here(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; POST to /person/{{customer_id}}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}
