//! A stream of the journal is changed while everything runs, so that it could drop or refuse
//! events.

use std::sync::Mutex;

use async_nats::{
    ConnectOptions,
    jetstream::{
        self,
        stream::{Config, DiscardPolicy},
    },
};
use sluice_model::Partition;
use sluice_shard::Flavor;
use sluice_testbed::{Fleet, FleetOptions, NatsUser, rows, wait};

use crate::{
    LIMIT, all_rows,
    asked::{customer_of, get, is_ready, is_ready_and_warns, is_unready, post},
    fleet,
};

async fn operator(fleet: &Fleet) -> jetstream::Context {
    jetstream::new(fleet.login(NatsUser::Operator).connect(ConnectOptions::new()).await.unwrap())
}

/// Posts for a customer until ingest answers with that status and code.
async fn is_told(fleet: &Fleet, customer: &str, status: u16, code: Option<&str>) -> String {
    let last = Mutex::new(serde_json::Value::Null);
    let told = async || {
        let (found, body) = post(fleet, customer).await;
        let told = found == status && body["code"].as_str() == code;
        *last.lock().unwrap() = body;
        told
    };
    wait::until(&format!("{status} {code:?}"), LIMIT, told).await.unwrap();
    last.into_inner().unwrap()["detail"].as_str().unwrap_or_default().to_owned()
}

/// A customer's events still become rows.
async fn goes_on(fleet: &Fleet, customer: &str) {
    let before = all_rows(fleet).await;
    assert_eq!(post(fleet, customer).await.0, 202);
    wait::until("another row", LIMIT, async || all_rows(fleet).await > before).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_changed_so_that_it_could_drop_events_takes_none_until_it_is_mended_and_the_others_go_on() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    let (bad, good) = (customer_of(&fleet, 2), customer_of(&fleet, 1));
    assert_eq!(post(&fleet, &bad).await.0, 202);
    let jetstream = operator(&fleet).await;
    let as_made = jetstream.get_stream("JOURNAL-2").await.unwrap().cached_info().config.clone();
    let changed = Config { discard: DiscardPolicy::Old, max_messages: 5, ..as_made.clone() };
    jetstream.update_stream(&changed).await.unwrap();

    // Soon after, as the server says so itself; before the regular look.
    is_ready_and_warns(&fleet.ingest_url(), "JOURNAL-2: discard is old").await;
    let detail = is_told(&fleet, &bad, 503, Some("journal_misconfigured")).await;
    for setting in ["JOURNAL-2", "discard is old, has to be new", "max_msgs is 5, has to be -1"] {
        assert!(detail.contains(setting), "{detail}");
    }
    let writer = fleet.writer_url(0);
    is_unready(&writer, "partition 2 has stopped: JOURNAL-2: discard is old").await;
    let lanes = get(&format!("{writer}/lanes")).await.1;
    assert!(lanes["stopped"]["2"].as_str().unwrap().contains("max_msgs is 5"), "{lanes}");
    goes_on(&fleet, &good).await;

    // Those that are started now serve the other partitions, too.
    fleet.ingest().restart().await.unwrap();
    fleet.writer().restart_unready().unwrap();
    is_unready(&writer, "partition 2 has stopped: JOURNAL-2: discard is old").await;
    is_told(&fleet, &bad, 503, Some("journal_misconfigured")).await;
    goes_on(&fleet, &good).await;

    jetstream.update_stream(&as_made).await.unwrap();
    is_told(&fleet, &bad, 202, None).await;
    is_ready(&writer).await;
    goes_on(&fleet, &bad).await;
    let verified = fleet.verify().await.unwrap();
    assert!(verified.ok, "{verified:?}");
}

#[tokio::test]
async fn a_partition_whose_stream_is_gone_is_refused_by_name_and_the_others_go_on_also_in_new_processes() {
    let mut fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    let (bad, good) = (customer_of(&fleet, 2), customer_of(&fleet, 1));
    operator(&fleet).await.delete_stream("JOURNAL-2").await.unwrap();
    let detail = is_told(&fleet, &bad, 503, Some("journal_misconfigured")).await;
    assert!(detail.contains("JOURNAL-2: the stream is missing"), "{detail}");
    let writer = fleet.writer_url(0);
    is_unready(&writer, "partition 2 has stopped: JOURNAL-2: the stream is missing").await;
    goes_on(&fleet, &good).await;
    // They may not make streams, and do without it after a while.
    fleet.ingest().kill();
    fleet.writer().restart_unready().unwrap();
    fleet.ingest().restart().await.unwrap();
    is_unready(&writer, "partition 2 has stopped").await;
    goes_on(&fleet, &good).await;
    // The directory may: an empty one is a partition again, as nothing of it was stored by any
    // shard.
    fleet.directory().restart().await.unwrap();
    is_told(&fleet, &bad, 202, None).await;
    is_ready(&writer).await;
}

#[tokio::test]
async fn dead_letters_wait_while_their_stream_could_drop_them() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    let jetstream = operator(&fleet).await;
    let as_made = jetstream.get_stream("DEAD").await.unwrap().cached_info().config.clone();
    jetstream.update_stream(&Config { discard: DiscardPolicy::Old, ..as_made.clone() }).await.unwrap();
    let writer = fleet.writer_url(0);
    is_unready(&writer, "DEAD: discard is old, has to be new").await;
    // Ingest would not take it.
    let customer = customer_of(&fleet, 1);
    let ack = jetstream.publish(format!("journal.1.person.create.{customer}"), "{}".into()).await.unwrap();
    ack.await.unwrap();
    let waits = async || {
        let lanes = get(&format!("{writer}/lanes")).await.1;
        lanes["lanes"].to_string().contains("DEAD: discard is old")
    };
    wait::until("a lane that waits", LIMIT, waits).await.unwrap();
    assert_eq!(fleet.partitions().of(&customer.parse().unwrap()), Partition::new(1));
    let letters = async || jetstream.get_stream("DEAD").await.unwrap().cached_info().state.messages;
    assert_eq!(letters().await, 0);
    jetstream.update_stream(&as_made).await.unwrap();
    wait::until("the letter", LIMIT, async || letters().await == 1).await.unwrap();
    is_ready(&writer).await;
    assert_eq!(rows::count(&fleet.shards()[0].address).await.unwrap().rows, 0);
}
