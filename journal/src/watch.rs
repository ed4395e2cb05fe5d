//! Looks at the streams' settings again and again, and remembers what contradicts the protocol.
//!
//! Somebody may change a stream at any moment, while every service runs. So each service looks at
//! all streams that it relies on every few seconds, after each reconnection, and as soon as the
//! server says that it has changed or removed one. What it has seen
//! holds for all clones of its [`Journal`]: ingest takes no events for a partition that could drop
//! them, and the writer does not read it, until it is mended. The other partitions go on.
//!
//! The same look tells where each stream ends, by which a reader that stalls is found out, and
//! whether NATS answers at all.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{Request, connection::State, jetstream::stream::Config};
use futures::{
    StreamExt,
    stream::{BoxStream, SelectAll},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use sluice_model::{Partition, Position};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Journal,
    compare::{Findings, Kind, as_json, compare},
    error::BoxError,
    server::Server,
    subject::{DEAD_STREAM, bucket_stream, stream_info, stream_name},
};

/// How often the streams are looked at. Shorter: questions to the server for nothing. Longer:
/// events go on being accepted for so long by a stream that was changed so that it drops them.
const EVERY: Duration = Duration::from_secs(2);
/// Where the server says that it has changed or removed a stream.
const CHANGES: [&str; 2] = ["$JS.EVENT.ADVISORY.STREAM.UPDATED.*", "$JS.EVENT.ADVISORY.STREAM.DELETED.*"];
/// How often one looks whether the connection was lost and is there again.
const RECONNECT_LOOK: Duration = Duration::from_millis(100);
/// How long one answer may take. Shorter: a busy server counts as silent. Longer: so do the others.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Streams that are asked about at once. Fewer: a look at 512 partitions takes long. More: as many
/// questions at once from each process.
const AT_ONCE: usize = 16;
/// A stream that has not answered for so long counts as silent. Shorter than some looks: a hiccup
/// makes a service unready. Longer: it says for so long that it is ready while nothing works.
const SILENT_AFTER: Duration = Duration::from_secs(8);
/// So many looks in a row have to find no stream: a server that has just started may not know it
/// yet.
const MISSED: u32 = 2;
/// JetStream's code for "there is no such stream".
const STREAM_NOT_FOUND: u64 = 10_059;

/// What is said of a stream that is not there.
pub(crate) const MISSING: &str = "the stream is missing: restore it from a backup (nats stream restore), or restart a \
     service that may make it (with users in NATS: the directory) and then give `writer journal repair`";

/// What was seen of each stream, by its name.
#[derive(Debug, Default)]
pub(crate) struct Streams(watch::Sender<BTreeMap<String, Seen>>);

/// What was seen of one stream.
#[derive(Debug, Clone)]
struct Seen {
    kind: Kind,
    partition: Option<Partition>,
    wanted: Arc<Config>,
    findings: Findings,
    /// When it answered last.
    heard: Instant,
    /// How often in a row there was no such stream.
    missed: u32,
    extent: Option<Extent>,
}

/// How far a partition's stream reaches, as it said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The last position ever given; [`Position::before_first`] where there was none.
    pub last: Position,
    /// How many messages are kept.
    pub messages: u64,
    /// How many bytes they take.
    pub bytes: u64,
}

/// What is wrong with a stream that this process relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The stream's name.
    pub stream: String,
    /// The partition whose stream it is; `None` for dead letters and buckets.
    pub partition: Option<Partition>,
    /// What is wrong, with the settings' names.
    pub what: String,
}

/// How NATS and the streams stand, for those who ask whether this process can do its work.
#[derive(Debug, Clone, Default)]
pub struct JournalHealth {
    /// Why nothing works at the moment, if that is so: NATS is not heard.
    pub unheard: Option<String>,
    /// Streams that cannot be used as they are, or that do not answer.
    pub faults: Vec<Fault>,
    /// What somebody should look at, although no message is lost by it.
    pub warnings: Vec<String>,
}

/// A stream as the server tells it.
#[derive(Debug, Deserialize)]
struct Told {
    error: Option<ToldError>,
    config: Option<Map<String, Value>>,
    state: Option<ToldState>,
}

#[derive(Debug, Deserialize)]
struct ToldError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Deserialize)]
struct ToldState {
    messages: u64,
    bytes: u64,
    last_seq: u64,
}

