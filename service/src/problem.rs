//! Errors of an HTTP API as problem documents (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// An error that a client can act on: what went wrong, where, and whether the same request may be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code; programs branch on this.
    pub code: String,
    /// For people: what it is.
    pub title: String,
    /// For people: what happened this time, and what to do next.
    pub detail: String,
    /// The offending place: a JSON pointer into the body, or `header: <name>`, or `path: <segment>`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pointer: Option<String>,
    /// Whether sending the same request again can neither double anything nor is hopeless.
    pub retry_safe: bool,
    /// Seconds to wait before that, also sent as `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem that sending the same request again does not mend.
    pub fn new(status: StatusCode, code: &str, detail: impl std::fmt::Display) -> Self {
        Self {
            status: status.as_u16(),
            code: code.to_owned(),
            title: status.canonical_reason().unwrap_or("error").to_owned(),
            detail: detail.to_string(),
            pointer: None,
            retry_safe: false,
            retry_after_s: None,
        }
    }

    /// Names the offending place.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Says that the same request may be sent again after some seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_safe = true;
        self.retry_after_s = Some(seconds);
        self
    }
}

/// A text of serde's without the names of our own types: what is wanted is an object, whatever the
/// program calls it.
pub fn without_type_names(text: &str) -> String {
    const KINDS: [&str; 6] = ["tuple", "unit", "newtype", "untagged", "tagged", "internally"];
    let mut plain: Vec<&str> = Vec::new();
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        let what = match word {
            "struct" => "an object",
            "enum" => "one of several forms",
            _ => {
                plain.push(word);
                continue;
            }
        };
        let Some(_name) = words.next_if(|next| next.starts_with(|c: char| c.is_ascii_uppercase())) else {
            plain.push(word);
            continue;
        };
        while plain.last().is_some_and(|last| KINDS.contains(last)) {
            plain.pop();
        }
        plain.push(what);
    }
    plain.join(" ")
}

/// The code of the problem that a response tells, among the response's extensions: for whoever counts.
#[derive(Debug, Clone)]
pub struct ProblemCode(pub String);

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.detail, self.status, self.code)?;
        self.pointer.as_ref().map_or(Ok(()), |pointer| write!(f, " at {pointer}"))
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// Answers with this problem and, beside its own fields, those of `more`.
    pub fn respond_with(&self, more: &impl Serialize) -> Response {
        #[derive(Serialize)]
        struct Both<'a, T> {
            #[serde(flatten)]
            problem: &'a Problem,
            #[serde(flatten)]
            more: &'a T,
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&Both { problem: self, more }).expect("a problem has only texts and numbers");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        response.extensions_mut().insert(ProblemCode(self.code.clone()));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Nothing {}
        self.respond_with(&Nothing {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_mistake_is_told_without_the_names_of_our_types() {
        for (text, plain) in [
            (
                "invalid type: integer `1`, expected struct WriteQuestion",
                "invalid type: integer `1`, expected an object",
            ),
            (
                "invalid length 0, expected struct A with 2 elements",
                "invalid length 0, expected an object with 2 elements",
            ),
            ("expected tuple struct At", "expected an object"),
            ("did not match any variant of untagged enum To", "did not match any variant of one of several forms"),
            ("unknown field `struct`, expected `name`", "unknown field `struct`, expected `name`"),
            ("a struct is none", "a struct is none"),
            ("", ""),
        ] {
            assert_eq!(without_type_names(text), plain);
        }
    }
}
