//! What one round publishes: the requests' events, packed into as few messages as the limits allow. No I/O.

use std::collections::HashMap;

use async_nats::HeaderMap;
use sluice_model::{CustomerId, MAX_EVENTS, MessageBuilder, Position};
use tokio::sync::oneshot;

use super::{Answer, Ask, PublishError, Request, Stored};
use crate::{
    fate::{
        REPLY_HEADER, TRACE_HEADER,
        inbox::{Inbox, Waiting},
    },
    subject,
};

/// Several requests' events in one message.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) customer: CustomerId,
    pub(super) message: MessageBuilder,
    parts: Vec<Part>,
    /// Whether it is a single request's, with a message id.
    pub(super) has_id: bool,
}

/// One request's part of a message.
#[derive(Debug)]
struct Part {
    /// Where its events begin.
    first: usize,
    ask: Ask,
    stored: oneshot::Sender<Answer>,
}

impl Packed {
    /// What the message says beside its events, and how to hear of them.
    pub(super) fn headers(&self, inbox: &Inbox) -> (Option<HeaderMap>, Option<Waiting>) {
        let mut headers = HeaderMap::new();
        let mut fate = None;
        for Part { ask, .. } in &self.parts {
            if let Some(id) = &ask.message_id {
                headers.insert(subject::header::MESSAGE_ID, id.as_str());
            }
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

    // Whoever asked may be gone by now; that changes nothing of what is stored.
    fn tell(self, answer: impl Fn(&Part) -> Answer) {
        for part in self.parts {
            let answer = answer(&part);
            let _ = part.stored.send(answer);
        }
    }

    pub(super) fn answer(self, position: Position, fate: Option<Waiting>) {
        self.tell(|part| {
            let fate = fate.clone().filter(|_| part.ask.fate);
            Ok(Stored { first: position.event(part.first), replayed: false, fate })
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
}

/// Packs the requests of a round: as few messages as the limits allow, a customer's events in the order they came.
pub(super) fn pack(requests: impl Iterator<Item = Request>, max_bytes: usize) -> Vec<Packed> {
    let mut packed: Vec<Packed> = Vec::new();
    let mut open: HashMap<CustomerId, usize> = HashMap::new();
    for Request { customer, message, ask, stored } in requests {
        let has_id = ask.message_id.is_some();
        let fits = |packed: &Packed| {
            !has_id
                && packed.message.events() + message.events() <= MAX_EVENTS
                && packed.message.bytes() + 1 + message.bytes() <= max_bytes
        };
        match open.get(&customer).map(|index| &mut packed[*index]).filter(|packed| fits(packed)) {
            Some(packed) => {
                let first = packed.message.append(&message);
                packed.parts.push(Part { first, ask, stored });
            }
            None => {
                if !has_id {
                    open.insert(customer.clone(), packed.len());
                }
                packed.push(Packed { customer, message, parts: vec![Part { first: 0, ask, stored }], has_id });
            }
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use sluice_model::Person;

    use super::*;

    fn request(customer: &str, events: usize) -> Request {
        let mut message = MessageBuilder::new();
        for _ in 0..events {
            message.push(&Person { name: "a".into(), address: "b".into() });
        }
        Request { customer: customer.parse().unwrap(), message, ask: Ask::default(), stored: oneshot::channel().0 }
    }

    #[test]
    fn a_request_with_a_message_id_is_a_message_of_its_own() {
        let with_id = Request { ask: Ask { message_id: Some("k".to_owned()), ..Ask::default() }, ..request("1", 1) };
        let packed = pack([request("1", 1), with_id, request("1", 1)].into_iter(), 1 << 20);
        assert_eq!(packed.iter().map(|p| (p.message.events(), p.has_id)).collect::<Vec<_>>(), [(2, false), (1, true)]);
    }

    #[test]
    fn a_round_packs_each_customers_events_in_order_within_both_limits() {
        let requests = [("1", 1), ("2", 2), ("1", 3), ("1", 1_022), ("1", 1)].map(|(c, n)| request(c, n));
        let packed = pack(requests.into_iter(), 1 << 20);
        let shape: Vec<_> = packed
            .iter()
            .map(|p| {
                (p.customer.as_str(), p.message.events(), p.parts.iter().map(|part| part.first).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(shape, [("1", 4, vec![0, 1]), ("2", 2, vec![0]), ("1", 1_023, vec![0, 1_022])]);
        // 26 bytes an event: two of them and the line feed are 53.
        let small = pack([request("1", 1), request("1", 1), request("1", 1)].into_iter(), 53);
        assert_eq!(small.iter().map(|p| p.message.events()).collect::<Vec<_>>(), [2, 1]);
    }
}
