//! `Idempotency-Key`.

use futures::future::join_all;

use super::{ADA, door, header, post, told};
use crate::all_rows;

#[tokio::test]
async fn a_retry_with_its_key_gives_the_same_id_and_one_row_also_after_ingest_was_killed() {
    let mut fleet = door(&[]).await;
    let first = told(post(&fleet, "1").header("idempotency-key", "order-7").body(ADA)).await;
    assert_eq!(first.0, 202);
    for _ in 0..2 {
        let again = post(&fleet, "1").header("idempotency-key", "order-7").body(ADA).send().await.unwrap();
        assert_eq!((again.status().as_u16(), header(&again, "idempotent-replayed")), (202, Some("true")));
        assert_eq!(again.json::<serde_json::Value>().await.unwrap()["id"], first.1["id"]);
        fleet.ingest().kill();
        fleet.ingest().restart().await.unwrap();
    }
    // Another customer's key of that name is another key; another body under it is a mistake.
    let other = told(post(&fleet, "2").header("idempotency-key", "order-7").body(ADA)).await;
    assert!(other.0 == 202 && other.1["id"] != first.1["id"], "{other:?}");
    let changed = r#"{"name":"Bob","address":"London"}"#;
    let (status, problem) = told(post(&fleet, "1").header("idempotency-key", "order-7").body(changed)).await;
    assert_eq!((status, &problem["code"]), (422, &"idempotency_key_reused".into()), "{problem}");
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && all_rows(&fleet).await == 2, "{verified:?}");
}

#[tokio::test]
async fn posts_of_one_key_at_the_same_time_make_one_row_and_so_does_an_empty_body() {
    let fleet = door(&[]).await;
    let posts = (0..40).map(|_| told(post(&fleet, "1").header("idempotency-key", "once").body("")));
    let answers = join_all(posts).await;
    assert!(answers.iter().all(|(status, answer)| *status == 202 && answer["id"] == answers[0].1["id"]), "{answers:?}");
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok && all_rows(&fleet).await == 1, "{verified:?}");
}
