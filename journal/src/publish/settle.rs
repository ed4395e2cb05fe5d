//! Finding out what became of messages that a server has refused for their size without an answer.
//!
//! A server that is told to take smaller messages (`max_payload`, by a reload) tells nobody. It
//! cuts the connection of whoever sends a larger one; what is not acknowledged then may be stored
//! or not. So each larger message bears an id of its own, and its first events are stored again
//! under the same id. Where the server knows the id, the whole message is stored, and it says
//! where. Else these events are stored now, and the message never will be, as its id is taken; the
//! rest follows behind.

use std::{collections::HashSet, time::Duration};

use async_nats::{
    HeaderMap,
    connection::State,
    jetstream::{context::PublishErrorKind, message::PublishMessage, publish::PublishAck},
};
use bytes::Bytes;
use sluice_model::{MessageBuilder, Position};
use tokio::time::{sleep, timeout};

use super::{
    PublishError, max_message_bytes,
    packed::{Packed, Piecewise},
    partition::{Outcome, Partitioned, Sent, classify},
};
use crate::{
    fate::inbox::Waiting,
    lookup,
    probe::IMPOSSIBLE_SEQUENCE,
    subject::{self, header},
};

/// How often one looks whether the server takes less by now. Less: clients hear later. More: work
/// for nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a message is sent again whose id makes that safe, and how long each is waited for: the
/// connection may be cut once more by what others have sent. Less: outcomes stay unknown that could
/// be known. More: the partition waits longer for a server that is gone.
const TRIES: (u32, Duration) = (4, Duration::from_secs(1));

impl Partitioned {
    /// Waits until the server takes less than when a message that bears an id was sent: the
    /// connection was cut then, and with it went what was sent behind the one that was too large.
    pub(super) async fn outgrown(&self, sent: &Sent) -> PublishError {
        if sent.payload.is_none() {
            return std::future::pending().await;
        }
        while !self.has_outgrown(sent) {
            sleep(LOOK_EVERY).await;
        }
        PublishError::Unknown("the server takes smaller messages by now, and has cut the connection".to_owned())
    }

    /// Whether a message bears an id, and the server takes less by now than when it was sent.
    pub(super) fn has_outgrown(&self, sent: &Sent) -> bool {
        sent.payload.is_some() && max_message_bytes(&self.journal) < sent.limit
    }

    /// Answers what a round left unanswered, in order; gives the positions that are new.
    pub(super) async fn settle(&self, outcomes: Vec<Outcome>) -> Vec<Position> {
        let is_unsettled = |outcome: &Outcome| matches!(outcome, Outcome::Unsettled(..));
        if !outcomes.iter().any(is_unsettled) {
            return Vec::new();
        }
        let (mut overtaken, mut left) = (HashSet::new(), Vec::new());
        for outcome in outcomes.into_iter().rev() {
            match outcome {
                Outcome::Answered(customer, Some(_)) => drop(overtaken.insert(customer)),
                Outcome::Answered(_, None) => {}
                // Stored now, it would stand behind what its customer sent later.
                Outcome::Unsettled(sent, error) if overtaken.contains(&sent.message.customer) => {
                    sent.message.refuse(&error);
                }
                Outcome::Unsettled(sent, error) => left.push((sent, error)),
            }
        }
        let mut told = Vec::new();
        for (Sent { message, payload, .. }, unknown) in left.into_iter().rev() {
            let Some(payload) = payload else {
                message.refuse(&unknown);
                continue;
            };
            tracing::warn!(
                partition = %self.partition, bytes = payload.len(), most = max_message_bytes(&self.journal),
                "the NATS server takes smaller messages than before: events are sent again in smaller ones"
            );
            told.extend(self.settle_one(message, &payload, &unknown).await);
        }
        told
    }

    async fn settle_one(&self, mut message: Packed, whole: &Bytes, unknown: &PublishError) -> Vec<Position> {
        message.message = MessageBuilder::from_payload(whole.to_vec(), message.events());
        let mut pieces = message.divided(max_message_bytes(&self.journal));
        let takes = self.journal.client().max_payload();
        let Some(first) = pieces.iter().position(|piece| piece.message.message.bytes() <= takes) else {
            self.look_for(pieces, unknown).await;
            return Vec::new();
        };
        Piecewise::hand_over_id(&mut pieces, first);
        let outcome = self.store_first(&pieces[first].message, pieces.len() == 1).await;
        let all = |pieces: Vec<Piecewise>, tell: &dyn Fn(Piecewise)| {
            pieces.into_iter().for_each(tell);
            Vec::new()
        };
        match outcome {
            Err(_) => all(pieces, &|piece| piece.message.refuse(unknown)),
            Ok(First::WholeBefore(position)) if pieces[first].message.has_clients_id() => {
                all(pieces, &|piece| piece.message.answer_again(position, Ok(false)))
            }
            Ok(First::WholeBefore(position)) => {
                all(pieces, &|Piecewise { offset, message }| message.answer(position, offset, None))
            }
            Ok(First::Now { position, fate, is_new }) => {
                let mut told = self.store_rest(pieces, first, (position, fate)).await;
                told.extend(is_new.then_some(position));
                told
            }
        }
    }

