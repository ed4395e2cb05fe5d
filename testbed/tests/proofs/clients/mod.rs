//! The examples of docs/CLIENTS.md, and what those meet who do otherwise.

include!("publisher.rs");

mod python;

use std::time::Duration;

use futures::StreamExt;
use secrecy::ExposeSecret;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, NatsUser, wait};

use crate::{LIMIT, all_rows, fleet};

const GUIDE: &str = include_str!("../../../../docs/CLIENTS.md");
const ADA: &str = r#"{"name":"Ada","address":"London"}"#;

async fn small_fleet() -> Fleet {
    fleet(Flavor::Sqlite, FleetOptions { shard_count: 1, ..FleetOptions::default() }).await
}

/// A client of user `publisher` that hears answers where its library listens by itself: below
/// `_INBOX.`.
async fn default_client(fleet: &Fleet) -> async_nats::Client {
    let login = fleet.login(NatsUser::Publisher);
    let password = login.password.expose_secret().to_owned();
    let options = ConnectOptions::with_user_and_password(login.user.to_owned(), password);
    options.connect(login.urls.as_str()).await.unwrap()
}

#[tokio::test]
async fn the_guides_example_in_rust_stores_each_key_of_a_customer_once() {
    assert!(GUIDE.contains(include_str!("publisher.rs").trim()), "docs/CLIENTS.md shows another example");
    let fleet = small_fleet().await;
    let login = fleet.login(NatsUser::Publisher);
    let mut duplicates = 0;
    for customer in 0..12 {
        for _ in 0..2 {
            let customer = customer.to_string();
            let again = publish(&login.urls, login.password.expose_secret(), &customer, "order-1", ADA).await.unwrap();
            duplicates += u32::from(again);
        }
    }
    assert_eq!(duplicates, 12, "the second of each");
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 12);
    assert_eq!(unscoped_ids(&fleet).await, 0.0);
}

/// What the writer counts.
async fn unscoped_ids(fleet: &Fleet) -> f64 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = client.get(format!("{}/metrics", fleet.writer_url(0))).send().await.unwrap().text().await.unwrap();
    let value = |line: &str| line.strip_prefix("sluice_unscoped_message_ids_total ")?.parse().ok();
    text.lines().find_map(value).unwrap_or(0.0)
}

#[tokio::test]
async fn ids_that_do_not_name_their_customer_are_counted_as_the_server_drops_other_customers_messages_for_them() {
    let fleet = small_fleet().await;
    let jetstream = jetstream::new(default_client(&fleet).await);
    let (mut stored, mut dropped) = (0, 0);
    for customer in 0..12 {
        let message = PublishMessage::build().payload(ADA.into()).message_id("order-1");
        let ack = jetstream.send_publish(format!("person.create.{customer}"), message).await.unwrap().await.unwrap();
        if ack.duplicate { dropped += 1 } else { stored += 1 }
    }
    assert!(stored > 0 && dropped > 0, "{stored} stored, {dropped} taken for the same");
    let told = async || unscoped_ids(&fleet).await == f64::from(stored);
    wait::until("the count", LIMIT, told).await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, i64::from(stored));
}

#[tokio::test]
async fn a_publisher_with_its_librarys_own_inbox_hears_its_answer_and_nothing_of_anybody_else() {
    let fleet = small_fleet().await;
    let client = default_client(&fleet).await;
    let mut spy = client.subscribe("_INBOX.>").await.unwrap();
    client.flush().await.unwrap();
    let context = jetstream::context::ContextBuilder::new().timeout(Duration::from_secs(5)).build(client.clone());
    let ack = context.publish("person.create.1", ADA.into()).await.unwrap().await.unwrap();
    assert!(!ack.duplicate);
    // The spy hears that answer, as one publisher's; of the other account it hears nothing.
    let own = tokio::time::timeout(LIMIT, spy.next()).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&own.payload).contains("JOURNAL-"), "{own:?}");
    let operator = fleet.login(NatsUser::Operator);
    let password = operator.password.expose_secret().to_owned();
    let options = ConnectOptions::with_user_and_password(operator.user.to_owned(), password);
    let tool = options.connect(operator.urls.as_str()).await.unwrap();
    let secret = tool.request("directory.shards", "".into()).await.unwrap();
    assert!(!secret.payload.is_empty(), "the operator's tools listen below _INBOX. too");
    let heard = tokio::time::timeout(Duration::from_millis(500), spy.next()).await;
    assert!(heard.is_err(), "{heard:?}");
    // Nor can it speak there, as somebody else's answer.
    let mut forged = client.subscribe("_INBOX.forged").await.unwrap();
    client.publish("_INBOX.forged", "x".into()).await.unwrap();
    client.flush().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(500), forged.next()).await.is_err());
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 1);
}
