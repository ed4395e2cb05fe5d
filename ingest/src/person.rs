//! `POST /person/{customer_id}`.

use axum::{
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use sluice_journal::{Ask, PublishError};
use sluice_model::{CustomerId, EventId, MessageBuilder, Person, Reason, Refusal};
use sluice_service::Problem;

use crate::{app::App, random};

/// Who the caller says the customer is; it identifies, it does not authenticate.
const CUSTOMER_HEADER: &str = "x-customer-id";
/// Length of the 202's body. An event id has 1 to 19 digits; `ab`, for one, takes answers of varying length for failures,
/// so the body is filled up with spaces, which JSON allows at the end.
const ACCEPTED_BYTES: usize = r#"{"success":true,"id":""}"#.len() + 19 + "\n".len();

/// Stores one person: the body's, or for an empty body a random one. 202 with the event id once it is stored.
///
/// # Errors
/// A problem document; where its status is below 500, or 503, nothing was stored.
pub async fn create(
    State(app): State<App>,
    customer: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let customer = customer_of(customer, &headers)?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("the body has more than {} bytes", crate::app::BODY_MAX_BYTES);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
        }
        status => Problem::new(status, "unreadable_body", rejection.body_text()),
    })?;
    let mut message = MessageBuilder::new();
    if body.is_empty() {
        message.push(&random::person());
    } else {
        message.push(&Person::decode(&body, &customer).map_err(refused)?);
    }
    let id = app.publisher()?.publish(&customer, message, Ask::default()).await.map_err(not_stored)?.first;
    Ok(accepted(id))
}

fn customer_of(path: Result<Path<String>, PathRejection>, headers: &HeaderMap) -> Result<CustomerId, Problem> {
    let invalid = |detail: String| {
        Problem::new(StatusCode::BAD_REQUEST, Reason::InvalidCustomer.code(), detail).at("path: customer_id")
    };
    let Path(path) = path.map_err(|rejection| invalid(rejection.body_text()))?;
    let customer: CustomerId = path.parse().map_err(|e| invalid(format!("{path:?} is {e}")))?;
    for header in headers.get_all(CUSTOMER_HEADER) {
        if header.as_bytes() != customer.as_str().as_bytes() {
            let detail = format!("X-Customer-ID is {header:?}, the path says {customer}; they have to agree");
            let problem = Problem::new(StatusCode::FORBIDDEN, Reason::CustomerMismatch.code(), detail);
            return Err(problem.at("header: X-Customer-ID"));
        }
    }
    Ok(customer)
}

fn refused(refusal: Refusal) -> Problem {
    let status = match refusal.reason {
        Reason::MalformedJson => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, refusal.reason.code(), refusal.detail)
}

fn not_stored(error: PublishError) -> Problem {
    let detail = error.to_string();
    match error {
        PublishError::Disconnected => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal_unreachable", detail).retry_after(1)
        }
        PublishError::NoLeader => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal_without_leader", detail).retry_after(1)
        }
        PublishError::Full => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal_full", detail).retry_after(10),
        PublishError::WentBack { .. } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal_went_back", detail).retry_after(10)
        }
        PublishError::Refused(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal_refused", detail).retry_after(10)
        }
        PublishError::KeyReused { .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
                .at("header: Idempotency-Key")
        }
        PublishError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "message_too_large", detail),
        PublishError::Unknown(_) => Problem::new(StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", detail),
    }
}

fn accepted(id: EventId) -> Response {
    let mut body = format!(r#"{{"success":true,"id":"{id}"}}"#);
    body.extend(std::iter::repeat_n(' ', ACCEPTED_BYTES.saturating_sub(body.len() + 1)));
    body.push('\n');
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use sluice_model::{Partition, Position};

    use super::*;

    #[tokio::test]
    async fn the_accepted_body_is_json_of_one_length() {
        for position in [Position::first(Partition::new(0)), Position::new((512 << 44) - 1).unwrap()] {
            let body = accepted(position.event(0)).into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), ACCEPTED_BYTES);
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(json, serde_json::json!({ "success": true, "id": position.event(0).to_string() }));
        }
    }

    #[test]
    fn the_header_has_to_equal_the_path() {
        let path = || Ok(Path("42".to_owned()));
        let headers = |values: &[&str]| {
            values.iter().map(|v| (CUSTOMER_HEADER.parse().unwrap(), v.parse().unwrap())).collect::<HeaderMap>()
        };
        assert_eq!(customer_of(path(), &HeaderMap::new()).unwrap().as_str(), "42");
        assert!(customer_of(path(), &headers(&["42"])).is_ok());
        assert_eq!(customer_of(path(), &headers(&["43"])).unwrap_err().status, 403);
        assert_eq!(customer_of(path(), &headers(&["42", "43"])).unwrap_err().status, 403);
        assert_eq!(customer_of(Ok(Path("a.b".to_owned())), &HeaderMap::new()).unwrap_err().status, 400);
    }
}
