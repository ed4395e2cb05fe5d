//! The API as a document for programs, and a page that shows it to people.

use axum::{Json, Router, response::Html, routing::get};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema, openapi};

use crate::{person::StoredPerson, report::Report};

/// `GET /openapi.json`, and `GET /docs`.
pub fn routes() -> Router {
    Router::new()
        .route("/openapi.json", get(async || Json(document())))
        .route("/docs", get(async || Html(include_str!("docs.html"))))
}

/// The document.
pub fn document() -> openapi::OpenApi {
    Api::openapi()
}

/// A person to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for what is read by Person::decode")]
struct NewPerson {
    /// At most 1,024 bytes of UTF-8, without NUL.
    #[schema(max_length = 1024, pattern = "^[^\\x00]*$")]
    name: String,
    /// At most 4,096 bytes of UTF-8, without NUL.
    #[schema(max_length = 4096, pattern = "^[^\\x00]*$")]
    address: String,
    /// If at all, the very customer of the path: a string, or a whole number without a sign, which
    /// stands for its decimal text.
    #[schema(nullable = true)]
    customer_id: Option<CustomerText>,
}

/// A customer.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it stands for what is read by Person::decode")]
enum CustomerText {
    Text(String),
    Number(u64),
}

/// An event that is stored.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "it stands for what is written by hand")]
struct Accepted {
    success: bool,
    /// The event id: the id of the row to be. A string, as it has more than 53 bits.
    #[schema(pattern = "^[0-9]{1,19}$")]
    id: String,
}

/// Of one person, or of many lines.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it stands for two kinds of answers")]
enum StoredOrReport {
    One(Accepted),
    Many(Report),
}

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "it stands for sluice_service::Problem")]
struct Problem {
    status: u16,
    /// Stable; programs branch on this.
    code: String,
    title: String,
    detail: String,
    /// The offending place: a JSON pointer into the body, `header: <name>` or `path: <segment>`.
    pointer: Option<String>,
    /// Whether the same request may be sent again.
    retry_safe: bool,
    retry_after_s: Option<u32>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Sluice ingest", description = "Create this person for customer 42: stored once, written once."),
    paths(create, create_for_many, show),
    components(schemas(NewPerson, CustomerText, Accepted, Problem, Report, StoredOrReport, StoredPerson))
)]
struct Api;

/// Create one person, or, as NDJSON, many of one customer.
///
/// An empty body makes a random person, unless that is switched off (422 `empty_body`). Many are
/// one object a line: `application/x-ndjson`, `ndjson`, `jsonl`, `x-jsonl`, `jsonlines` and
/// `x-jsonlines` say so. 202: stored. 201: the row is committed on its shard, where `Prefer:
/// wait=N` asked to wait for that. The body may be packed by gzip or zstd.
#[utoipa::path(
    post,
    path = "/person/{customer_id}",
    params(
        ("customer_id" = String, Path, pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description = "Whose it is"),
        ("X-Customer-ID" = Option<String>, Header, description = "If at all, the same again; it identifies, it does not authenticate"),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$", description = "A retry with the same key within the \
            journal's duplicate window (two minutes by default) gives the same id, and one row"),
        ("Prefer" = Option<String>, Header, description = "wait=N: answer 201 once the row is committed, or 202 after N seconds"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; the writer logs the commit under it"),
    ),
    request_body(content(
        (NewPerson = "application/json"),
        (String = "application/x-ndjson"),
    ), description = "One object, or one on each line"),
    responses(
        (status = 201, description = "Stored, and the row is committed", body = Accepted,
         headers(("Location" = String), ("Preference-Applied" = String))),
        (status = 202, description = "Stored; of many lines, a report", body = StoredOrReport,
         headers(("Location" = String), ("Idempotent-Replayed" = String))),
        (status = 400, description = "Not JSON, or a header or the customer's name makes no sense", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another customer's token, or header and path disagree", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such path", body = Problem, content_type = "application/problem+json"),
        (status = 405, description = "No such method here", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly; nothing of it, or what the report says, is stored", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too large, or larger than what the journal's server takes", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "An encoding that is not known", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It can never become a row, or the key was used for something else", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nothing was stored; send it again later", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32))),
        (status = 504, description = "Whether it is stored is unknown; with an Idempotency-Key sending again is safe", body = Problem, content_type = "application/problem+json"),
    )
)]
#[allow(dead_code, reason = "the attribute is all there is to it")]
fn create() {}

/// Create many persons of many customers.
///
/// Each line is an object with a `customer_id`: a string, or a whole number without a sign. No
/// brackets, no commas between lines. The body is read as it is stored; a line that is wrong does
/// not spoil the others.
#[utoipa::path(
    post,
    path = "/person",
    params(("X-Customer-ID" = Option<String>, Header, description = "If at all, the customer of every line")),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 202, description = "Something was stored; the report tells of each line that was not", body = Report),
        (status = 400, description = "No line at all, or unreadable", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another customer's token", body = Problem, content_type = "application/problem+json"),
        (status = 405, description = "No such method here", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly; the report says what is stored", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not NDJSON, or an encoding that is not known", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "No line can become a row; with the report", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not all was stored; with the report", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32))),
        (status = 504, description = "Of some lines it is unknown; with the report", body = Problem, content_type = "application/problem+json"),
    )
)]
#[allow(dead_code, reason = "the attribute is all there is to it")]
fn create_for_many() {}

/// An event that was stored, as long as the journal has it.
#[utoipa::path(
    get,
    path = "/person/{customer_id}/{id}",
    params(
        ("customer_id" = String, Path, pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"),
        ("id" = String, Path, pattern = "^[0-9]{1,19}$", description = "The event id"),
        ("X-Customer-ID" = Option<String>, Header, description = "If at all, the same customer again"),
    ),
    responses(
        (status = 200, description = "As it was stored", body = StoredPerson),
        (status = 400, description = "No customer, or no event id", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another customer's token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Trimmed, its row being on its shard; or there never was one", body = Problem, content_type = "application/problem+json"),
        (status = 405, description = "No such method here", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The journal does not answer", body = Problem, content_type = "application/problem+json", headers(("Retry-After" = u32))),
    )
)]
#[allow(dead_code, reason = "the attribute is all there is to it")]
fn show() {}
