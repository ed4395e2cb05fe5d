//! A body that is empty, where a random person is not wanted.

use super::{ADA, NDJSON, door, post, told};
use crate::all_rows;

#[tokio::test]
async fn an_empty_body_makes_no_row_where_random_rows_are_switched_off() {
    let fleet = door(&["--random-rows", "never"]).await;
    for body in ["", "\u{feff}"] {
        let (status, problem) = told(post(&fleet, "1").header("content-type", "application/json").body(body)).await;
        let found = (status, &problem["code"], &problem["pointer"], &problem["retry_safe"]);
        assert_eq!(found, (422, &"empty_body".into(), &"".into(), &false.into()), "{problem}");
    }
    assert_eq!(told(post(&fleet, "1")).await.0, 422, "as `ab` posts it");
    assert_eq!(told(post(&fleet, "1").header("idempotency-key", "a")).await.0, 422);
    assert_eq!(told(post(&fleet, "1").header(NDJSON.0, NDJSON.1)).await.0, 400, "an upload of nothing never made one");
    assert_eq!(told(post(&fleet, "1").body(ADA)).await.0, 202);
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 1);
}
