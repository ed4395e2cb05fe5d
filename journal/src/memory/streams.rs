//! What the server in memory holds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_nats::{HeaderMap, header::HeaderValue};
use bytes::Bytes;
use sluice_failpoint::simulated;
use tokio::sync::Notify;

use crate::{
    server::{Raw, StoreError, StreamInfo},
    subject::{DEAD_STREAM, header},
};

/// All streams, and whether the server answers.
#[derive(Default)]
pub(super) struct Streams {
    streams: BTreeMap<String, Stream>,
    down: bool,
    /// What a stale server has of each stream: up to that sequence.
    stale: Option<BTreeMap<String, u64>>,
    generation: u64,
    names: u64,
}

#[derive(Default)]
struct Stream {
    /// The first sequence that it holds; the next one where it holds none.
    first: u64,
    last: u64,
    last_stamp: i64,
    messages: BTreeMap<u64, Raw>,
    by_subject: HashMap<String, u64>,
    /// Only the last message of each subject stays.
    is_bucket: bool,
    arrived: Arc<Notify>,
}

impl Streams {
    pub(super) fn make(&mut self, name: &str, first: u64, is_bucket: bool) {
        let stream = || Stream { first, last: first - 1, is_bucket, ..Stream::default() };
        self.streams.entry(name.to_owned()).or_insert_with(stream);
    }

    pub(super) fn is_up(&self) -> bool {
        !self.down
    }

    pub(super) fn set_up(&mut self, up: bool) {
        self.down = !up;
        self.cut();
    }

    pub(super) fn set_stale(&mut self, stale: bool) {
        self.stale = stale.then(|| self.streams.iter().map(|(name, stream)| (name.clone(), stream.last)).collect());
    }

    pub(super) fn cut(&mut self) {
        self.generation += 1;
        self.streams.values().for_each(|stream| stream.arrived.notify_waiters());
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn next_name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    pub(super) fn bounds(&self, name: &str) -> (u64, u64) {
        self.streams.get(name).map_or((1, 0), |stream| (stream.first, stream.last))
    }

    pub(super) fn info(&self, name: &str, copies: usize) -> StreamInfo {
        let (first, last) = self.bounds(name);
        let stream = self.streams.get(name);
        let bytes = stream.map_or(0, |stream| stream.messages.values().map(|raw| raw.payload.len() as u64).sum());
        let messages = stream.map_or(0, |stream| stream.messages.len() as u64);
        let mut info = StreamInfo {
            first_sequence: first,
            last_sequence: last,
            messages,
            bytes,
            max_bytes: 1 << 30,
            copies,
            is_followed: true,
        };
        if let Some(until) = self.stale_until(name) {
            (info.last_sequence, info.is_followed) = (last.min(until), false);
        }
        info
    }

    pub(super) fn raw(&self, name: &str, sequence: u64) -> Option<Raw> {
        if self.stale_until(name).is_some_and(|until| sequence > until) {
            return None;
        }
        self.streams.get(name)?.messages.get(&sequence).cloned()
    }

    pub(super) fn last(&self, name: &str, subject: &str) -> Option<Raw> {
        let stream = self.streams.get(name)?;
        let last = stream.by_subject.get(subject)?;
        stream.messages.get(last).cloned()
    }

    /// Stores a message in the stream that listens to its subject; gives the stream's name, and the message.
    pub(super) fn store(
        &mut self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(String, Raw), StoreError> {
        let name = listener(subject);
        let now = simulated::current().map_or(0, |simulation| simulation.since_epoch().as_nanos());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let missing = || StoreError::Other(format!("nobody listens to {subject}").into());
        let stream = name.as_ref().and_then(|name| self.streams.get_mut(name)).ok_or_else(missing)?;
        let text = |name: &str| headers.get(name).map(HeaderValue::as_str);
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        if let Some(expected) = number(header::EXPECTED_LAST_SUBJECT_SEQUENCE) {
            let of = text(header::EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT).unwrap_or(subject);
            if stream.by_subject.get(of).copied().unwrap_or(0) != expected {
                return Err(StoreError::Overtaken);
            }
        }
        if number(header::EXPECTED_LAST_SEQUENCE).is_some_and(|expected| expected != stream.last) {
            return Err(StoreError::Overtaken);
        }
        let raw = stream.push(subject, now, headers, payload);
        Ok((name.unwrap_or_default(), raw))
    }

    pub(super) fn purge(&mut self, name: &str, before: u64) -> u64 {
        let Some(stream) = self.streams.get_mut(name) else { return 0 };
        let kept = stream.messages.split_off(&before);
        let gone = std::mem::replace(&mut stream.messages, kept);
        stream.last = stream.last.max(before - 1);
        stream.first = stream.first.max(before);
        stream.find_last_of_subjects();
        gone.len() as u64
    }

    pub(super) fn truncate(&mut self, name: &str, last: u64) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.messages.split_off(&(last + 1));
            (stream.last, stream.first) = (last, stream.first.min(last + 1));
            stream.find_last_of_subjects();
        }
        self.cut();
    }

    /// What a consumer gets next: at most so many messages from a sequence on, and the last sequence.
    pub(super) fn from(&self, name: &str, from: u64, most: usize) -> (Vec<Raw>, u64) {
        let Some(stream) = self.streams.get(name).filter(|_| self.is_up()) else { return (Vec::new(), 0) };
        (stream.messages.range(from..).take(most).map(|(_, raw)| raw.clone()).collect(), stream.last)
    }

    pub(super) fn arrived(&self, name: &str) -> Arc<Notify> {
        self.streams.get(name).map_or_else(Arc::default, |stream| Arc::clone(&stream.arrived))
    }

    /// While there is a stale server, half of the answers are its.
    fn stale_until(&self, name: &str) -> Option<u64> {
        let until = *self.stale.as_ref()?.get(name)?;
        simulated::current().filter(|simulation| simulation.random().is_multiple_of(2)).map(|_| until)
    }
}

impl Stream {
    fn push(&mut self, subject: &str, now: i64, headers: HeaderMap, payload: Bytes) -> Raw {
        let sequence = self.last + 1;
        let stamp = now.max(self.last_stamp + 1);
        let raw = Raw { subject: subject.to_owned().into(), sequence, stamp, headers, payload };
        let before = self.by_subject.insert(subject.to_owned(), sequence);
        if let Some(before) = before.filter(|_| self.is_bucket) {
            self.messages.remove(&before);
        }
        (self.last, self.last_stamp) = (sequence, stamp);
        self.messages.insert(sequence, raw.clone());
        self.arrived.notify_waiters();
        raw
    }

    fn find_last_of_subjects(&mut self) {
        self.by_subject = self.messages.iter().map(|(at, raw)| (raw.subject.to_string(), *at)).collect();
    }
}

/// The stream that listens to a subject.
fn listener(subject: &str) -> Option<String> {
    let (first, rest) = subject.split_once('.')?;
    let second = rest.split_once('.').map_or(rest, |(second, _)| second);
    match first {
        "journal" => Some(format!("JOURNAL-{second}")),
        "dead" => Some(DEAD_STREAM.to_owned()),
        "$KV" => Some(format!("KV_{second}")),
        _ => None,
    }
}
