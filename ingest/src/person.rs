//! `POST /person/{customer_id}`, and `GET /person/{customer_id}/{id}`, which the answer's `Location` names.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::IgnoredAny};
use sluice_journal::{Ask, Fate};
use sluice_model::{CustomerId, EventId, MessageBuilder, Person, Refusal, message};
use sluice_service::Problem;
use utoipa::ToSchema;

use crate::{
    app::App,
    asked::{self, Key},
    body::Incoming,
    bulk,
    config::RandomRows,
    customer::customer_of,
    random,
    store::{refused, store},
};

/// The most bytes of a person's body: one of the longest fields, every character of them escaped.
pub const BODY_MAX_BYTES: usize = 64 << 10;
/// Length of the 202's body. An event id has 1 to 19 digits; `ab`, for one, takes answers of varying length for failures,
/// so the body is filled up with spaces, which JSON allows at the end.
const ACCEPTED_BYTES: usize = r#"{"success":true,"id":""}"#.len() + 19 + "\n".len();
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Stores one person: the body's, or for an empty body a random one. 202 with the event id once it is stored; 201 once its row
/// is committed, where the client waits for that. `application/x-ndjson` stores many: see [`bulk`].
///
/// # Errors
/// A problem document; where its status is below 500, or 503, nothing was stored.
pub async fn create(
    State(app): State<App>,
    customer: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let scope = app.access().of(&headers)?;
    let customer = customer_of(customer, &headers)?;
    scope.check(&customer)?;
    if bulk::is_ndjson(&headers) {
        // Boxed: every request's future would be as large as an upload's.
        return Box::pin(bulk::create(&app, Some(customer), &scope, &headers, body)).await;
    }
    let key = Key::of(&customer, &headers)?;
    let wait = asked::wait(&headers, app.limits().max_wait);
    let body = Incoming::new(&headers, body, app.limits().body)?.whole(BODY_MAX_BYTES).await?;
    let message = message_of(&body, &customer, key.as_ref(), app.limits().random_rows)?;
    let ask =
        Ask { fate: wait.is_some(), trace: asked::trace(&headers), message_id: key.as_ref().map(Key::message_id) };
    let stored = {
        let _place = app.place()?;
        store(&app, &customer, message, ask).await?
    };
    let fate = match (wait, stored.fate) {
        (Some(wait), Some(fate)) => {
            let begun = Instant::now();
            let fate = app.hear(fate, wait).await;
            if fate.is_some() {
                metrics::histogram!("sluice_ingest_commit_seconds").record(begun.elapsed());
            }
            fate.map(|fate| (wait, fate))
        }
        _ => None,
    };
    answer(&customer, stored.first, stored.replayed, fate)
}

fn message_of(
    body: &Bytes,
    customer: &CustomerId,
    key: Option<&Key>,
    random_rows: RandomRows,
) -> Result<MessageBuilder, Problem> {
    let mut message = MessageBuilder::new();
    if body.is_empty() && random_rows == RandomRows::Never {
        let detail = "the body is empty; wanted is one JSON object, such as {\"name\":\"Ada\",\"address\":\"London\"} \
                      (a proxy on the way may have lost it)";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "empty_body", detail).at(""));
    }
    if body.is_empty() {
        // The same key makes the same person: else its retry would be another event.
        message.push(&key.map_or_else(random::person, |key| random::person_of(key.seed())));
    } else {
        message.push(&Person::decode(body, customer).map_err(|refusal| refused_body(refusal, body))?);
    }
    Ok(message)
}

/// What a client is told about a body that is not one person; of one that is several, how to send
/// them.
fn refused_body(refusal: Refusal, body: &[u8]) -> Problem {
    let mut problem = refused(refusal);
    if holds_many(body) {
        let way = "to create many persons, send one JSON object on each line with Content-Type: application/x-ndjson";
        problem.detail = format!("{}; {way}", problem.detail);
    }
    problem
}

/// Whether a body is an array, or an object that another one follows.
fn holds_many(body: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<IgnoredAny>();
    let begins = |text: &[u8], with: &[u8]| text.trim_ascii_start().starts_with(with);
    begins(body, b"[")
        || (matches!(values.next(), Some(Ok(_)))
            && body.get(values.byte_offset()..).is_some_and(|rest| begins(rest, b"{")))
}

/// What the client hears of an event that is stored, and perhaps committed.
fn answer(
    customer: &CustomerId,
    id: EventId,
    replayed: bool,
    fate: Option<(Duration, Arc<Fate>)>,
) -> Result<Response, Problem> {
    if let Some(dead) = fate.iter().flat_map(|(_, fate)| &fate.dead).find(|dead| dead.index == id.index()) {
        let detail = format!("event {id} was stored, and can never become a row: {}", dead.detail);
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &dead.code, detail));
    }
    let status = if fate.is_some() { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    let mut body = format!(r#"{{"success":true,"id":"{id}"}}"#);
    body.extend(std::iter::repeat_n(' ', ACCEPTED_BYTES.saturating_sub(body.len() + 1)));
    body.push('\n');
    let location = HeaderValue::try_from(format!("/person/{customer}/{id}"));
    let location = location.expect("customers and ids are of plain characters");
    let mut response = (
        status,
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), (header::LOCATION, location)],
        body,
    )
        .into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some((wait, _)) = fate {
        let applied = HeaderValue::try_from(format!("wait={}", wait.as_secs())).expect("digits stand in a header");
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// An event as the journal has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredPerson {
    /// The event id, which is the row's.
    id: String,
    /// Whose it is.
    customer_id: String,
    /// The person's name.
    name: String,
    /// The person's address.
    address: String,
}

