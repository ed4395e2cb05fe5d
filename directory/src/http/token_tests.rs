//! Each endpoint asked by each kind of caller.

use secrecy::SecretString;
use serde_json::{Value, json};
use sluice_service::tokens::Token;

use super::{
    tests::{Served, sqlite},
    *,
};
use crate::{Client, placement::Policy};

const READER: &str = "reader-reader-reader";
const ADMIN: &str = "admin-admin-admin-admin";

fn token(text: &str) -> Option<Token> {
    Some(Token::given(&SecretString::from(text)).unwrap())
}

async fn served() -> Served {
    Served::start_with(Policy::Auto, Tokens { reader: token(READER), admin: token(ADMIN) }).await
}

/// The status, the document, and whether it says how to prove who one is.
async fn ask(served: &Served, token: Option<&str>, endpoint: &str, body: Option<Value>) -> (u16, Value, bool) {
    let (method, path) = endpoint.split_once(' ').unwrap();
    let mut request = served.http.request(method.parse().unwrap(), format!("{}{path}", served.base));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let problem = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    assert_eq!(problem, status >= 400, "{endpoint}");
    let challenge = headers.get(header::WWW_AUTHENTICATE).is_some_and(|scheme| scheme == "Bearer");
    (status, response.json().await.unwrap_or_default(), challenge)
}

#[tokio::test]
async fn each_endpoint_answers_those_whose_token_is_enough_and_nobody_else() {
    let served = served().await;
    let shard = |name: &str| Some(sqlite(&served.folder, name));
    let many = Some(json!({"customers": [{"customer": "1"}]}));
    let readers_too = [
        ("GET /write/1", None, 200),
        ("GET /read/1", None, 200),
        ("POST /write", many, 200),
        ("POST /read", Some(json!({"customers": ["1"]})), 200),
        ("GET /shards/credentials", None, 200),
    ];
    let administrators = [
        ("POST /shards", shard("b"), 201),
        ("GET /shards", None, 200),
        ("PATCH /shards/b", Some(json!({"state": "closed"})), 200),
        ("DELETE /shards/b", None, 204),
        ("PUT /customers/2", Some(json!({"shard": "a"})), 200),
        ("GET /customers/2", None, 200),
    ];
    assert_eq!(ask(&served, Some(ADMIN), "POST /shards", shard("a")).await.0, 201);
    let all = readers_too.map(|one| (one, true)).into_iter().chain(administrators.map(|one| (one, false)));
    for ((endpoint, body, success), reader_may) in all {
        for (stranger, code) in [(None, "no_token"), (Some("wrong-wrong-wrong-wrong"), "wrong_token")] {
            let (status, problem, challenge) = ask(&served, stranger, endpoint, body.clone()).await;
            assert_eq!((status, problem["code"].as_str(), challenge), (401, Some(code), true), "{endpoint}");
        }
        let (status, problem, _) = ask(&served, Some(READER), endpoint, body.clone()).await;
        if reader_may {
            assert_eq!(status, success, "{endpoint}: {problem}");
        } else {
            assert_eq!((status, problem["code"].as_str()), (403, Some("not_allowed")), "{endpoint}");
        }
        let (status, answer, _) = ask(&served, Some(ADMIN), endpoint, body).await;
        assert_eq!(status, success, "{endpoint}: {answer}");
    }
    for open in ["GET /livez", "GET /readyz"] {
        assert_eq!(ask(&served, None, open, None).await.0, 200, "{open}");
    }
}

#[tokio::test]
async fn a_changed_token_file_holds_at_both_ends_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let [server, client] = ["server", "client"].map(|name| folder.path().join(name));
    std::fs::write(&server, READER).unwrap();
    std::fs::write(&client, READER).unwrap();
    let tokens = Tokens { reader: Some(Token::in_file(&server).unwrap()), admin: token(ADMIN) };
    let served = Served::start_with(Policy::Auto, tokens).await;
    let limit = Duration::from_secs(5);
    let asking = Client::over_http(&served.base, limit, Some(Token::in_file(&client).unwrap())).unwrap();
    asking.shards().await.unwrap();

    let changed = "changed-changed-changed";
    std::fs::write(&server, changed).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(ask(&served, Some(READER), "GET /shards/credentials", None).await.0, 401);
    assert_eq!(ask(&served, Some(changed), "GET /shards/credentials", None).await.0, 200);
    let refused = asking.shards().await.unwrap_err();
    assert!(refused.is_transient() && !refused.to_string().contains(READER), "{refused}");
    std::fs::write(&client, changed).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    asking.shards().await.unwrap();
}
