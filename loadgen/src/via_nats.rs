//! The way in over NATS: a publish to `person.create.<customer>`, as any client may send it.
//!
//! The server's account mapping leads it into the customer's partition, and JetStream acknowledges storage to the
//! publisher. Each publish waits for that: what counts as accepted is stored. One that asks for the commit also waits for the
//! writer's word.

use std::{sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        Context,
        context::{ContextBuilder, PublishError, PublishErrorKind},
        publish::PublishAck,
    },
};
use sluice_journal::subject::public_create;

use crate::{
    commits::{Commits, Told, Word},
    outcome::{Answer, Commit, Failure, Fate, Rows},
    plan::Parcel,
};

/// Publishes persons.
#[derive(Debug, Clone)]
pub struct NatsTarget {
    context: Context,
    commits: Option<Arc<Commits>>,
}

impl NatsTarget {
    /// A target at these servers, for so many publishes in flight. `commits`: where writers tell of commits, if anybody asks.
    pub fn new(client: async_nats::Client, in_flight: usize, timeout: Duration, commits: Option<Arc<Commits>>) -> Self {
        // The load keeps to its number of publishes in flight by itself: the context need not refuse any.
        let context = ContextBuilder::new().timeout(timeout).max_ack_inflight(in_flight).build(client);
        Self { context, commits }
    }

    /// Publishes one parcel and waits for JetStream's acknowledgement; publishes it again where it has a key, and waits for the
    /// commit where it asks for that. After a timeout the parcel may well be stored: nobody knows.
    pub async fn send(&self, parcel: &Parcel<'_>) -> Answer {
        let events = parcel.lines.len();
        let mut headers = HeaderMap::new();
        if let Some(key) = &parcel.key {
            headers.insert(async_nats::header::NATS_MESSAGE_ID, key.as_str());
        }
        let word = self.commits.as_ref().filter(|_| parcel.wants_commit).map(|commits| commits.expect(parcel.number));
        if let Some(word) = &word {
            headers.insert("Sluice-Reply", word.subject());
        }
        let ack = match self.publish(parcel, headers.clone()).await {
            Ok(ack) => ack,
            Err(failure) => return Answer::failed(events, failure),
        };
        let fate = |bad| if bad { Fate::BadPublished } else { Fate::Accepted };
        let mut answer = Answer::now(parcel.lines.iter().map(|line| fate(line.bad)).collect());
        if parcel.key.is_some() {
            match self.publish(parcel, headers).await.map_err(once).and_then(|again| replay(&ack, &again)) {
                Ok(()) => answer.replayed = true,
                Err(failure) => answer.fates = vec![Fate::Failed(Arc::new(failure)); events],
            }
        }
        match word {
            Some(word) => hear(word, parcel, answer).await,
            None => answer,
        }
    }

    async fn publish(&self, parcel: &Parcel<'_>, headers: HeaderMap) -> Result<PublishAck, Failure> {
        let customer = parcel.customer.expect("a message is one customer's");
        let payload = parcel.payload.clone().into();
        let sent = self.context.publish_with_headers(public_create(customer), headers, payload).await;
        sent.map_err(failure)?.await.map_err(failure)
    }
}

async fn hear(word: Word, parcel: &Parcel<'_>, mut answer: Answer) -> Answer {
    let Some(Told { dead, at }) = word.heard().await else {
        answer.commit = Some(Commit::NotInTime);
        return answer;
    };
    let bad = parcel.lines.iter().filter(|line| line.bad).count();
    if dead > bad {
        let detail = format!("{dead} events became dead letters, and {bad} were bad");
        let failure = Arc::new(Failure::new("dead_letter", detail, Rows::Perhaps));
        let good = answer.fates.iter_mut().filter(|fate| **fate == Fate::Accepted);
        good.for_each(|fate| *fate = Fate::Failed(failure.clone()));
    } else {
        answer.commit = Some(Commit::At(at));
    }
    answer
}

/// A message id's promise is that nothing is stored twice, however the second publish ends.
fn once(failure: Failure) -> Failure {
    Failure { rows: Rows::One, ..failure }
}

/// Whether the acknowledgement of a message that was published again is of the first one.
fn replay(first: &PublishAck, again: &PublishAck) -> Result<(), Failure> {
    let same = (&first.stream, first.sequence) == (&again.stream, again.sequence);
    if again.duplicate && same && !first.duplicate {
        return Ok(());
    }
    let said = |ack: &PublishAck| format!("{} {} (duplicate: {})", ack.stream, ack.sequence, ack.duplicate);
    let detail = format!("it was stored as {}, and as {} when it was sent again", said(first), said(again));
    Err(Failure::new("replay_differs", detail, Rows::OneOrTwo))
}

fn failure(error: PublishError) -> Failure {
    let (cause, rows) = match error.kind() {
        PublishErrorKind::StreamNotFound => {
            let detail = "nothing listens there: is the server's account mapping missing, or has the partition's stream no \
                          leader at the moment?";
            return Failure::new("no_stream", detail, Rows::None);
        }
        PublishErrorKind::TimedOut => ("timeout", Rows::Perhaps),
        PublishErrorKind::BrokenPipe => ("broken", Rows::Perhaps),
        PublishErrorKind::MaxPayloadExceeded => ("too_large", Rows::None),
        _ => ("refused", Rows::Perhaps),
    };
    Failure::new(cause, format!("{:#}", anyhow::Error::new(error)), rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(sequence: u64, duplicate: bool) -> PublishAck {
        let json = serde_json::json!({ "stream": "JOURNAL-0", "seq": sequence, "duplicate": duplicate });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_replay_is_a_duplicate_of_the_same_sequence_and_nothing_else() {
        assert_eq!(replay(&ack(7, false), &ack(7, true)), Ok(()));
        for (first, again) in [((7, false), (8, true)), ((7, false), (7, false)), ((7, true), (7, true))] {
            let failure = replay(&ack(first.0, first.1), &ack(again.0, again.1)).unwrap_err();
            assert_eq!((failure.cause.as_str(), failure.rows), ("replay_differs", Rows::OneOrTwo));
        }
    }
}
