//! What one round publishes: the requests' events, packed into as few messages as the limits allow. No I/O.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
};

use async_nats::HeaderMap;
use bytes::Bytes;
use sluice_model::{CustomerId, MAX_EVENTS, MessageBuilder, Position};
use tokio::sync::{mpsc, oneshot};

use super::{Answer, Ask, Piece, PublishError, Request, Stored, ended};
use crate::{
    fate::{
        REPLY_HEADER, TRACE_HEADER,
        inbox::{Inbox, Waiting},
    },
    subject,
};

/// From so many bytes on a message bears an id of its own: see `settle`. Lower: the server
/// remembers more ids (190 bytes each). Higher: where the server is told to take smaller messages,
/// more outcomes stay unknown.
const OWN_ID_BYTES: usize = 4 << 10;
/// More than what a trace takes among the headers, and an inbox. Lower: a message of many traces is
/// refused for its headers. Higher: smaller messages.
const TRACE_BYTES: usize = 80;
const INBOX_BYTES: usize = 320;

/// Who waits for what comes of a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// One answer for all of its events, which stand in one message.
    Whole(oneshot::Sender<Answer>),
    /// An answer for each message that its events are divided among.
    Pieces(mpsc::UnboundedSender<Piece>),
}

/// Collects what comes of each of so many events.
pub(super) async fn all_pieces(events: usize, mut answers: mpsc::UnboundedReceiver<Piece>) -> Vec<Piece> {
    let (mut pieces, mut covered) = (Vec::new(), 0);
    while covered < events {
        match answers.recv().await {
            Some(piece) => {
                covered += piece.events.len();
                pieces.push(piece);
            }
            // Of those that are missing nobody knows; which they are does not matter then.
            None => return vec![Piece { events: 0..events, stored: Err(ended()) }],
        }
    }
    pieces
}

/// Several requests' events in one message.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) customer: CustomerId,
    pub(super) message: MessageBuilder,
    parts: Vec<Part>,
    /// An id that we have given it, where no client has.
    own_id: Option<String>,
    header_bytes: usize,
}

/// A piece of a message that was divided, and how many events of that stand before it.
#[derive(Debug)]
pub(super) struct Piecewise {
    pub(super) offset: usize,
    pub(super) message: Packed,
}

impl Piecewise {
    /// Gives the id of the whole to another piece than the first.
    pub(super) fn hand_over_id(pieces: &mut [Self], to: usize) {
        if let Some((first, others)) = pieces.split_first_mut()
            && let Some(other) = to.checked_sub(1).and_then(|to| others.get_mut(to))
        {
            std::mem::swap(&mut first.message.own_id, &mut other.message.own_id);
        }
    }
}

/// One request's part of a message.
#[derive(Debug)]
struct Part {
    /// Where its events begin in the message.
    first: usize,
    /// Which of the request's events they are.
    events: Range<usize>,
    ask: Ask,
    reply: Reply,
}

impl Part {
    /// Which of the message's events have to stay together.
    fn units(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (first, count) = (self.first, self.events.len());
        let size = if matches!(self.reply, Reply::Whole(_)) { count.max(1) } else { 1 };
        (first..first + count).step_by(size).map(move |start| start..start + size)
    }

    /// Divides it into what stands before an event of the message, and the rest. One that has to
    /// stay together does.
    fn split_at(self, end: usize) -> (Self, Option<Self>) {
        let cut = end - self.first;
        match &self.reply {
            Reply::Pieces(stored) if cut < self.events.len() => {
                let (start, reply) = (self.events.start, Reply::Pieces(stored.clone()));
                let before = Self { events: start..start + cut, ask: self.ask.clone(), first: self.first, reply };
                let after = Self { first: end, events: start + cut..self.events.end, ..self };
                (before, Some(after))
            }
            _ => (self, None),
        }
    }

    fn tell(self, answer: Answer) {
        // Whoever asked may be gone by now; that changes nothing of what is stored.
        match self.reply {
            Reply::Whole(stored) => drop(stored.send(answer)),
            Reply::Pieces(stored) => drop(stored.send(Piece { events: self.events, stored: answer })),
        }
    }
}

impl Packed {
    fn of(customer: CustomerId, message: MessageBuilder, parts: Vec<Part>) -> Self {
        let header_bytes = parts.iter().map(|part| header_bytes(&part.ask)).sum();
        Self { customer, message, parts, own_id: None, header_bytes }
    }

    /// Gives it an id, where it has none and is large.
    fn give_id_if_large(&mut self) {
        if self.message.bytes() >= OWN_ID_BYTES && self.id().is_none() {
            self.own_id = Some(new_id());
        }
    }

    /// The id that the server knows it again by.
    pub(super) fn id(&self) -> Option<&str> {
        self.own_id.as_deref().or_else(|| self.parts.first()?.ask.message_id.as_deref())
    }

    /// Whether that id is a client's: then it is a single request's, and the same id may have been
    /// used for other events.
    pub(super) fn has_clients_id(&self) -> bool {
        self.own_id.is_none() && self.id().is_some()
    }

    /// How many events its requests have here.
    pub(super) fn events(&self) -> usize {
        self.parts.iter().map(|part| part.events.len()).sum()
    }

    /// Its events as bytes.
    pub(super) fn payload(&self) -> Bytes {
        self.message.clone().into_payload().into()
    }

