use serde_json::json;

use super::*;
use crate::{
    Settings,
    stream::{Tag, partition_config},
};

fn streams() -> (Streams, Config) {
    let tag = Tag { journal_id: "j".to_owned(), partitions: 4.try_into().unwrap() };
    let config = partition_config(Partition::new(2), &tag, &Settings::default());
    let streams = Streams::default();
    streams.add(Kind::Partition, &config, Some(&config), 1 << 20);
    (streams, config)
}

fn told(config: &Config, last: u64) -> Told {
    let state = json!({"messages": 3, "bytes": 300, "last_seq": last, "first_seq": 1});
    serde_json::from_value(json!({"config": as_json(config), "state": state})).unwrap()
}

fn missing() -> Told {
    serde_json::from_value(json!({"error": {"code": 404, "err_code": 10_059, "description": "none"}})).unwrap()
}

#[test]
fn a_stream_that_is_changed_is_told_of_and_so_is_one_that_is_mended() {
    let (streams, config) = streams();
    let seen = || streams.of("JOURNAL-2").unwrap();
    assert_eq!(seen().contradiction(), None);
    let last = Position::first(Partition::new(2)).get() + 4;
    let changed = Config { max_messages: 5, no_ack: true, ..config.clone() };
    streams.note("JOURNAL-2", &told(&changed, last), 1 << 20);
    let why = seen().contradiction().unwrap();
    assert_eq!(why, "JOURNAL-2: max_msgs is 5, has to be -1; no_ack is true, has to be false");
    assert_eq!(seen().extent.unwrap().last.get(), last);
    let health = stand([&seen()].into_iter(), Instant::now());
    assert_eq!(health.faults[0].partition, Some(Partition::new(2)));
    assert!(health.unheard.is_none() && health.faults[0].what.contains("no_ack"));
    streams.note("JOURNAL-2", &told(&config, last), 1 << 20);
    assert_eq!(seen().contradiction(), None);
}

#[test]
fn a_stream_is_missing_where_two_looks_in_a_row_find_none() {
    let (streams, config) = streams();
    let contradiction = || streams.of("JOURNAL-2").unwrap().contradiction();
    streams.note("JOURNAL-2", &missing(), 1 << 20);
    assert_eq!(contradiction(), None);
    streams.note("JOURNAL-2", &told(&config, 1), 1 << 20);
    streams.note("JOURNAL-2", &missing(), 1 << 20);
    assert_eq!(contradiction(), None);
    streams.note("JOURNAL-2", &missing(), 1 << 20);
    assert!(contradiction().unwrap().contains("JOURNAL-2: the stream is missing"));
}

#[test]
fn a_stream_that_does_not_answer_is_a_fault_and_where_none_answers_nats_is_not_heard() {
    let (streams, config) = streams();
    let silent = streams.of("JOURNAL-2").unwrap();
    let config = Config { name: "JOURNAL-3".to_owned(), ..config };
    let mut other = Seen { wanted: Arc::new(config), ..silent.clone() };
    let now = silent.heard + SILENT_AFTER + Duration::from_secs(1);
    let health = stand([&silent, &other].into_iter(), now);
    assert!(health.unheard.unwrap().contains("has not answered for 9 s"));
    other.heard = now;
    let health = stand([&silent, &other].into_iter(), now);
    assert!(health.unheard.is_none());
    let faults: Vec<_> = health.faults.into_iter().map(|fault| fault.stream).collect();
    assert_eq!(faults, ["JOURNAL-2"]);
}
