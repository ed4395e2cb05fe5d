//! Which pages in a browser may post: those of the origins that were named, and no others.
//!
//! Without this a browser lets a page post only to the address that it came from. Nothing here asks
//! who posts: a token does.

use std::{str::FromStr, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it may do. Less: it asks before each post. More: an origin
/// that was taken out goes on.
const REMEMBERED: Duration = Duration::from_secs(600);
/// What a page may send beside what browsers send anyway.
const SENT: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("prefer"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-customer-id"),
];
/// What a page may read of an answer beside its body.
const SHOWN: [HeaderName; 5] = [
    header::LOCATION,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("preference-applied"),
];

/// Where a page comes from, exactly as a browser says it: `https://app.example.com`, or with a port that is not the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// The text is not an origin; the message says what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an origin: wanted is scheme and host as a browser sends them, in lower case and without a path, such as \
     https://app.example.com or http://localhost:3000; there is no wildcard"
)]
pub struct InvalidOrigin;

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let uri: Uri = text.parse().map_err(|_| InvalidOrigin)?;
        let (scheme, host) = (uri.scheme_str().ok_or(InvalidOrigin)?, uri.authority().ok_or(InvalidOrigin)?.as_str());
        let usual_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return Err(InvalidOrigin),
        };
        // Put together again it has to be the same: then there is no path, and nothing in upper
        // case.
        let is_exact = text == format!("{scheme}://{}", host.to_ascii_lowercase());
        let is_plain = !host.contains(['@', '*']) && !host.ends_with(usual_port) && !host.ends_with(':');
        if !is_exact || !is_plain {
            return Err(InvalidOrigin);
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| InvalidOrigin)
    }
}

/// What answers a browser's questions; `None` where no origin was named. No cookie is ever asked
/// for, so none is allowed.
pub fn layer(origins: &[Origin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = AllowOrigin::list(origins.iter().map(|origin| origin.0.clone()));
    let layer = CorsLayer::new().allow_origin(origins).allow_methods([Method::GET, Method::POST]);
    Some(layer.allow_headers(SENT).expose_headers(SHOWN).max_age(REMEMBERED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends_and_nothing_wider() {
        for good in ["https://app.example.com", "http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:3000"] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "*",
            "null",
            "",
            "https://*.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://App.example.com",
            "HTTPS://app.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://user@app.example.com",
            "app.example.com",
            "ftp://app.example.com",
            "https://",
            "https://app.example.com:",
            "https://a.example.com https://b.example.com",
        ] {
            assert_eq!(bad.parse::<Origin>(), Err(InvalidOrigin), "{bad}");
        }
    }

    #[test]
    fn without_an_origin_nothing_is_said_to_browsers() {
        assert!(layer(&[]).is_none());
    }
}
