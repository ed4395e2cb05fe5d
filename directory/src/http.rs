//! The HTTP face. JSON in and out; every error is a problem document that names the offending place.

#[cfg(test)]
mod adoption_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod token_tests;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State, rejection::BytesRejection,
    },
    http::{Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use serde::de::DeserializeOwned;
use sluice_model::CustomerId;
use sluice_service::{
    Problem,
    nats::disk_sync::DiskSync,
    problem::ProblemCode,
    tokens::{Role, Tokens},
};

use crate::{
    answer::Directory,
    api::{
        self, AtQuery, CustomerRoutes, Destination, ListedShard, NewShard, Place, ReadQuestions, Route, RouteAnswer,
        Routes, ShardChange, ShardCredentials, Shards, WriteQuestions,
    },
    ready,
};

/// The longest that one request may take. Above what trying a slow database may (20 s).
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The longest that a registration may take. Above what it may in all: looking at others (5 s), preparing (twice 20 s), listing
/// customers (300 s).
const REGISTER_LIMIT: Duration = Duration::from_secs(360);
/// The largest body. 1,000 questions of the longest kind take about 110 KiB.
const BODY_BYTES: usize = 256 * 1024;

type Answer<T> = Result<Json<T>, Problem>;

/// Where the directory will be once it is open. Until then `/readyz` and all questions are answered with 503.
#[derive(Debug, Clone, Default)]
pub struct Slot(Arc<OnceLock<Arc<Directory>>>);

impl Slot {
    /// From now on there is a directory.
    pub fn open(&self, directory: Arc<Directory>) {
        // Only one directory is ever opened in a process' life; a second one would find the first, and that is no harm.
        let _ = self.0.set(directory);
    }
}

/// Every path of the face, with `/livez` and `/readyz`, which want no token.
pub fn router(slot: Slot, tokens: Arc<Tokens>, sync: DiskSync) -> Router {
    let ready = slot.clone();
    let is_ready = move || {
        let open = ready.0.get().cloned();
        async move {
            match open {
                Some(directory) => ready::of(directory).await,
                None => ready::starting(),
            }
        }
    };
    let health = sluice_service::http::health(is_ready, sync);
    let only = |role| middleware::from_fn_with_state((Arc::clone(&tokens), role), check_token);
    let readers = Router::new()
        .route("/write/{customer}", get(write_one))
        .route("/read/{customer}", get(read_one))
        .route("/write", post(write_many))
        .route("/read", post(read_many))
        .route("/shards/credentials", get(credentials))
        .route_layer(only(Role::Reader));
    let administrators = Router::new()
        .route("/shards", get(list_shards).post(register_shard))
        .route("/shards/{shard}", patch(change_shard).delete(remove_shard))
        .route("/customers/{customer}", get(show_customer).put(place_customer))
        .route_layer(only(Role::Admin));
    Router::new()
        .merge(readers)
        .merge(administrators)
        .with_state(slot)
        .merge(health)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(limit_time))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

/// `GET /write/{customer}[?at=POSITION]`: where to write now, or where an event at that position belongs, with
/// credentials. An unknown customer is placed by policy. 404 `unknown_customer` where it is refused; 503
/// `no_open_shard` where it has to wait for a shard.
async fn write_one(Open(open): Open, Customer(customer): Customer, At(query): At) -> Answer<Destination> {
    open.write_one(customer, query.at.map(|at| at.0)).await.map(Json)
}

/// `GET /read/{customer}`: where its rows are, with credentials. Places nobody. 404 `unknown_customer`.
async fn read_one(Open(open): Open, Customer(customer): Customer) -> Answer<Destination> {
    open.read_one(customer).await.map(Json)
}

/// `POST /write` `{"customers":[{"customer":"1","at":123}]}`: for up to 1,000 in one transaction:
/// `{"routes":[{"shard","from"} | {"refused":true}]}`, in the order of the questions.
async fn write_many(Open(open): Open, Body(questions): Body<WriteQuestions>) -> Answer<Routes<RouteAnswer>> {
    open.write_many(questions).await.map(Json)
}

/// `POST /read` `{"customers":["1"]}`: for up to 1,000: `{"routes":[{"shard","from"} | null]}`. Places nobody.
async fn read_many(Open(open): Open, Body(questions): Body<ReadQuestions>) -> Answer<Routes<Option<Route>>> {
    open.read_many(questions).await.map(Json)
}

/// `GET /shards`: `{"shards":[..]}`, by name, with state, customers, rows, size and whether it answers; never with a password.
async fn list_shards(Open(open): Open) -> Answer<Shards<ListedShard>> {
    open.shards().await.map(Json)
}

/// `GET /shards/credentials`: `{"shards":[..]}` with passwords, for writers and readers.
async fn credentials(Open(open): Open) -> Answer<Shards<ShardCredentials>> {
    open.credentials().await.map(Json)
}

/// `POST /shards` `{"name","flavor","host","port","user","password"|"password_file","database","pool","weight"}`: makes a database
/// a shard. 201.
/// 422 names a bad field, or says why the database refused; 409 `shard_exists`; 502 where it does not answer.
async fn register_shard(
    Open(open): Open,
    Body(new): Body<NewShard>,
) -> Result<(StatusCode, Json<ListedShard>), Problem> {
    open.register(new).await.map(|shard| (StatusCode::CREATED, Json(shard)))
}

/// `PATCH /shards/{shard}` `{"state","weight","host","port","user","password"|"password_file","database"}`, any of them. Another
/// address or password is tried first, and has to lead to the same database. 404 `no_such_shard`; else as `POST /shards`.
async fn change_shard(
    Open(open): Open,
    Path(shard): Path<String>,
    Body(change): Body<ShardChange>,
) -> Answer<ListedShard> {
    open.change(&shard, change).await.map(Json)
}

/// `DELETE /shards/{shard}`: takes out a closed shard that nobody is, or was, on. 204. 409 `shard_not_closed`, `shard_occupied`.
async fn remove_shard(Open(open): Open, Path(shard): Path<String>) -> Result<StatusCode, Problem> {
    open.remove(&shard).await.map(|()| StatusCode::NO_CONTENT)
}

/// `GET /customers/{customer}`: `{"customer","routes":[{"shard","from"}]}`, the newest last. 404 `unknown_customer`.
async fn show_customer(Open(open): Open, Customer(customer): Customer) -> Answer<CustomerRoutes> {
    open.customer(customer).await.map(Json)
}

/// `PUT /customers/{customer}` `{"shard":NAME}`: places it before its first event, or confirms that it is there. 409
/// where it is elsewhere, or the shard takes no (more) customers; 404 `no_such_shard`.
async fn place_customer(
    Open(open): Open,
    Customer(customer): Customer,
    Body(place): Body<Place>,
) -> Answer<CustomerRoutes> {
    open.place(customer, &place.shard).await.map(Json)
}

async fn no_such_path(request: Request) -> Problem {
    let detail = format!("there is nothing at {}", request.uri().path());
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", detail).at(format!("path: {}", request.uri().path()))
}

async fn no_such_method(request: Request) -> Problem {
    let detail = format!("{} is not possible at {}", request.method(), request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", detail)
}

async fn check_token(
    State((tokens, role)): State<(Arc<Tokens>, Role)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    tokens.check(request.headers(), role)?;
    Ok(next.run(request).await)
}

async fn limit_time(request: Request, next: Next) -> Response {
    // That it is not ready is no problem of whoever asks.
    if sluice_service::http::is_health(request.uri().path()) {
        return next.run(request).await;
    }
    let begun = Instant::now();
    let response = limited(request, next).await;
    observed("http", begun, response.extensions().get::<ProblemCode>().map(|code| code.0.as_str()));
    response
}

/// Counts an answer, and the problem that it tells.
pub(crate) fn observed(face: &'static str, begun: Instant, problem: Option<&str>) {
    metrics::histogram!("sluice_directory_request_seconds", "face" => face).record(begun.elapsed());
    if let Some(code) = problem {
        metrics::counter!("sluice_directory_problems_total", "face" => face, "code" => code.to_owned()).increment(1);
    }
}

async fn limited(request: Request, next: Next) -> Response {
    // A task of its own, which goes on when the time is over or the caller is gone: a store operation that is dropped half
    // way could leave its transaction open on a connection that goes back to the pool.
    let registers = request.method() == Method::POST && request.uri().path() == "/shards";
    let limit = if registers { REGISTER_LIMIT } else { REQUEST_LIMIT };
    match tokio::time::timeout(limit, tokio::spawn(next.run(request))).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%error, "a request failed");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request failed").into_response()
        }
        Err(_) => {
            let detail = format!("no answer within {} s", limit.as_secs());
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", detail).retry_after(1).into_response()
        }
    }
}

