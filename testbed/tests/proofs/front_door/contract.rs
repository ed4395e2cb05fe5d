//! The whole contract as a table: a request, and what has to come back.

use std::io::Write;

use reqwest::Method;
use serde_json::Value;

use super::{ADA, client, door, header};
use crate::all_rows;

/// A request and its answer. `code` is the problem's; of an answer that is none, nothing.
struct Row {
    what: &'static str,
    method: Method,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    pointer: Option<&'static str>,
    /// What the detail has to say.
    says: &'static str,
}

fn row(what: &'static str, path: &'static str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Row {
    Row { what, method: Method::POST, path, headers: &[], body: body.into(), status, code, pointer: None, says: "" }
}

impl Row {
    fn with(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    fn at(self, pointer: &'static str) -> Self {
        Self { pointer: Some(pointer), ..self }
    }

    fn saying(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    fn by(self, method: Method) -> Self {
        Self { method, ..self }
    }
}

const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

/// Packed by zstd so that whoever unpacks it needs 128 MiB.
fn far_reaching() -> Vec<u8> {
    let mut packed = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    packed.window_log(27).unwrap();
    packed.write_all(ADA.as_bytes()).unwrap();
    packed.finish().unwrap()
}

fn rows() -> Vec<Row> {
    let long = |field: &str, bytes: usize| {
        let (name, address) =
            if field == "name" { ("x".repeat(bytes), String::new()) } else { (String::new(), "x".repeat(bytes)) };
        format!(r#"{{"name":"{name}","address":"{address}"}}"#)
    };
    vec![
        row("a person", "/person/1", ADA, 202, ""),
        row(
            "a person with the right customer in it",
            "/person/1",
            r#"{"name":"A","address":"B","customer_id":"1"}"#,
            202,
            "",
        ),
        row(
            "a person with the right customer as a number",
            "/person/1",
            r#"{"name":"A","address":"B","customer_id":1}"#,
            202,
            "",
        ),
        row("a byte order mark before a person", "/person/1", format!("\u{feff}{ADA}"), 202, ""),
        row("an empty body", "/person/1", "", 202, "").with(&[("content-type", "text/plain")]),
        row("the header agrees", "/person/1", ADA, 202, "").with(&[("x-customer-id", "1")]),
        row("the longest name", "/person/1", long("name", 1_024), 202, ""),
        row("the longest address", "/person/1", long("address", 4_096), 202, ""),
        row("the header disagrees", "/person/1", ADA, 403, "customer_mismatch")
            .with(&[("x-customer-id", "2")])
            .at("header: X-Customer-ID"),
        row("a customer with a dot", "/person/a.b", ADA, 400, "invalid_customer").at("path: customer_id"),
        row("a customer with a star", "/person/*", ADA, 400, "invalid_customer"),
        row("a customer that is no UTF-8", "/person/%ff", ADA, 400, "invalid_customer"),
        row("a customer with a line feed", "/person/a%0d%0ab", ADA, 400, "invalid_customer"),
        row("no JSON", "/person/1", "{", 400, "malformed_json"),
        row("text after the JSON", "/person/1", format!("{ADA} x"), 400, "malformed_json"),
        row("no UTF-8", "/person/1", *b"{\"name\":\"\xff\",\"address\":\"\"}", 400, "malformed_json"),
        row("a lone surrogate", "/person/1", r#"{"name":"\ud800","address":"b"}"#, 400, "malformed_json"),
        row("several lines that are not said to be", "/person/1", format!("{ADA}\n{ADA}"), 400, "malformed_json")
            .saying("application/x-ndjson"),
        row("several persons in an array", "/person/1", format!("[{ADA},{ADA}]"), 422, "invalid_event")
            .at("")
            .saying("one object on each line"),
        row(
            "a customer as a broken number",
            "/person/1",
            r#"{"name":"A","address":"B","customer_id":1.0}"#,
            422,
            "invalid_event",
        )
        .at("/customer_id"),
        row("a NUL", "/person/1", r#"{"name":"a\u0000","address":"b"}"#, 422, "nul_character").at("/name"),
        row("a name too long", "/person/1", long("name", 1_025), 422, "too_long").at("/name"),
        row("an address too long", "/person/1", long("address", 4_097), 422, "too_long").at("/address"),
        row("a missing field", "/person/1", r#"{"name":"a"}"#, 422, "invalid_event").at("/address"),
        row("an unknown field", "/person/1", r#"{"name":"a","address":"b","age":3}"#, 422, "invalid_event").at("/age"),
        row("a field of the wrong type", "/person/1", r#"{"name":1,"address":"b"}"#, 422, "invalid_event").at("/name"),
        row("an array", "/person/1", "[]", 422, "invalid_event").at(""),
        row(
            "another customer in the body",
            "/person/1",
            r#"{"name":"a","address":"b","customer_id":"2"}"#,
            422,
            "customer_mismatch",
        )
        .at("/customer_id"),
        row("a body too large", "/person/1", vec![b' '; (64 << 10) + 1], 413, "body_too_large"),
        row("an encoding that is none", "/person/1", ADA, 415, "unsupported_encoding")
            .with(&[("content-encoding", "br")]),
        row("an encoding that wants too much memory", "/person/1", far_reaching(), 400, "unreadable_body")
            .with(&[("content-encoding", "zstd")]),
        row("not what the encoding says", "/person/1", ADA, 400, "unreadable_body")
            .with(&[("content-encoding", "gzip")]),
        row("an empty key", "/person/1", ADA, 400, "invalid_idempotency_key")
            .with(&[("idempotency-key", "")])
            .at("header: Idempotency-Key"),
        row("two keys", "/person/1", ADA, 400, "invalid_idempotency_key")
            .with(&[("idempotency-key", "a"), ("idempotency-key", "b")]),
        row("a key with a blank", "/person/1", ADA, 400, "invalid_idempotency_key").with(&[("idempotency-key", "a b")]),
        row("a preference that is none", "/person/1", ADA, 202, "").with(&[("prefer", "wait=soon")]),
        row("no such path", "/persons/1", ADA, 404, "not_found"),
        row("no such method", "/person/1", "", 405, "method_not_allowed").by(Method::PUT),
        row("many lines", "/person/1", format!("{ADA}\n{ADA}\n"), 202, "").with(NDJSON),
        row("many lines by another name of their type", "/person/1", format!("{ADA}\n{ADA}\n"), 202, "")
            .with(&[("content-type", "Application/X-JSONLines; charset=utf-8")]),
        row("a byte order mark before many lines", "/person/1", format!("\u{feff}{ADA}\n{ADA}\n"), 202, "")
            .with(NDJSON),
        row("many lines that are an array", "/person/1", format!("[{ADA},\n{ADA}]"), 422, "all_lines_rejected")
            .with(NDJSON),
        row("many lines, none good", "/person/1", "{}\n[]\n", 422, "all_lines_rejected").with(NDJSON),
        row("many lines, not one", "/person/1", "\n\n", 400, "no_lines").with(NDJSON),
        row("many lines with a key", "/person/1", ADA, 400, "idempotency_key_unsupported")
            .with(&[("content-type", "application/x-ndjson"), ("idempotency-key", "a")]),
        row("lines of many", "/person", r#"{"name":"a","address":"b","customer_id":"7"}"#, 202, "").with(NDJSON),
        row(
            "lines of many, the customer as a number",
            "/person",
            r#"{"name":"a","address":"b","customer_id":7}"#,
            202,
            "",
        )
        .with(NDJSON),
        row("lines of many, one without a customer", "/person", ADA, 422, "all_lines_rejected").with(NDJSON),
        row("lines of many that are not said to be", "/person", ADA, 415, "unsupported_media_type"),
        row("lines of many with a customer that is none", "/person", ADA, 400, "invalid_customer")
            .with(&[("content-type", "application/x-ndjson"), ("x-customer-id", "a.b")]),
        row("an event that is no number", "/person/1/x", "", 400, "invalid_event_id").by(Method::GET).at("path: id"),
        row("an event that is none", "/person/1/9", "", 404, "not_in_journal").by(Method::GET),
        row("the document", "/openapi.json", "", 200, "").by(Method::GET),
        row("alive", "/livez", "", 200, "").by(Method::GET),
        row("ready", "/readyz", "", 200, "").by(Method::GET),
    ]
}

#[tokio::test]
async fn every_request_is_answered_with_the_status_the_headers_and_the_code_that_the_table_says() {
    let fleet = door(&[]).await;
    let client = client();
    let (mut wrong, mut accepted) = (Vec::new(), 0);
    for Row { what, method, path, headers, body, status, code, pointer, says } in rows() {
        let mut request = client.request(method, format!("{}{path}", fleet.ingest_url())).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let found = (answer.status().as_u16(), header(&answer, "content-type").unwrap_or_default().to_owned());
        let location = header(&answer, "location").map(str::to_owned);
        let retry_after = header(&answer, "retry-after").is_some();
        let text = answer.text().await.unwrap();
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let mut expect = |is: bool, said: &str| {
            if !is {
                wrong.push(format!("{what}: {said}: {found:?} {text}"));
            }
        };
        expect(found.0 == status, "the status");
        if status >= 400 {
            expect(found.1 == "application/problem+json", "the content type");
            expect(json["code"] == code && json["status"] == status, "the code");
            expect(json["detail"].as_str().is_some_and(|detail| detail.contains(says)), "the detail");
            expect(!text.contains("struct ") && !text.contains("PersonEvent"), "no name of ours");
            expect(pointer.is_none_or(|pointer| json["pointer"] == pointer), "the pointer");
            expect(json["retry_safe"] == false && !retry_after, "nothing here is worth a retry");
        } else {
            expect(found.1.starts_with("application/json"), "the content type");
        }
        if status == 202 && json["id"].is_string() {
            accepted += 1;
            let expected = format!("{path}/{}", json["id"].as_str().unwrap());
            expect(location.as_deref() == Some(expected.as_str()), "the location");
            let shown: Value =
                client.get(format!("{}{expected}", fleet.ingest_url())).send().await.unwrap().json().await.unwrap();
            expect(shown["id"] == json["id"] && shown["customer_id"] == "1", "what stands at the location");
        } else if status == 202 {
            accepted += json["accepted"].as_i64().unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && verified.dead_letters == 0, "{verified:?}");
    assert_eq!(all_rows(&fleet).await, accepted, "what was refused is nowhere");
}