/// The event, as long as the journal has it.
///
/// # Errors
/// 404 where it has not: it is trimmed, its row being on its shard, or never was.
pub async fn show(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<StoredPerson>, Problem> {
    let scope = app.access().of(&headers)?;
    let Path((customer, id)) =
        path.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, "invalid_path", rejection.body_text()))?;
    let customer = customer_of(Ok(Path(customer)), &headers)?;
    scope.check(&customer)?;
    let id: EventId = id.parse().map_err(|e| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_event_id", format!("{id:?}: {e}")).at("path: id")
    })?;
    let message = app.publisher()?.journal().message_of(id.position(), &customer).await.map_err(|error| {
        let unreachable = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "journal_unreachable", error);
        unreachable.retry_after(1)
    })?;
    let person = message.as_ref().and_then(|payload| message::decode(payload, &customer).nth(id.index())?.ok());
    let Some(Person { name, address }) = person else {
        let detail =
            format!("the journal has no event {id} of customer {customer}: it is trimmed by now, or never was");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_in_journal", detail));
    };
    let (name, address) = (name.into_owned(), address.into_owned());
    Ok(Json(StoredPerson { id: id.to_string(), customer_id: customer.to_string(), name, address }))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use sluice_journal::fate::DeadEvent;
    use sluice_model::{Partition, Position};

    use super::*;

    fn customer() -> CustomerId {
        "42".parse().unwrap()
    }

    #[tokio::test]
    async fn the_accepted_body_is_json_of_one_length() {
        for position in [Position::first(Partition::new(0)), Position::new((512 << 44) - 1).unwrap()] {
            let response = answer(&customer(), position.event(0), false, None).unwrap();
            assert_eq!(response.headers()["location"], format!("/person/42/{}", position.event(0)));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), ACCEPTED_BYTES);
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(json, serde_json::json!({ "success": true, "id": position.event(0).to_string() }));
        }
    }

    #[test]
    fn whoever_waited_hears_of_the_commit_or_of_the_dead_letter() {
        let id = Position::first(Partition::new(0)).event(3);
        let fate = |dead| Some((Duration::from_secs(5), Arc::new(Fate { position: "1".into(), shard: None, dead })));
        let dead = |index| vec![DeadEvent { index, code: "refused_by_shard".into(), detail: "too odd".into() }];
        let committed = answer(&customer(), id, false, fate(dead(2))).unwrap();
        assert_eq!(
            (committed.status(), &committed.headers()["preference-applied"]),
            (StatusCode::CREATED, &"wait=5".parse().unwrap())
        );
        let refused = answer(&customer(), id, false, fate(dead(3))).unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (422, "refused_by_shard"));
        let replayed = answer(&customer(), id, true, None).unwrap();
        assert_eq!(
            (replayed.status(), &replayed.headers()["idempotent-replayed"]),
            (StatusCode::ACCEPTED, &"true".parse().unwrap())
        );
    }

    #[test]
    fn the_random_person_of_a_key_is_the_same_each_time() {
        let key = |value: &str| {
            let headers = HeaderMap::from_iter([("idempotency-key".parse().unwrap(), value.parse().unwrap())]);
            Key::of(&customer(), &headers).unwrap()
        };
        let message = |key: Option<Key>| {
            message_of(&Bytes::new(), &customer(), key.as_ref(), RandomRows::Always).unwrap().into_payload()
        };
        assert_eq!(message(key("a")), message(key("a")));
        assert_ne!(message(key("a")), message(key("b")));
        assert_ne!(message(None), message(None));
    }

    #[test]
    fn an_empty_body_is_refused_where_random_rows_are_switched_off() {
        let problem = message_of(&Bytes::new(), &customer(), None, RandomRows::Never).unwrap_err();
        assert_eq!((problem.status, problem.code.as_str(), problem.retry_safe), (422, "empty_body", false));
        let person = Bytes::from_static(br#"{"name":"a","address":"b"}"#);
        assert!(message_of(&person, &customer(), None, RandomRows::Never).is_ok());
    }

    #[test]
    fn whoever_sends_several_persons_as_one_is_told_how_to_send_many() {
        let one = r#"{"name":"a","address":"b"}"#;
        let detail = |body: String| message_of(&body.into(), &customer(), None, RandomRows::Always).unwrap_err().detail;
        for many in [
            format!("{one}\n{one}"),
            format!("{one}{one}"),
            format!("\n{one}\r\n{one}\n"),
            format!("[{one}]"),
            "[]".to_owned(),
        ] {
            assert!(detail(many.clone()).contains("application/x-ndjson"), "{many}");
        }
        for odd in ["{".to_owned(), "{\n\"name\":\n".to_owned(), format!("{one} x")] {
            assert!(!detail(odd.clone()).contains("ndjson"), "{odd}");
        }
    }
}
