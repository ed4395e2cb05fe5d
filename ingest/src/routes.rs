//! Every path of the service, and what all of them have in common.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{Method, StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sluice_service::{Problem, http, nats::disk_sync::DiskSync, problem::ProblemCode};

use crate::{
    app::App,
    bulk,
    cors::{self, Origin},
    openapi, person, ready,
};

/// The routes, with the client whose connection decides on readiness until the journal is open, and
/// the origins whose pages may post.
pub fn routes(app: App, client: async_nats::Client, sync: DiskSync, origins: &[Origin]) -> Router {
    let ready = {
        let app = app.clone();
        move || {
            let is_connected = client.connection_state() == async_nats::connection::State::Connected;
            let readiness = app
                .publisher()
                .map_or_else(|_| ready::starting(is_connected), |publisher| ready::of(publisher.journal()));
            std::future::ready(readiness)
        }
    };
    let routes = Router::new()
        .route("/person", post(bulk::create_for_many))
        .route("/person/{customer_id}", post(person::create))
        .route("/person/{customer_id}/{id}", get(person::show))
        .with_state(app)
        // The handlers limit the body by themselves, after it is unpacked.
        .layer(DefaultBodyLimit::disable())
        .merge(openapi::routes())
        .merge(http::health(ready, sync))
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_here)
        .layer(middleware::from_fn(observe));
    // Outermost: what is refused by whatever layer is for the page to read.
    match cors::layer(origins) {
        Some(layer) => routes.layer(layer),
        None => routes,
    }
}

/// A request that is counted until it is answered, or its client gone.
struct UnderWay(metrics::Gauge);

impl UnderWay {
    fn begin() -> Self {
        let gauge = metrics::gauge!("sluice_ingest_requests_in_flight");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Counts requests and their problems, and makes a problem document of every error that is none yet.
/// That ingest is not ready is no problem of whoever asks.
async fn observe(request: Request, next: Next) -> Response {
    let is_health = http::is_health(request.uri().path());
    let under_way = UnderWay::begin();
    let response = next.run(request).await;
    drop(under_way);
    if response.status().as_u16() < 400 || is_health {
        return response;
    }
    let is_told = response.extensions().get::<ProblemCode>().is_some();
    let response = if is_told { response } else { documented(response.status()) };
    if let Some(ProblemCode(code)) = response.extensions().get() {
        metrics::counter!("sluice_ingest_problems_total", "code" => code.clone()).increment(1);
    }
    response
}

/// What the library answered by itself, as a problem document.
fn documented(status: StatusCode) -> Response {
    Problem::new(status, "error", status.canonical_reason().unwrap_or("error").to_lowercase()).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; to create a person, POST to /person/{{customer_id}}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

async fn nothing_here(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; POST to /person/{{customer_id}}; /docs tells more", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}
