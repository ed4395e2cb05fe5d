//! Many persons in one request, a JSON object a line (`application/x-ndjson`), for one customer or for many.
//!
//! The body is never held as a whole: lines are packed into messages while they come, so much is on its way to the journal at
//! once, and while that is not acknowledged nothing more is read: the client feels it as a full TCP window. A line that cannot
//! become a row is told of and spoils no other.

use std::{borrow::Cow, collections::HashMap, pin::Pin, time::Instant};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use futures::{StreamExt, stream::FuturesUnordered};
use sluice_journal::{
    Ask, PublishError, Publisher,
    publish::{Piece, max_message_bytes},
};
use sluice_model::{CustomerId, MAX_EVENTS, MessageBuilder, Person, Reason, Refusal};
use sluice_service::Problem;

use crate::{
    access::Scope,
    app::App,
    asked,
    body::Incoming,
    customer::{CUSTOMER_HEADER, agree},
    lines::{Line, Lines},
    person::BODY_MAX_BYTES,
    report::Report,
    store,
};

/// Bytes of events that are gathered before they are published. Less: smaller messages. More: as much memory for each upload.
const GATHERED: usize = 512 << 10;
/// Bytes of events that may be on their way to the journal. Less: the journal waits for the client's next lines. More: memory.
const ON_THEIR_WAY: usize = 2 << 20;
/// The most bytes of one message's events; fewer where the journal's server takes fewer. Less: more
/// messages, each at a price. More: larger pieces of memory, and an upload of one customer waits
/// longer for its first acknowledgement.
const MESSAGE_BYTES: usize = 256 << 10;
/// What says that a body is one JSON object a line: nobody has registered a name, so tools use all
/// of these.
const NDJSON: [&str; 6] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
];

/// Whether the body is many lines.
pub fn is_ndjson(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    NDJSON.iter().any(|known| essence.eq_ignore_ascii_case(known))
}

/// `POST /person`: each line says itself whose it is, by its `customer_id`.
///
/// # Errors
/// As [`create`]; 415 where the body is not said to be NDJSON.
pub async fn create_for_many(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let scope = app.access().of(&headers)?;
    if !is_ndjson(&headers) {
        let detail = "Content-Type: application/x-ndjson is wanted, one JSON object with a customer_id on each line; to create \
                      one person, POST to /person/{customer_id}";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    let customer =
        match headers.get(CUSTOMER_HEADER).map(|value| value.to_str().unwrap_or_default().parse::<CustomerId>()) {
            None => None,
            Some(Ok(customer)) => {
                agree(&customer, &headers)?;
                scope.check(&customer)?;
                Some(customer)
            }
            Some(Err(error)) => {
                let problem = Problem::new(StatusCode::BAD_REQUEST, Reason::InvalidCustomer.code(), error);
                return Err(problem.at("header: X-Customer-ID"));
            }
        };
    create(&app, customer, &scope, &headers, body).await
}

/// Stores every line that can become a row, for `customer` where there is one. The answer is a [`Report`].
///
/// # Errors
/// 400 where the request asks for what cannot be had for many lines; 503 where there are as many uploads as there may be.
pub async fn create(
    app: &App,
    customer: Option<CustomerId>,
    scope: &Scope,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if headers.contains_key("idempotency-key") {
        let detail = "a request of many lines has no key; give each event one, in a request of its own";
        let problem = Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_unsupported", detail);
        return Err(problem.at("header: Idempotency-Key"));
    }
    let body = Incoming::new(headers, body, app.limits().body)?;
    let _place = app.upload().await?;
    let upload = Upload {
        app,
        publisher: app.publisher()?,
        customer,
        scope,
        trace: asked::trace(headers),
        gathered: HashMap::new(),
        gathered_bytes: 0,
        on_their_way: FuturesUnordered::new(),
        bytes_on_their_way: 0,
        report: Report::default(),
    };
    upload.run(body).await
}

/// How many bytes an event takes in the journal, where that is more than `most`.
fn larger_than(person: &Person<'_>, most: usize) -> Option<usize> {
    /// `{"name":"","address":""}` and the most that JSON makes of a byte, `\u0001`.
    const AROUND: usize = 24;
    const ESCAPED: usize = 6;
    if AROUND + ESCAPED * (person.name.len() + person.address.len()) <= most {
        return None;
    }
    Some(MessageBuilder::of(person).bytes()).filter(|bytes| *bytes > most)
}

/// What is gathered of a customer's events, and the lines that they were.
#[derive(Debug, Default)]
struct Gathered {
    message: MessageBuilder,
    lines: Vec<u64>,
}

/// What came of the events that were handed over together.
struct Outcome {
    lines: Vec<u64>,
    bytes: usize,
    pieces: Vec<Piece>,
}

struct Upload<'a> {
    app: &'a App,
    publisher: &'a Publisher,
    /// Whose all lines are; else each says it.
    customer: Option<CustomerId>,
    scope: &'a Scope,
    trace: Option<String>,
    gathered: HashMap<CustomerId, Gathered>,
    gathered_bytes: usize,
    on_their_way: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    bytes_on_their_way: usize,
    report: Report,
}

