//! What became of a message, told to whoever asked to be told.
//!
//! A publisher names an inbox in a message's header. The writer answers there once the message's rows are committed on their shard, or
//! have turned out to be dead letters. Nobody stores the answer, and nobody asks again: it is a courtesy, and what it tells
//! happens without it. [`inbox`] is the publisher's side of it.

pub mod inbox;

use async_nats::{HeaderMap, HeaderName, Subject};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sluice_model::{Indexes, Position, Reason, Refusal};

use crate::{Journal, Message};

/// Where to answer.
pub const REPLY_HEADER: HeaderName = HeaderName::from_static("Sluice-Reply");
/// The trace that a message's event belongs to (W3C Trace Context); there may be several, as a message may hold several requests' events.
pub const TRACE_HEADER: HeaderName = HeaderName::from_static("traceparent");
/// Every inbox begins so. Nothing else is answered to: whoever may publish a person could else have the writer publish anything.
const INBOX: &str = "_INBOX";
/// The most bytes of an inbox.
const INBOX_MAX_BYTES: usize = 256;
/// The most traces of one message that are told of.
const MAX_TRACES: usize = 64;

/// The most characters of a detail that is told; fewer where an answer would be larger than what
/// the server takes now. Lower: a database's words are cut. Higher: memory for each waiting
/// message.
const DETAIL_CHARACTERS: usize = 100;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// The message's position, as text: it has more than 53 bits.
    pub position: String,
    /// Where its rows are; none where it has none.
    pub shard: Option<String>,
    /// Which of its events are no rows.
    #[serde(default)]
    pub dead: Vec<DeadEvent>,
}

/// An event that became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadEvent {
    /// Its place in the message.
    pub index: usize,
    /// Why, as a stable code.
    pub code: String,
    /// Why, for people.
    pub detail: String,
}

/// Events of one message that became dead letters for one reason. An answer names each of them.
#[derive(Debug, Clone)]
struct DeadEvents {
    events: Indexes,
    reason: Reason,
    detail: String,
}

impl DeadEvents {
    /// Each of them, with so many characters of the detail.
    fn each(&self, characters: usize) -> impl Iterator<Item = DeadEvent> + '_ {
        let detail: String = self.detail.chars().take(characters).collect();
        let event = move |index| DeadEvent { index, code: self.reason.code().to_owned(), detail: detail.clone() };
        self.events.iter().map(event)
    }
}

/// A message that somebody wants to hear of.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The message.
    pub position: Position,
    /// Its events that are no rows, as far as is known.
    dead: Vec<DeadEvents>,
    reply: Option<Subject>,
    traces: Vec<String>,
}

impl Watched {
    /// The message, if anybody wants to hear of it.
    pub fn of(message: &Message) -> Option<Self> {
        Self::read(message.position, message.headers.as_ref()?)
    }

    fn read(position: Position, headers: &HeaderMap) -> Option<Self> {
        let reply = headers.get(REPLY_HEADER).map(|reply| reply.as_str()).filter(|reply| is_inbox(reply));
        let traces = headers.get_all(TRACE_HEADER).map(|trace| trace.as_str()).filter(|trace| is_trace(trace));
        let traces: Vec<_> = traces.take(MAX_TRACES).map(str::to_owned).collect();
        let wanted = reply.is_some() || !traces.is_empty();
        wanted.then(|| Self { position, dead: Vec::new(), reply: reply.map(Subject::from), traces })
    }

    /// Whether somebody waits for an answer; else it is only noted when it is committed.
    pub fn is_awaited(&self) -> bool {
        self.reply.is_some()
    }

    /// Notes that some of its events are dead letters. Those that it knows of already are left out: a batch that is stored anew is
    /// refused the same rows again.
    pub fn note_dead(&mut self, events: Indexes, refusal: &Refusal) {
        if events.first().is_none_or(|index| self.is_dead(index)) {
            return;
        }
        let detail = refusal.detail.chars().take(DETAIL_CHARACTERS).collect();
        self.dead.push(DeadEvents { events, reason: refusal.reason, detail });
    }

    /// Returns whether the event at that index is known to be a dead letter.
    pub fn is_dead(&self, index: usize) -> bool {
        self.dead.iter().any(|dead| dead.events.contains(index))
    }

    /// The memory it takes, about.
    pub fn bytes(&self) -> usize {
        let dead: usize =
            self.dead.iter().map(|dead| dead.events.bytes() + dead.detail.len() + size_of::<DeadEvents>()).sum();
        size_of::<Self>() + self.reply.as_ref().map_or(0, |reply| reply.len()) + 80 * self.traces.len() + dead
    }

