//! Compares a stream's settings, as the server tells them, with what the protocol needs. No I/O.
//!
//! Settings are compared as JSON and by name. So a setting of a newer server, which this program's
//! NATS client does not know, is seen too: it is told of as a warning until somebody has decided
//! what it can do to a message.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use serde_json::{Map, Value};

use crate::{stream::Tag, subject::is_ours};

/// The largest message, in bytes, of a partition that a repair has shut for events: fillers have
/// none, and every event has more.
pub(crate) const SHUT: i32 = 1;
/// The least limit of a consumer's inactive time that our readers can live with; they ask for as
/// much.
const INACTIVE: Duration = Duration::from_secs(60);

/// What a stream is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A partition's events.
    Partition,
    /// The dead letters.
    Letters,
    /// A key-value bucket.
    Bucket,
}

/// What a comparison found, one line for each setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Settings by which the stream may drop or refuse a message that it should keep or take.
    pub(crate) contradictions: Vec<String>,
    /// What somebody should look at, although no message is lost by it.
    pub(crate) warnings: Vec<String>,
}

/// What is asked of one setting.
enum Rule {
    /// It has to be as we make it: otherwise a message can be dropped, refused, or changed.
    Same,
    /// It is the operator's: it can neither drop nor refuse a message that should be kept or taken.
    Free,
    /// It is not set, or at least so much.
    AtLeast(i64),
    /// See [`republish`].
    Republish,
    /// This program does not know it.
    Unknown,
}

/// Decides each setting of a stream, by its name in JetStream's API.
///
/// `wanted` is what we would make; `max_payload` is the largest message that the server takes.
fn rule(kind: Kind, name: &str, wanted: &Value, max_payload: i64) -> Rule {
    use Kind::{Bucket, Letters, Partition};
    match (name, kind) {
        // Whether old messages are dropped for new ones, and after how many or how long.
        ("discard" | "discard_new_per_subject" | "max_msgs" | "retention", _) => Rule::Same,
        ("max_msgs_per_subject", Bucket) => Rule::AtLeast(1),
        ("max_msgs_per_subject", _) => Rule::Same,
        // A bucket of names that are written again and again may forget them, not earlier.
        ("max_age", Bucket) => wanted.as_i64().filter(|age| *age > 0).map_or(Rule::Same, Rule::AtLeast),
        ("max_age", _) => Rule::Same,
        // With these a publisher's header removes messages, or has them removed later. Nobody but
        // us writes to buckets, and we send none of those headers.
        ("allow_msg_ttl" | "subject_delete_marker_ttl" | "allow_rollup_hdrs", Partition | Letters) => Rule::Same,
        ("allow_msg_schedules" | "allow_msg_counter", _) => Rule::Same,
        // Single messages of a partition can't be removed: positions have no gaps.
        ("deny_delete", Partition) => Rule::Same,
        // The trimmer purges a partition; an operator's replay purges what a letter was before.
        ("deny_purge", Partition | Letters) => Rule::Same,
        // Memory forgets with its server; `async` acknowledges before a message is stored.
        ("storage" | "persist_mode" | "no_ack", _) => Rule::Same,
        // Nothing is taken any more, or not everything, or something else is.
        ("sealed" | "subjects" | "subject_transform" | "mirror" | "sources", _) => Rule::Same,
        ("max_msg_size", _) => Rule::AtLeast(max_payload),
        // Positions begin where the partition's begin.
        ("first_seq", Partition) => Rule::Same,
        // A reader that gets no consumer reads nothing.
        ("max_consumers", _) => Rule::Same,
        ("republish", _) => Rule::Republish,
        // Looked at below, or the operator's: copies, room, the duplicate window, where it lies.
        // Direct gets are not used for anything that decides. Batches change no single message.
        (
            "name"
            | "description"
            | "metadata"
            | "consumer_limits"
            | "num_replicas"
            | "max_bytes"
            | "duplicate_window"
            | "placement"
            | "compression"
            | "allow_direct"
            | "mirror_direct"
            | "allow_atomic"
            | "allow_batched"
            | "template_owner"
            | "first_seq"
            | "deny_delete"
            | "deny_purge"
            | "allow_rollup_hdrs"
            | "allow_msg_ttl"
            | "subject_delete_marker_ttl",
            _,
        ) => Rule::Free,
        _ => Rule::Unknown,
    }
}

