//! Bearer tokens, and who may write for whom.

use std::time::Duration;

use super::{ADA, NDJSON, client, door, errors, post, told};
use crate::all_rows;

/// `printf %s TOKEN | sha256sum`, as the flag's help says.
fn digest(token: &str) -> String {
    let done =
        std::process::Command::new("sh").args(["-c", &format!("printf %s {token} | sha256sum")]).output().unwrap();
    String::from_utf8(done.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_of_customer_1_does_not_write_for_customer_2_neither_alone_nor_among_many_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, format!("{} 1\n{} *\n", digest("ones-token"), digest("everybodys"))).unwrap();
    let fleet = door(&["--tokens", file.to_str().unwrap()]).await;
    let code = async |customer: &str, token: Option<&str>| {
        let request = post(&fleet, customer).header("x-customer-id", customer).body(ADA);
        let (status, answer) = told(token.into_iter().fold(request, |request, token| request.bearer_auth(token))).await;
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code("1", Some("ones-token")).await, (202, String::new()));
    assert_eq!(code("2", Some("everybodys")).await, (202, String::new()));
    assert_eq!(code("2", Some("ones-token")).await, (403, "not_this_customer".to_owned()));
    assert_eq!(code("1", None).await, (401, "no_token".to_owned()));
    assert_eq!(code("1", Some("another")).await, (401, "wrong_token".to_owned()));

    let lines = ["1", "2", "1"]
        .map(|customer| format!(r#"{{"customer_id":"{customer}","name":"a","address":"b"}}"#))
        .join("\n");
    let request =
        client().post(format!("{}/person", fleet.ingest_url())).header(NDJSON.0, NDJSON.1).bearer_auth("ones-token");
    let (status, report) = told(request.body(lines)).await;
    assert_eq!(
        (status, &report["accepted"], errors(&report)),
        (202, &2.into(), vec![(2, "not_this_customer".to_owned())])
    );

    // The file is followed.
    std::fs::write(&file, format!("{} 2\n", digest("ones-token"))).unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(code("2", Some("ones-token")).await.0, 202);
    assert_eq!(code("1", Some("ones-token")).await.0, 403);
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 5);
}