    /// Tells that its position is stored. Whoever waits may be gone by now, and NATS away: nothing depends on it.
    pub async fn tell(self, journal: &Journal, shard: Option<&str>) {
        for traceparent in &self.traces {
            let span = tracing::info_span!("store", traceparent);
            let dead: usize = self.dead.iter().map(|dead| dead.events.count()).sum();
            span.in_scope(|| tracing::info!(position = %self.position, shard, dead, "committed"));
        }
        let Some(reply) = self.reply.filter(|reply| journal.rights().allow(reply)) else { return };
        let Some(payload) = answer(self.position, shard, &self.dead, journal.max_payload()) else {
            tracing::warn!(position = %self.position, "what became of a message is more than NATS takes: nobody is told");
            return;
        };
        if let Err(error) = journal.send(reply, Bytes::from(payload)).await {
            tracing::debug!(%error, "could not tell that a message is stored");
        }
    }
}

/// What is told of a message, in at most `room` bytes: details are cut short first. `None` where
/// not even the events' numbers fit: to leave some out would tell their publishers that they are
/// stored.
fn answer(position: Position, shard: Option<&str>, dead: &[DeadEvents], room: usize) -> Option<Vec<u8>> {
    [DETAIL_CHARACTERS, 20, 0].into_iter().find_map(|characters| {
        let dead = dead.iter().flat_map(|dead| dead.each(characters)).collect();
        let fate = Fate { position: position.get().to_string(), shard: shard.map(str::to_owned), dead };
        let json = serde_json::to_vec(&fate).expect("a fate has only texts and numbers");
        (json.len() <= room).then_some(json)
    })
}

fn is_inbox(subject: &str) -> bool {
    let is_plain = |token: &str| {
        !token.is_empty() && token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$'))
    };
    subject.len() <= INBOX_MAX_BYTES
        && subject.starts_with(INBOX)
        && subject.contains('.')
        && subject.split('.').all(is_plain)
}

/// `00-<32 hexadecimal digits>-<16>-<2>`, where the last two say that somebody records this trace.
pub fn is_trace(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return false };
    let is_hex = |part: &str, digits| {
        part.len() == digits && part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    };
    let is_recorded = |flags| u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
    version == "00" && is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2) && is_recorded(flags)
}

#[cfg(test)]
mod tests {
    use sluice_model::Partition;

    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn watched(headers: &[(HeaderName, &str)]) -> Option<Watched> {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| map.append(name.clone(), *value));
        Watched::read(Position::first(Partition::new(0)), &map)
    }

    #[test]
    fn only_an_inbox_is_answered_to() {
        for good in ["_INBOX.abc", "_INBOX_ingest.x.1", "_INBOX.$a.B-2"] {
            assert_eq!(watched(&[(REPLY_HEADER, good)]).unwrap().reply.unwrap().as_str(), good);
        }
        let long = format!("_INBOX.{}", "a".repeat(300));
        for bad in [
            "",
            "_INBOX",
            "journal.0.person.create.1",
            "$JS.API.INFO",
            "_INBOX.*",
            "_INBOX.>",
            "_INBOX.a..b",
            "_INBOX.a b",
            &long,
        ] {
            assert!(watched(&[(REPLY_HEADER, bad)]).is_none(), "{bad}");
        }
    }

    #[test]
    fn each_dead_event_is_named_once_and_an_answer_about_all_of_a_message_is_not_too_large() {
        let mut told = watched(&[(REPLY_HEADER, "_INBOX.a")]).unwrap();
        let refusal = Refusal::new(Reason::MalformedJson, "\u{1}".repeat(5_000));
        told.note_dead((0..1_000).collect(), &refusal);
        let one = |index: usize| [index].into_iter().collect::<Indexes>();
        (1_000..1_024).for_each(|index| told.note_dead(one(index), &refusal));
        told.note_dead(one(1_010), &refusal);
        told.note_dead(one(5), &refusal);
        assert!(told.is_dead(999) && told.is_dead(1_023) && !told.is_dead(1_024));
        for room in [1 << 20, 256 << 10, 64 << 10] {
            let json = answer(told.position, None, &told.dead, room).unwrap();
            let fate: Fate = serde_json::from_slice(&json).unwrap();
            assert!(json.len() <= room && fate.dead.iter().map(|event| event.index).eq(0..1_024), "{room}");
        }
        assert_eq!(answer(told.position, None, &told.dead, 16 << 10), None, "none of them may be left out");
        assert!(told.bytes() < 10_000, "{} bytes of memory", told.bytes());
    }

    #[test]
    fn every_recorded_trace_of_a_message_is_kept_and_nothing_that_is_none() {
        let unrecorded = TRACE.replace("-01", "-00");
        let found = watched(&[(TRACE_HEADER, TRACE), (TRACE_HEADER, "nonsense"), (TRACE_HEADER, &unrecorded)]).unwrap();
        assert_eq!(found.traces, [TRACE]);
        assert!(!found.is_awaited() && watched(&[(REPLY_HEADER, "_INBOX.a")]).unwrap().is_awaited());
        assert!(watched(&[(TRACE_HEADER, &TRACE.to_uppercase())]).is_none() && watched(&[]).is_none());
        let many = vec![(TRACE_HEADER, TRACE); 1_000];
        assert_eq!(watched(&many).unwrap().traces.len(), MAX_TRACES);
    }
}
