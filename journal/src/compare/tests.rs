use serde_json::json;
use sluice_model::Partition;

use super::*;
use crate::{
    Settings,
    server::bucket,
    stream::{dead_config, partition_config},
};

const MAX_PAYLOAD: usize = 1 << 20;

fn tag() -> Tag {
    Tag { journal_id: "j".to_owned(), partitions: 4.try_into().unwrap() }
}

fn partition() -> Config {
    partition_config(Partition::new(2), &tag(), &Settings::default())
}

/// A partition's stream in which one setting is another than we make it.
fn with(name: &str, value: Value) -> Findings {
    let wanted = partition();
    let mut found = as_json(&wanted);
    found.insert(name.to_owned(), value);
    compare(Kind::Partition, &found, &wanted, MAX_PAYLOAD)
}

/// What NATS adds to what it was told.
fn as_the_server_tells(config: &Config) -> Map<String, Value> {
    let mut found = as_json(config);
    let told = json!({
        "max_consumers": -1, "max_msg_size": -1, "compression": "none", "consumer_limits": {}, "sealed": false,
        "deny_purge": false, "mirror_direct": false, "allow_msg_ttl": false, "duplicate_window": 120_000_000_000_u64,
    });
    for (name, value) in told.as_object().unwrap() {
        found.entry(name).and_modify(|old| *old = value.clone()).or_insert(value.clone());
    }
    let metadata = found["metadata"].as_object_mut().unwrap();
    metadata.insert("_nats.req.level".to_owned(), "0".into());
    found
}

#[test]
fn what_we_make_contradicts_nothing_as_the_server_tells_it() {
    for (kind, config) in [(Kind::Partition, partition()), (Kind::Letters, dead_config(&tag(), &Settings::default()))] {
        let findings = compare(kind, &as_the_server_tells(&config), &config, MAX_PAYLOAD);
        assert_eq!(findings, Findings::default(), "{kind:?}");
    }
}

#[test]
fn every_setting_that_can_drop_refuse_or_change_a_message_of_a_partition_is_named() {
    let bad = [
        ("discard", json!("old")),
        ("discard_new_per_subject", json!(true)),
        ("max_msgs", json!(5)),
        ("max_msgs_per_subject", json!(1)),
        ("max_age", json!(3_600_000_000_000_u64)),
        ("retention", json!("interest")),
        ("storage", json!("memory")),
        ("persist_mode", json!("async")),
        ("no_ack", json!(true)),
        ("sealed", json!(true)),
        ("allow_msg_ttl", json!(true)),
        ("subject_delete_marker_ttl", json!(1_000_000_000)),
        ("allow_rollup_hdrs", json!(true)),
        ("allow_msg_schedules", json!(true)),
        ("allow_msg_counter", json!(true)),
        ("deny_delete", json!(false)),
        ("deny_purge", json!(true)),
        ("max_msg_size", json!(100)),
        ("max_consumers", json!(1)),
        ("first_seq", json!(7)),
        ("subjects", json!(["journal.2.person.>"])),
        ("subjects", json!(["journal.2.>", "other.>"])),
        ("subject_transform", json!({"src": "journal.2.>", "dest": "x.>"})),
        ("mirror", json!({"name": "X"})),
        ("sources", json!([{"name": "X"}])),
        ("republish", json!({"src": ">", "dest": "journal.1.>"})),
        ("consumer_limits", json!({"inactive_threshold": 1_000_000_000})),
        ("metadata", json!({})),
    ];
    for (name, value) in bad {
        let findings = with(name, value.clone());
        assert_eq!(findings.contradictions.len(), 1, "{name} {value}: {findings:?}");
        let word = if name == "metadata" { "journal id" } else { name };
        assert!(findings.contradictions[0].contains(word), "{findings:?}");
    }
    assert_eq!(with("discard", json!("old")).contradictions, ["discard is old, has to be new"]);
    assert_eq!(with("max_msgs", json!(5)).contradictions, ["max_msgs is 5, has to be -1"]);
    assert_eq!(with("max_age", json!(3_600_000_000_000_u64)).contradictions, ["max_age is 3600s, has to be 0"]);
    assert_eq!(with("no_ack", json!(true)).contradictions, ["no_ack is true, has to be false"]);
}

#[test]
fn what_is_the_operators_to_choose_is_let_be_and_what_nobody_knows_is_told_of() {
    let free = [
        ("max_bytes", json!(1_000)),
        ("num_replicas", json!(3)),
        ("duplicate_window", json!(1)),
        ("compression", json!("s2")),
        ("description", json!("ours")),
        ("placement", json!({"cluster": "c"})),
        ("allow_direct", json!(false)),
        ("allow_atomic", json!(true)),
        ("max_msg_size", json!(MAX_PAYLOAD)),
        ("republish", json!({"src": ">", "dest": "feed.>"})),
        ("consumer_limits", json!({"inactive_threshold": 600_000_000_000_u64, "max_ack_pending": 5})),
    ];
    for (name, value) in free {
        assert_eq!(with(name, value.clone()), Findings::default(), "{name} {value}");
    }
    let new = with("a_setting_of_tomorrow", json!(true));
    assert!(new.contradictions.is_empty() && new.warnings[0].contains("a_setting_of_tomorrow"), "{new:?}");
    assert_eq!(with("a_setting_of_tomorrow", json!(false)), Findings::default());
    // A repair shuts a partition so, and says so itself.
    let shut = with("max_msg_size", json!(SHUT));
    assert!(shut.contradictions.is_empty() && shut.warnings[0].contains("journal repair"), "{shut:?}");
}

#[test]
fn a_bucket_may_keep_more_and_longer_but_not_less() {
    let wanted = bucket::config("b", Duration::from_secs(600));
    let with = |name: &str, value: Value| {
        let mut found = as_json(&wanted);
        found.insert(name.to_owned(), value);
        compare(Kind::Bucket, &found, &wanted, MAX_PAYLOAD)
    };
    for (name, value) in [
        ("max_age", json!(700_000_000_000_u64)),
        ("max_age", json!(0)),
        ("max_msgs_per_subject", json!(64)),
        ("allow_rollup_hdrs", json!(true)),
        ("deny_delete", json!(true)),
    ] {
        assert_eq!(with(name, value), Findings::default(), "{name}");
    }
    for (name, value) in [
        ("max_age", json!(1_000_000_000)),
        ("max_msgs", json!(3)),
        ("storage", json!("memory")),
        ("discard", json!("old")),
        ("max_msg_size", json!(10)),
    ] {
        assert_eq!(with(name, value).contradictions.len(), 1, "{name}");
    }
    let forever = bucket::config("b", Duration::ZERO);
    let mut found = as_json(&forever);
    found.insert("max_age".to_owned(), json!(1_000_000_000));
    assert_eq!(compare(Kind::Bucket, &found, &forever, MAX_PAYLOAD).contradictions.len(), 1);
}