impl Streams {
    /// From now on this stream is looked at, too. `found` are its settings now; `None` where it is
    /// missing. One that is known already is let be.
    pub(crate) fn add(&self, kind: Kind, wanted: &Config, found: Option<&Config>, max_payload: usize) {
        if self.0.borrow().contains_key(&wanted.name) {
            return;
        }
        let findings = match found {
            Some(found) => compare(kind, &as_json(found), wanted, max_payload),
            None => Findings { contradictions: vec![MISSING.to_owned()], warnings: Vec::new() },
        };
        tell_of_change(&wanted.name, &Findings::default(), &findings);
        let partition = (kind == Kind::Partition).then(|| partition_of(&wanted.name)).flatten();
        let wanted = Arc::new(wanted.clone());
        let seen = Seen { kind, partition, findings, heard: Instant::now(), missed: 0, extent: None, wanted };
        self.0.send_modify(|all| drop(all.insert(seen.wanted.name.clone(), seen)));
    }

    /// Notes what a stream's server has answered. Wakes those who wait where its findings changed.
    fn note(&self, name: &str, told: &Told, max_payload: usize) {
        self.0.send_if_modified(|all| {
            let Some(seen) = all.get_mut(name) else { return false };
            let Some(now) = seen.read(told, max_payload) else { return false };
            let is_new = now != seen.findings;
            if is_new {
                tell_of_change(name, &seen.findings, &now);
                seen.findings = now;
            }
            is_new
        });
    }

    fn of(&self, stream: &str) -> Option<Seen> {
        self.0.borrow().get(stream).cloned()
    }
}

impl Seen {
    /// What an answer says of the stream's settings; `None` where it says nothing of them.
    fn read(&mut self, told: &Told, max_payload: usize) -> Option<Findings> {
        if let Some(config) = &told.config {
            (self.heard, self.missed) = (Instant::now(), 0);
            self.extent = self.partition.zip(told.state.as_ref()).and_then(|(partition, state)| {
                let last = state.last_seq.max(Position::before_first(partition).get());
                let last = Position::new(last).filter(|last| last.partition() == partition)?;
                Some(Extent { last, messages: state.messages, bytes: state.bytes })
            });
            return Some(compare(self.kind, config, &self.wanted, max_payload));
        }
        let error = told.error.as_ref()?;
        if error.err_code != STREAM_NOT_FOUND {
            tracing::debug!(stream = self.wanted.name, error = error.description, "its settings are not told");
            return None;
        }
        (self.heard, self.missed, self.extent) = (Instant::now(), self.missed + 1, None);
        (self.missed >= MISSED).then(|| Findings { contradictions: vec![MISSING.to_owned()], warnings: Vec::new() })
    }

    fn contradiction(&self) -> Option<String> {
        let all = &self.findings.contradictions;
        (!all.is_empty()).then(|| format!("{}: {}", self.wanted.name, all.join("; ")))
    }
}

fn tell_of_change(stream: &str, before: &Findings, now: &Findings) {
    let gauge = metrics::gauge!("sluice_journal_misconfigured", "stream" => stream.to_owned());
    gauge.set(f64::from(u8::from(!now.contradictions.is_empty())));
    if !now.contradictions.is_empty() {
        let settings = now.contradictions.join("; ");
        tracing::error!(
            stream,
            settings,
            "this stream is not set up as it has to be: it is not used until it is mended"
        );
    } else if !before.contradictions.is_empty() {
        tracing::info!(stream, "this stream is set up as it has to be again");
    }
    for warning in now.warnings.iter().filter(|warning| !before.warnings.contains(warning)) {
        tracing::warn!(stream, "{warning}");
    }
}

fn partition_of(stream: &str) -> Option<Partition> {
    stream.strip_prefix("JOURNAL-")?.parse().ok().map(Partition::new)
}

