//! What a consumer of the server in memory gives.

use std::{collections::VecDeque, time::Duration};

use sluice_failpoint::simulated::{self, Outcome, note, turn};
use tokio::time::Instant;

use super::{Link, Silence, at};
use crate::{error::BoxError, server::Raw};

/// The most messages that one turn brings. More: the reader's chunks are longer, and there are fewer of them.
const MOST_AT_ONCE: u64 = 8;
/// How long a client takes to notice that its consumer is gone: two heartbeats that do not come.
const NOTICED: Duration = Duration::from_secs(6);

/// A consumer of one stream. It ends when the server loses it.
pub(crate) struct Consumer {
    link: Link,
    stream: String,
    next: u64,
    generation: u64,
    /// Messages that have reached the client.
    here: VecDeque<(Raw, u64)>,
    /// When the client notices that the server has lost the consumer.
    ends: Option<Instant>,
}

impl Consumer {
    pub(super) fn new(link: Link, stream: String, next: u64, generation: u64) -> Self {
        Self { link, stream, next, generation, here: VecDeque::new(), ends: None }
    }

    /// The next message, and how many the stream held beyond it. May be cancelled.
    pub(crate) async fn next(&mut self) -> Option<Result<(Raw, u64), BoxError>> {
        loop {
            if let Some(message) = self.here.pop_front() {
                return Some(Ok(message));
            }
            if let Some(ends) = self.ends {
                tokio::time::sleep_until(ends).await;
                return Some(Err(Silence::NoConnection.into()));
            }
            if !self.is_there_something().await {
                self.ends = Some(Instant::now() + NOTICED);
                continue;
            }
            let what = || format!("take {} from {}", self.stream, at(self.next));
            match turn(&self.link.actor, what).await.outcome {
                Outcome::Done => self.take(),
                _ => self.ends = Some(Instant::now()),
            }
        }
    }

    /// Waits for a message; false where the server has lost the consumer.
    async fn is_there_something(&self) -> bool {
        let arrived = self.link.server.streams().arrived(&self.stream);
        loop {
            let mut arrival = std::pin::pin!(arrived.notified());
            arrival.as_mut().enable();
            {
                let streams = self.link.server.streams();
                if streams.generation() != self.generation {
                    return false;
                }
                if !streams.from(&self.stream, self.next, 1).0.is_empty() {
                    return true;
                }
            }
            arrival.await;
        }
    }

    fn take(&mut self) {
        let streams = self.link.server.streams();
        if streams.generation() != self.generation {
            return;
        }
        let most = simulated::current().map_or(1, |simulation| 1 + simulation.random() % MOST_AT_ONCE);
        let (messages, last) = streams.from(&self.stream, self.next, usize::try_from(most).unwrap_or(1));
        for raw in messages {
            note(&self.link.actor, || format!("takes {} of {}", at(raw.sequence), raw.stamp));
            self.next = raw.sequence + 1;
            let more = last.saturating_sub(raw.sequence);
            self.here.push_back((raw, more));
        }
    }
}
