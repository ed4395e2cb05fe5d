//! What a browser asks before a page of another origin may post, and what it lets the page read.

use reqwest::{Method, Response};
use sluice_testbed::Fleet;

use super::{ADA, client, door, header};

const APP: &str = "https://app.example.com";

async fn asks_first(fleet: &Fleet, path: &str, origin: &str) -> Response {
    let request = client().request(Method::OPTIONS, format!("{}{path}", fleet.ingest_url())).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    let wanted = "authorization,content-type,idempotency-key,prefer,traceparent,x-customer-id";
    request.header("access-control-request-headers", wanted).send().await.unwrap()
}

async fn posts(fleet: &Fleet, path: &str, origin: &str) -> Response {
    let request = client().post(format!("{}{path}", fleet.ingest_url())).header("origin", origin);
    request.body(ADA).send().await.unwrap()
}

#[tokio::test]
async fn pages_of_the_origins_that_are_named_may_post_and_read_the_answer_and_others_may_not() {
    const ALLOWED: &str = "access-control-allow-origin";
    let fleet = door(&["--cors-origin", APP, "--cors-origin", "http://localhost:3000"]).await;
    for (path, origin) in [("/person/1", APP), ("/person", APP), ("/person/1", "http://localhost:3000")] {
        let answer = asks_first(&fleet, path, origin).await;
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        assert_eq!(header(&answer, ALLOWED), Some(origin));
        let (methods, headers) =
            (header(&answer, "access-control-allow-methods"), header(&answer, "access-control-allow-headers"));
        assert!(methods.is_some_and(|methods| methods.contains("POST")), "{answer:?}");
        assert!(headers.is_some_and(|headers| headers.contains("idempotency-key") && headers.contains("content-type")));
        assert_eq!(header(&answer, "access-control-allow-credentials"), None, "no cookie is ever wanted");
    }
    // Also what is refused is for the page to read.
    for (path, status) in [("/person/1", 202), ("/person/a.b", 400), ("/person", 415), ("/nowhere", 404)] {
        let answer = posts(&fleet, path, APP).await;
        assert_eq!((answer.status().as_u16(), header(&answer, ALLOWED)), (status, Some(APP)), "{path}");
        let shown = header(&answer, "access-control-expose-headers").unwrap_or_default().to_owned();
        assert!(shown.contains("location") && shown.contains("retry-after"), "{shown}");
        assert!(header(&answer, "vary").is_some_and(|vary| vary.contains("origin")), "{answer:?}");
    }
    for other in ["https://evil.example.com", "https://app.example.com.evil.example", "http://app.example.com", "null"]
    {
        assert_eq!(header(&asks_first(&fleet, "/person/1", other).await, ALLOWED), None, "{other}");
        assert_eq!(header(&posts(&fleet, "/person/1", other).await, ALLOWED), None, "{other}");
    }
    assert!(fleet.verify().await.unwrap().ok);
}

#[tokio::test]
async fn without_an_origin_that_is_named_nothing_is_said_to_browsers() {
    let fleet = door(&[]).await;
    for answer in [asks_first(&fleet, "/person/1", APP).await, posts(&fleet, "/person/1", APP).await] {
        let said = answer.headers().keys().any(|name| name.as_str().starts_with("access-control-"));
        assert!(!said, "{answer:?}");
    }
}