impl Upload<'_> {
    async fn run(mut self, mut body: Incoming) -> Result<Response, Problem> {
        let mut lines = Lines::new(BODY_MAX_BYTES);
        let ended = loop {
            let piece = match body.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break None,
                Err(problem) => break Some(problem),
            };
            lines.push(&piece);
            while let Some(line) = lines.next_line() {
                self.take(line).await;
            }
            // What is not stored now will hardly be a moment later: the client is told how far it got.
            if self.report.has_failed() {
                break None;
            }
        };
        // A piece of a line that breaks off is no line.
        if let Some(line) = lines.last().filter(|_| ended.is_none() && !self.report.has_failed()) {
            self.take(line).await;
        }
        self.publish_all().await;
        while self.bytes_on_their_way > 0 {
            self.hear().await;
        }
        if self.report.has_failed() {
            body.drain().await;
        }
        self.report.answer(ended)
    }

    async fn take(&mut self, Line { number, bytes }: Line) {
        self.report.lines = number;
        let Some(bytes) = bytes else {
            let refusal = Refusal::new(Reason::TooLong, format!("the line has more than {BODY_MAX_BYTES} bytes"));
            return self.report.refused(number, &store::refused(refusal));
        };
        let decoded = match &self.customer {
            Some(customer) => Person::decode(&bytes, customer).map(|person| (Cow::Borrowed(customer), person)),
            None => Person::decode_with_customer(&bytes).map(|(customer, person)| (Cow::Owned(customer), person)),
        };
        let (customer, person) = match decoded {
            Ok(decoded) => decoded,
            Err(refusal) => return self.report.refused(number, &store::refused(refusal)),
        };
        if let Err(problem) = self.scope.check(&customer) {
            return self.report.refused(number, &problem);
        }
        // As the server says it now: the limit may change while an upload runs.
        let most = max_message_bytes(self.publisher.journal());
        if let Some(bytes) = larger_than(&person, most) {
            let too_large = PublishError::TooLarge { bytes, max: most };
            return self.report.refused(number, &store::not_stored(too_large));
        }
        // Hardly ever a customer's first line: its name is copied for that alone.
        let gathered = match self.gathered.get_mut(customer.as_str()) {
            Some(gathered) => gathered,
            None => self.gathered.entry(customer.clone().into_owned()).or_default(),
        };
        let before = gathered.message.bytes();
        gathered.message.push(&person);
        gathered.lines.push(number);
        let added = gathered.message.bytes() - before;
        self.gathered_bytes += added;
        // So that the next line fits too, if it is no longer than this one.
        let is_full = gathered.message.bytes() + added > MESSAGE_BYTES.min(most);
        if gathered.message.events() == MAX_EVENTS || is_full {
            let customer = customer.into_owned();
            if let Some(full) = self.gathered.remove(&customer) {
                self.publish(customer, full).await;
            }
        } else if self.gathered_bytes >= GATHERED {
            self.publish_all().await;
        }
    }

    async fn publish_all(&mut self) {
        for (customer, gathered) in std::mem::take(&mut self.gathered) {
            self.publish(customer, gathered).await;
        }
    }

    /// Hands a message over, in the order of its customer's lines, once there is room for it.
    async fn publish(&mut self, customer: CustomerId, Gathered { message, lines }: Gathered) {
        let bytes = message.bytes();
        self.gathered_bytes -= bytes;
        while self.bytes_on_their_way > 0 && self.bytes_on_their_way + bytes > ON_THEIR_WAY {
            self.hear().await;
        }
        let ask = Ask { trace: self.trace.clone(), ..Ask::default() };
        let begun = Instant::now();
        let offered = match self.publisher.offer(&customer, message, ask).await {
            Ok(offered) => offered,
            Err(error) => return self.report.failed(&lines, &store::not_stored(error)),
        };
        let limit = self.app.limits().storing;
        self.bytes_on_their_way += bytes;
        self.on_their_way.push(Box::pin(async move {
            let pieces = match tokio::time::timeout(limit, offered).await {
                Ok(pieces) => pieces,
                Err(_) => {
                    let what = format!("no answer within {} ms", limit.as_millis());
                    vec![Piece { events: 0..lines.len(), stored: Err(PublishError::Unknown(what)) }]
                }
            };
            pieces.iter().for_each(|piece| store::note(begun, piece.events.len(), &piece.stored));
            Outcome { lines, bytes, pieces }
        }));
    }

    /// Waits for what came of some events.
    async fn hear(&mut self) {
        let Some(Outcome { lines, bytes, pieces }) = self.on_their_way.next().await else { return };
        self.bytes_on_their_way -= bytes;
        for Piece { events, stored } in pieces {
            match stored {
                Ok(_) => self.report.accepted += events.len() as u64,
                // Not for this server: as a line that is too long, it spoils no other.
                Err(error @ PublishError::TooLarge { .. }) => {
                    let problem = store::not_stored(error);
                    lines[events].iter().for_each(|line| self.report.refused(*line, &problem));
                }
                Err(error) => self.report.failed(&lines[events], &store::not_stored(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_too_large_by_what_it_takes_in_the_journal_and_not_by_a_bound() {
        for text in ["a", "\u{1}", "\"", "é"] {
            let person = Person { name: text.repeat(50).into(), address: "".into() };
            let bytes = MessageBuilder::of(&person).bytes();
            assert_eq!((larger_than(&person, bytes), larger_than(&person, bytes - 1)), (None, Some(bytes)), "{text:?}");
        }
    }

    #[test]
    fn many_lines_are_known_by_their_type() {
        let is = |value: &str| is_ndjson(&HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]));
        for known in NDJSON {
            assert!(is(known) && is(&known.to_uppercase()) && is(&format!("{known}; charset=utf-8")), "{known}");
        }
        for other in ["application/json", "", "text/plain", "application/ndjson-seq", "application/json-seq"] {
            assert!(!is(other), "{other}");
        }
        assert!(!is_ndjson(&HeaderMap::new()));
    }
}