/// The directory, where it is open.
struct Open(Arc<Directory>);

impl FromRequestParts<Slot> for Open {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, slot: &Slot) -> Result<Self, Problem> {
        let State(slot) = State::<Slot>::from_request_parts(parts, slot).await.unwrap_or_else(|never| match never {});
        let starting = || {
            let detail = "the directory is starting: it waits for the journal (NATS)";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail).retry_after(1)
        };
        slot.0.get().cloned().map(Open).ok_or_else(starting)
    }
}

/// The customer that the path names.
struct Customer(CustomerId);

impl<S: Send + Sync> FromRequestParts<S> for Customer {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bad = |what: String| Problem::new(StatusCode::BAD_REQUEST, "invalid_customer", what).at("path: customer");
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|error| bad(error.body_text()))?;
        text.parse().map(Customer).map_err(|error: sluice_model::InvalidCustomerId| bad(error.to_string()))
    }
}

/// The position that the query names, if any.
struct At(AtQuery);

impl<S: Send + Sync> FromRequestParts<S> for At {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<AtQuery>::from_request_parts(parts, state).await;
        query
            .map(|Query(query)| At(query))
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid_query", error.body_text()).at("query: at"))
    }
}

/// A JSON body. The content type has to say so: a web page cannot send that to another site unasked.
struct Body<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let named = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = named.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let detail = "the body has to be JSON and to say so: Content-Type: application/json";
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail);
            return Err(problem.at("header: Content-Type"));
        }
        let body = Bytes::from_request(request, state).await.map_err(|error: BytesRejection| {
            let detail = format!("{}; a body has at most {BODY_BYTES} bytes", error.body_text());
            Problem::new(error.status(), "unreadable_body", detail)
        })?;
        api::parse(&body).map(Body)
    }
}