    /// Stores the first events of a message again under its id; they may be all that it has.
    async fn store_first(&self, first: &Packed, is_whole: bool) -> Result<First, PublishError> {
        let payload = first.payload();
        let (ack, fate) = self.store_again(first, &payload).await?;
        let position = self.position(ack.sequence)?;
        if !ack.duplicate {
            return Ok(First::Now { position, fate, is_new: true });
        }
        // An earlier try of these events has the same id: what stands there tells it from the whole.
        match lookup::payload(&self.journal, position).await {
            Ok(Some(before)) if before == payload => Ok(First::Now { position, fate, is_new: false }),
            Ok(Some(_)) => Ok(First::WholeBefore(position)),
            Ok(None) if is_whole => Ok(First::Now { position, fate, is_new: false }),
            _ => Err(PublishError::Unknown(format!("what is stored as {position:?} cannot be seen any more"))),
        }
    }

    /// Answers for the piece that is stored, and stores those behind it in order. Where one is not
    /// known to be stored, none behind it is tried.
    async fn store_rest(
        &self,
        pieces: Vec<Piecewise>,
        first: usize,
        (position, mut fate): (Position, Option<Waiting>),
    ) -> Vec<Position> {
        let (mut told, max) = (Vec::new(), max_message_bytes(&self.journal));
        let mut failed: Option<PublishError> = None;
        for (index, Piecewise { message, .. }) in pieces.into_iter().enumerate() {
            let payload = message.payload();
            if index == first {
                message.answer(position, 0, fate.take());
            } else if payload.len() > max {
                message.refuse(&PublishError::TooLarge { bytes: payload.len(), max });
            } else if let Some(error) = &failed {
                message.refuse(error);
            } else {
                let stored = self.store_again(&message, &payload).await;
                match stored.and_then(|(ack, fate)| Ok((self.position(ack.sequence)?, ack.duplicate, fate))) {
                    Ok((position, is_known, fate)) => {
                        // What an earlier try has stored may stand before what others were told.
                        told.extend((!is_known).then_some(position));
                        message.answer(position, 0, fate);
                    }
                    Err(error) => {
                        message.refuse(&error);
                        failed = Some(error);
                    }
                }
            }
        }
        told
    }

    /// Stores a message under its id, and tries again where no acknowledgement comes.
    async fn store_again(
        &self,
        message: &Packed,
        payload: &Bytes,
    ) -> Result<(PublishAck, Option<Waiting>), PublishError> {
        let mut unknown = None;
        for _ in 0..TRIES.0 {
            let (headers, fate) = message.headers(&self.inbox);
            match self.store_once(message, headers.unwrap_or_default(), payload.clone()).await {
                Ok(ack) => return Ok((ack, fate)),
                Err(error) => match classify(&error) {
                    error @ PublishError::Unknown(_) => unknown = Some(error),
                    // What was tried before may be stored all the same.
                    known => return Err(unknown.unwrap_or(known)),
                },
            }
            let connected = async {
                while self.context.client().connection_state() != State::Connected {
                    sleep(LOOK_EVERY).await;
                }
            };
            let _ = timeout(TRIES.1, connected).await;
        }
        Err(unknown.unwrap_or(PublishError::Disconnected))
    }

    async fn store_once(
        &self,
        message: &Packed,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<PublishAck, async_nats::jetstream::context::PublishError> {
        let subject = subject::create(self.journal.partitions(), &message.customer);
        let publish = PublishMessage::build().payload(payload).headers(headers);
        let stored = async { self.context.send_publish(subject, publish).await?.await };
        timeout(TRIES.1, stored).await.unwrap_or_else(|_| Err(PublishErrorKind::TimedOut.into()))
    }

    /// Answers for events of which each is too large for the server now: where the server knows
    /// their id, they were stored before.
    ///
    /// The server looks at the id before it looks at the last sequence, so a question that can
    /// never be stored tells. Of a server that is alone the answer is final, as it takes nothing so
    /// large any more; in a cluster they may still be on their way to a leader.
    async fn look_for(&self, pieces: Vec<Piecewise>, unknown: &PublishError) {
        let Some(Piecewise { message, .. }) = pieces.first() else { return };
        let mut headers = HeaderMap::new();
        headers.insert(header::MESSAGE_ID, message.id().unwrap_or_default());
        headers.insert(header::EXPECTED_LAST_SEQUENCE, IMPOSSIBLE_SEQUENCE);
        let max = max_message_bytes(&self.journal);
        for _ in 0..TRIES.0 {
            let is_alone = self.journal.client().server_info().cluster.is_none();
            match self.store_once(message, headers.clone(), Bytes::new()).await {
                Ok(ack) if ack.duplicate => {
                    let position = self.position(ack.sequence);
                    for Piecewise { offset, message } in pieces {
                        match &position {
                            Ok(position) => message.answer(*position, offset, None),
                            Err(error) => message.refuse(error),
                        }
                    }
                    return;
                }
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence && is_alone => {
                    for Piecewise { message, .. } in pieces {
                        let bytes = message.message.bytes();
                        message.refuse(&PublishError::TooLarge { bytes, max });
                    }
                    return;
                }
                _ => sleep(LOOK_EVERY).await,
            }
        }
        pieces.into_iter().for_each(|piece| piece.message.refuse(unknown));
    }
}

/// What storing the first events of a message again has shown.
enum First {
    /// The whole message was stored before, at that position.
    WholeBefore(Position),
    /// These events are stored at that position, and by this very try where it is new.
    Now { position: Position, fate: Option<Waiting>, is_new: bool },
}