    /// What the message says beside its events, and how to hear of them.
    pub(super) fn headers(&self, inbox: &Inbox) -> (Option<HeaderMap>, Option<Waiting>) {
        let mut headers = HeaderMap::new();
        let mut fate = None;
        if let Some(id) = self.id() {
            headers.insert(subject::header::MESSAGE_ID, id);
        }
        for Part { ask, .. } in &self.parts {
            if let Some(trace) = &ask.trace {
                headers.append(TRACE_HEADER, trace.as_str());
            }
            if ask.fate && fate.is_none() {
                let (reply, waiting) = inbox.place();
                headers.insert(REPLY_HEADER, reply.as_str());
                fate = Some(waiting);
            }
        }
        ((!headers.is_empty()).then_some(headers), fate)
    }

    fn tell(self, answer: impl Fn(&Part) -> Answer) {
        for part in self.parts {
            let answer = answer(&part);
            part.tell(answer);
        }
    }

    /// Its events are stored, behind `offset` others of the message at that position.
    pub(super) fn answer(self, position: Position, offset: usize, fate: Option<Waiting>) {
        self.tell(|part| {
            let fate = fate.clone().filter(|_| part.ask.fate);
            Ok(Stored { first: position.event(offset + part.first), replayed: false, fate })
        });
    }

    pub(super) fn answer_again(self, position: Position, same: Result<bool, PublishError>) {
        self.tell(|part| {
            let first = position.event(part.first);
            if same.clone()? {
                Ok(Stored { first, replayed: true, fate: None })
            } else {
                Err(PublishError::KeyReused { first })
            }
        });
    }

    pub(super) fn refuse(self, error: &PublishError) {
        self.tell(|_| Err(error.clone()));
    }

    /// Divides it into messages of at most `max_bytes`, in order; what cannot be divided and is
    /// larger stands alone. The first keeps the id.
    pub(super) fn divided(self, max_bytes: usize) -> Vec<Piecewise> {
        if self.message.bytes() <= max_bytes {
            return vec![Piecewise { offset: 0, message: self }];
        }
        let ranges = self.ranges(max_bytes);
        let Self { customer, message, parts, mut own_id, .. } = self;
        let mut parts: VecDeque<Part> = parts.into();
        let mut pieces = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut here = Vec::new();
            while let Some(part) = parts.pop_front() {
                if part.first >= range.end {
                    parts.push_front(part);
                    break;
                }
                let (mut now, later) = part.split_at(range.end);
                now.first -= range.start;
                here.push(now);
                if let Some(later) = later {
                    parts.push_front(later);
                    break;
                }
            }
            let offset = range.start;
            let mut piece = Self::of(customer.clone(), message.part(range), here);
            piece.own_id = own_id.take().or_else(|| piece.id().is_none().then(new_id));
            pieces.push(Piecewise { offset, message: piece });
        }
        pieces
    }

    /// Which of its events go into each message of at most `max_bytes`.
    fn ranges(&self, max_bytes: usize) -> Vec<Range<usize>> {
        let sizes: Vec<usize> = self.message.sizes().collect();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut bytes = 0;
        for unit in self.parts.iter().flat_map(Part::units) {
            // Each event with its line feed; the last one of a message has none.
            let more: usize = sizes[unit.clone()].iter().map(|size| size + 1).sum();
            match ranges.last_mut() {
                Some(last) if bytes + more - 1 <= max_bytes => {
                    last.end = unit.end;
                    bytes += more;
                }
                _ => {
                    ranges.push(unit);
                    bytes = more;
                }
            }
        }
        ranges
    }
}

fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn header_bytes(ask: &Ask) -> usize {
    ask.trace.as_ref().map_or(0, |_| TRACE_BYTES) + if ask.fate { INBOX_BYTES } else { 0 }
}

/// Packs the requests of a round: as few messages as the limits allow, a customer's events in the
/// order they came. Neither a message's events nor its headers have more than `max_bytes`, but for
/// a single event that has.
pub(super) fn pack(requests: impl Iterator<Item = Request>, max_bytes: usize) -> Vec<Packed> {
    let mut packed: Vec<Packed> = Vec::new();
    let mut open: HashMap<CustomerId, usize> = HashMap::new();
    for Request { customer, message, ask, reply } in requests {
        let has_id = ask.message_id.is_some();
        let fits = |packed: &Packed| {
            !has_id
                && packed.message.events() + message.events() <= MAX_EVENTS
                && packed.message.bytes() + 1 + message.bytes() <= max_bytes
                && packed.header_bytes + header_bytes(&ask) <= max_bytes
        };
        let events = 0..message.events();
        match open.get(&customer).map(|index| &mut packed[*index]).filter(|packed| fits(packed)) {
            Some(packed) => {
                let first = packed.message.append(&message);
                packed.header_bytes += header_bytes(&ask);
                packed.parts.push(Part { first, events, ask, reply });
            }
            None => {
                let whole = Packed::of(customer.clone(), message, vec![Part { first: 0, events, ask, reply }]);
                if whole.message.bytes() <= max_bytes {
                    packed.push(whole);
                } else {
                    packed.extend(whole.divided(max_bytes).into_iter().map(|piece| piece.message));
                }
                if !has_id {
                    open.insert(customer, packed.len() - 1);
                }
            }
        }
    }
    packed.iter_mut().for_each(Packed::give_id_if_large);
    packed
}

#[cfg(test)]
mod tests;
