//! Raw bytes at every subject that anybody may publish to.

use async_nats::{ConnectOptions, HeaderMap};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, NatsUser, wait};

use super::{ADA, post, told};
use crate::{LIMIT, fleet};

type Headers = Vec<(&'static str, String)>;

/// What a message may hold: bytes, JSON that is nearly right, and headers that mean something to us.
fn messages() -> Vec<(String, Vec<u8>, Headers)> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[\\[\\]{}:,\"\\\\n\\n a-z0-9]{0,200}".prop_map(String::into_bytes),
        "\\{\"name\":\"\\PC{0,20}\",\"address\":\"\\PC{0,20}\"\\}\n?".prop_map(String::into_bytes),
        (0usize..3_000).prop_map(|lines| format!("{ADA}\n").repeat(lines).into_bytes()),
    ];
    let value =
        prop_oneof!["[ -~]{0,60}", Just("_INBOX_ingest.x.1".to_owned()), Just("journal.0.person.create.1".to_owned())];
    let name = prop_oneof![Just("Sluice-Reply"), Just("traceparent"), Just("Nats-Msg-Id"), Just("X-Other")];
    let headers = prop::collection::vec((name, value), 0..3);
    let customer = "[!-)+-.0-;=?-~]{1,70}|[A-Za-z0-9]{1,5}";
    // The same every time: a failure is found again.
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..1_500).map(|_| (customer, payload.clone(), headers.clone()).new_tree(&mut runner).unwrap().current()).collect()
}

#[tokio::test]
async fn raw_garbage_at_every_public_subject_stops_no_writer() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions { shard_count: 2, ..FleetOptions::default() }).await;
    let publisher = fleet.login(NatsUser::Publisher).connect(ConnectOptions::new()).await.unwrap();
    // Ingest's own user may publish to the journal directly: what it would say if it went mad.
    let ingest = fleet.login(NatsUser::Ingest).connect(ConnectOptions::new()).await.unwrap();
    for (n, (customer, payload, headers)) in messages().into_iter().enumerate() {
        let mut map = HeaderMap::new();
        headers.into_iter().for_each(|(name, value)| map.append(name, value.as_str()));
        let (client, subject) = match n % 3 {
            0 => (&ingest, format!("journal.{}.person.create.{customer}", n % 4)),
            _ => (&publisher, format!("person.create.{customer}")),
        };
        // What the client itself refuses cannot come over the wire from it.
        let _ = client.publish_with_headers(subject, map, payload.into()).await;
    }
    publisher.flush().await.unwrap();
    ingest.flush().await.unwrap();
    // Every partition goes on: a row of many customers, each committed.
    for customer in 1..=12 {
        let (status, answer) =
            told(post(&fleet, &format!("after-{customer}")).header("prefer", "wait=50").body(ADA)).await;
        assert_eq!(status, 201, "{answer}");
    }
    assert!(fleet.writer().is_running());
    let settled = async || fleet.verify().await.is_ok_and(|verified| verified.ok && verified.dead_letters > 500);
    wait::until("every event is a row or a dead letter", LIMIT, settled).await.unwrap();
}
