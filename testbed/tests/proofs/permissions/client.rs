//! A user's connection that hears at once what the server refuses it.

use std::time::Duration;

use async_nats::{ConnectOptions, Event, Message, Request};
use sluice_testbed::Login;
use tokio::sync::watch;

/// How long the server may take to answer, or to refuse.
const ANSWER: Duration = Duration::from_secs(5);

/// The connection.
pub(super) struct Client {
    pub(super) nats: async_nats::Client,
    refusals: watch::Receiver<u32>,
}

impl Client {
    pub(super) async fn of(login: &Login) -> Self {
        let (refused, refusals) = watch::channel(0);
        let options = ConnectOptions::new().event_callback(move |event| {
            if matches!(event, Event::ServerError(_)) {
                refused.send_modify(|number| *number += 1);
            }
            std::future::ready(())
        });
        Self { nats: login.connect(options).await.unwrap(), refusals }
    }

    /// The answer; none where the server refuses to take the question, or nobody listens.
    pub(super) async fn ask(&mut self, subject: &str, payload: impl Into<String>) -> Option<Message> {
        let Self { nats, refusals } = self;
        refusals.mark_unchanged();
        let request = Request::new().payload(payload.into().into()).timeout(Some(ANSWER)).inbox(nats.new_inbox());
        tokio::select! {
            answer = nats.send_request(subject.to_owned(), request) => answer.ok(),
            _ = refusals.changed() => None,
        }
    }

    /// Publishes.
    pub(super) async fn tell(&self, subject: &str, payload: &'static str) {
        self.nats.publish(subject.to_owned(), payload.into()).await.unwrap();
        self.nats.flush().await.unwrap();
    }
}