/// Compares what a server tells of a stream with what we would make.
pub(crate) fn compare(kind: Kind, found: &Map<String, Value>, wanted: &Config, max_payload: usize) -> Findings {
    let wanted_json = as_json(wanted);
    let max_payload = i64::try_from(max_payload).unwrap_or(i64::MAX);
    let mut findings = Findings::default();
    let mut names: Vec<&String> = found.keys().chain(wanted_json.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let have = found.get(name).unwrap_or(&Value::Null);
        let want = wanted_json.get(name).unwrap_or(&Value::Null);
        match rule(kind, name, want, max_payload) {
            Rule::Free => {}
            Rule::Same if is_same(name, have, want) => {}
            Rule::Same => findings.contradicts(name, have, &shown_wish(name, have, want)),
            Rule::AtLeast(_) if is_unset(have) => {}
            Rule::AtLeast(_) if is_shut(kind, name, have) => findings.warnings.push(
                "it is shut for events by `writer journal repair`, which is at work or was interrupted: give that \
                 command again"
                    .to_owned(),
            ),
            Rule::AtLeast(least) if have.as_i64().is_some_and(|have| have >= least) => {}
            Rule::AtLeast(least) => {
                findings.contradicts(name, have, &format!("at least {}, or unset", shown(name, &least.into())));
            }
            Rule::Republish => findings.contradictions.extend(republish(have)),
            Rule::Unknown if is_unset(have) => {}
            Rule::Unknown => findings.warnings.push(format!(
                "{name} is {}: this version does not know that setting; see whether it can drop a message",
                shown(name, have)
            )),
        }
    }
    findings.contradictions.extend(consumer_limits(found));
    if kind != Kind::Bucket {
        findings.contradictions.extend(tags(found, wanted));
    }
    findings
}

impl Findings {
    fn contradicts(&mut self, name: &str, have: &Value, wish: &str) {
        self.contradictions.push(format!("{name} is {}, has to be {wish}", shown(name, have)));
    }
}

/// A stream's settings as JetStream's API has them.
pub(crate) fn as_json(config: &Config) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("a stream's settings are a JSON object"),
    }
}

fn is_shut(kind: Kind, name: &str, have: &Value) -> bool {
    kind == Kind::Partition && name == "max_msg_size" && have.as_i64() == Some(SHUT.into())
}

/// Copies elsewhere are the operator's, but none may come back as an event, a letter or an entry.
fn republish(have: &Value) -> Option<String> {
    let destination = have.get("dest").and_then(Value::as_str)?;
    is_ours(destination).then(|| format!("republish leads to {destination}, which is one of our own subjects"))
}

/// Our readers' consumers are forgotten when nobody has pulled from them for some time; a lower
/// limit refuses them.
fn consumer_limits(found: &Map<String, Value>) -> Option<String> {
    let nanoseconds = found.get("consumer_limits")?.get("inactive_threshold")?.as_u64()?;
    let limit = Duration::from_nanos(nanoseconds);
    (nanoseconds > 0 && limit < INACTIVE)
        .then(|| format!("consumer_limits.inactive_threshold is {limit:?}, has to be at least {INACTIVE:?}, or unset"))
}

/// Whose stream it is: see [`Tag`].
fn tags(found: &Map<String, Value>, wanted: &Config) -> Option<String> {
    let text = |name: &str| found.get("metadata").and_then(|all| all.get(name)).and_then(Value::as_str);
    let (found, wanted) = (Tag::read(text), Tag::of(wanted));
    let shown = |tag: &Option<Tag>| match tag {
        Some(Tag { journal_id, partitions }) => format!("{journal_id} with {partitions} partitions"),
        None => "missing".to_owned(),
    };
    (found != wanted).then(|| format!("the journal id is {}, has to be {}", shown(&found), shown(&wanted)))
}

/// What servers write where nothing is set, or leave out: no limit is 0 or -1.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64().is_some_and(|number| number <= 0),
        Value::String(text) => matches!(text.as_str(), "" | "default"),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.values().all(is_unset),
    }
}

fn is_same(name: &str, have: &Value, want: &Value) -> bool {
    // A stream's first sequence is 1 where it is not set.
    let is_none = |value: &Value| is_unset(value) || (name == "first_seq" && value.as_u64() == Some(1));
    have == want || (is_none(have) && is_none(want))
}

fn is_time(name: &str) -> bool {
    matches!(name, "max_age" | "subject_delete_marker_ttl")
}

fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Number(number) if is_time(name) => {
            format!("{:?}", Duration::from_nanos(number.as_u64().unwrap_or_default()))
        }
        Value::String(text) => text.clone(),
        Value::Null => "unset".to_owned(),
        other => other.to_string(),
    }
}

/// What a setting has to be, in the words of what it is now.
fn shown_wish(name: &str, have: &Value, want: &Value) -> String {
    match have {
        Value::Bool(_) if is_unset(want) => "false".to_owned(),
        Value::Number(_) if is_unset(want) => if is_time(name) { "0" } else { "-1" }.to_owned(),
        _ if is_unset(want) => "unset".to_owned(),
        _ => shown(name, want),
    }
}

#[cfg(test)]
mod tests;