impl Journal {
    /// Looks at all streams again and again until `stop`; at once after each reconnection, and
    /// where the server says that one has changed. Every service does this beside its work. In a
    /// simulation there is nothing to look at.
    pub async fn watch(&self, stop: CancellationToken) {
        let Some(client) = self.nats() else { return };
        let connects = || client.statistics().connects.load(Ordering::Relaxed);
        let looking = async {
            let mut changes = changes(client).await;
            loop {
                let (since, seen) = (Instant::now(), connects());
                self.look().await;
                let mut changed = false;
                while since.elapsed() < EVERY && connects() == seen && !changed {
                    changed = tokio::time::timeout(RECONNECT_LOOK, changes.next()).await.is_ok();
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    /// Looks at all streams once. One that does not answer keeps what was seen of it last.
    pub async fn look(&self) {
        let Some(client) = self.nats() else { return };
        if client.connection_state() != State::Connected {
            return;
        }
        let names: Vec<String> = self.streams().0.borrow().keys().cloned().collect();
        let looks = futures::stream::iter(names).for_each_concurrent(AT_ONCE, |name| async move {
            match ask(client, &name).await {
                Ok(told) => self.streams().note(&name, &told, self.max_payload()),
                Err(error) => tracing::debug!(stream = name, error, "its settings are not told"),
            }
        });
        looks.await;
    }

    /// The connection; in a simulation there is none.
    fn nats(&self) -> Option<&async_nats::Client> {
        match self.server() {
            Server::Nats { client, .. } => Some(client),
            #[cfg(debug_assertions)]
            Server::Memory(_) => None,
        }
    }

    /// Why a partition can't be used, where its stream is not set up as it has to be or is missing.
    pub fn misconfigured(&self, partition: Partition) -> Option<String> {
        self.streams().of(&stream_name(partition))?.contradiction()
    }

    /// Waits until a partition can't be used, and says why. May be cancelled.
    pub async fn until_misconfigured(&self, partition: Partition) -> String {
        let mut changes = self.streams().0.subscribe();
        loop {
            if let Some(why) = self.misconfigured(partition) {
                return why;
            }
            changes.changed().await.expect("the journal holds the sender");
        }
    }

    /// Why dead letters can't be stored, where their stream could drop them.
    pub(crate) fn misconfigured_letters(&self) -> Option<String> {
        self.streams().of(DEAD_STREAM)?.contradiction()
    }

    /// Why a bucket can't be relied on.
    pub fn misconfigured_bucket(&self, bucket: &str) -> Option<String> {
        self.streams().of(&bucket_stream(bucket))?.contradiction()
    }

    /// How far a partition's stream reaches, as it said last; `None` where nobody looks.
    pub fn extent(&self, partition: Partition) -> Option<Extent> {
        self.streams().of(&stream_name(partition))?.extent
    }

    /// How NATS and all streams stand at the moment.
    pub fn health(&self) -> JournalHealth {
        let Some(client) = self.nats() else { return JournalHealth::default() };
        let mut health = stand(self.streams().0.borrow().values(), Instant::now());
        if client.connection_state() != State::Connected {
            health.unheard = Some("NATS is not reachable (NATS_URL)".to_owned());
        }
        health
    }
}

fn stand<'a>(streams: impl Iterator<Item = &'a Seen>, now: Instant) -> JournalHealth {
    let mut health = JournalHealth::default();
    let mut least_silence: Option<Duration> = None;
    for seen in streams {
        let stream = seen.wanted.name.clone();
        let silence = now.saturating_duration_since(seen.heard);
        least_silence = Some(least_silence.map_or(silence, |least| least.min(silence)));
        if let Some(what) = seen.contradiction() {
            health.faults.push(Fault { stream, partition: seen.partition, what });
        } else if silence > SILENT_AFTER {
            let what = format!("{stream} has not answered for {} s; it may have no leader", silence.as_secs());
            health.faults.push(Fault { stream, partition: seen.partition, what });
        }
        let told = seen.findings.warnings.iter().map(|warning| format!("{}: {warning}", seen.wanted.name));
        health.warnings.extend(told);
    }
    if let Some(silence) = least_silence.filter(|silence| *silence > SILENT_AFTER) {
        health.unheard = Some(format!("NATS JetStream has not answered for {} s", silence.as_secs()));
    }
    health
}

/// What the server says of changed and removed streams. Where this user may not listen to that, the
/// regular looks find them.
async fn changes(client: &async_nats::Client) -> BoxStream<'static, async_nats::Message> {
    let mut changes = SelectAll::new();
    for subject in CHANGES {
        match client.subscribe(subject).await {
            Ok(subscription) => changes.push(subscription),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, subject, "not listened to"),
        }
    }
    // It never ends, so that who waits for it does not come back at once.
    changes.chain(futures::stream::pending()).boxed()
}

async fn ask(client: &async_nats::Client, stream: &str) -> Result<Told, BoxError> {
    // An inbox of its own: a request that is never answered leaves nothing behind in the client
    // (nats.rs #1617).
    let request = Request::new().timeout(Some(ANSWER_LIMIT)).inbox(client.new_inbox());
    let asked = client.send_request(stream_info(stream), request);
    let answer = tokio::time::timeout(ANSWER_LIMIT, asked).await.map_err(|_| "no answer in time")??;
    Ok(serde_json::from_slice(&answer.payload)?)
}

#[cfg(test)]
mod tests;
