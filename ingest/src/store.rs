//! Storing in the journal, and what a failure means to a client.

use std::time::Instant;

use axum::http::StatusCode;
use sluice_journal::{Ask, PublishError, Stored};
use sluice_model::{CustomerId, MessageBuilder, Reason, Refusal};
use sluice_service::Problem;

use crate::app::App;

/// Stores a customer's events in one message.
///
/// # Errors
/// 503 where nothing was stored, 504 where nobody knows; else what the journal refuses.
pub async fn store(app: &App, customer: &CustomerId, message: MessageBuilder, ask: Ask) -> Result<Stored, Problem> {
    let begun = Instant::now();
    let (limit, events) = (app.limits().storing, message.events());
    let stored = tokio::time::timeout(limit, app.publisher()?.publish(customer, message, ask)).await;
    let stored = stored.unwrap_or_else(|_| {
        let what = format!("no answer within {} ms", limit.as_millis());
        Err(PublishError::Unknown(what))
    });
    note(begun, events, &stored);
    stored.map_err(not_stored)
}

/// Counts what came of it.
pub fn note(begun: Instant, events: usize, stored: &Result<Stored, PublishError>) {
    metrics::histogram!("sluice_ingest_publish_seconds").record(begun.elapsed());
    if stored.as_ref().is_ok_and(|stored| !stored.replayed) {
        metrics::counter!("sluice_ingest_accepted_events_total").increment(events as u64);
    }
}

/// What a client is told about events that are not stored, or not surely.
pub fn not_stored(error: PublishError) -> Problem {
    let detail = error.to_string();
    let unavailable =
        |code: &str, seconds| Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, &detail).retry_after(seconds);
    match error {
        PublishError::Disconnected => unavailable("journal_unreachable", 1),
        PublishError::NoLeader => unavailable("journal_without_leader", 1),
        PublishError::Full => unavailable("journal_full", 10),
        PublishError::WentBack { .. } => unavailable("journal_went_back", 10),
        PublishError::Misconfigured(_) => unavailable("journal_misconfigured", 10),
        PublishError::Refused(_) => unavailable("journal_refused", 10),
        PublishError::KeyReused { .. } => {
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail);
            problem.at("header: Idempotency-Key")
        }
        PublishError::TooLarge { .. } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "message_too_large", detail).at("")
        }
        PublishError::Unknown(_) => Problem::new(StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", detail),
    }
}

/// What a client is told about an event that can never become a row.
pub fn refused(refusal: Refusal) -> Problem {
    let status = match refusal.reason {
        Reason::MalformedJson => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let problem = Problem::new(status, refusal.reason.code(), refusal.detail);
    match refusal.pointer {
        Some(pointer) => problem.at(pointer),
        None => problem,
    }
}
