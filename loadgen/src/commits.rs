//! Where writers tell of commits: one inbox for a run, with a subject below it for each message that asks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use async_nats::{Client, Message, Subscriber};
use futures::StreamExt;
use serde::Deserialize;
use tokio::{sync::oneshot, time::Instant};

/// How long a commit is waited for.
const WAIT: Duration = Duration::from_secs(30);

/// The words that somebody waits for, by the number of the parcel.
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Told>>>>;

/// The inbox. It is heard for as long as this lives.
#[derive(Debug)]
pub struct Commits {
    inbox: String,
    waiting: Waiting,
    listener: tokio::task::JoinHandle<()>,
}

/// A writer's word that is waited for.
#[derive(Debug)]
pub struct Word {
    number: u64,
    subject: String,
    heard: oneshot::Receiver<Told>,
    waiting: Waiting,
}

/// What was said, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// How many of the message's events became dead letters.
    pub dead: usize,
    /// When it was heard.
    pub at: Instant,
}

/// What a writer says.
#[derive(Debug, Deserialize)]
struct Committed {
    /// The message's events that have no row.
    #[serde(default)]
    dead: Vec<serde_json::Value>,
}

impl Commits {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where the server is not there.
    pub async fn listen(client: &Client) -> anyhow::Result<Self> {
        let inbox = client.new_inbox();
        let words = client.subscribe(format!("{inbox}.*")).await.context("listen for commits")?;
        // Known to the server before anything is published.
        client.flush().await.context("listen for commits")?;
        let waiting = Waiting::default();
        let listener = tokio::spawn(listen(words, waiting.clone()));
        Ok(Self { inbox, waiting, listener })
    }

    /// Waits for the word on a parcel from now on.
    pub fn expect(&self, number: u64) -> Word {
        let (sender, heard) = oneshot::channel();
        lock(&self.waiting).insert(number, sender);
        Word { number, subject: format!("{}.{number}", self.inbox), heard, waiting: self.waiting.clone() }
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Word {
    /// Where it is to be said.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What was said; `None` where nothing was in time.
    pub async fn heard(mut self) -> Option<Told> {
        tokio::time::timeout(WAIT, &mut self.heard).await.ok()?.ok()
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.number);
    }
}

async fn listen(mut words: Subscriber, waiting: Waiting) {
    while let Some(word) = words.next().await {
        if let Some((number, dead)) = read(&word)
            && let Some(sender) = lock(&waiting).remove(&number)
        {
            // Whoever waited may have given up just now.
            let _ = sender.send(Told { dead, at: Instant::now() });
        }
    }
}

fn read(word: &Message) -> Option<(u64, usize)> {
    let number = word.subject.rsplit('.').next()?.parse().ok()?;
    match serde_json::from_slice::<Committed>(&word.payload) {
        Ok(committed) => Some((number, committed.dead.len())),
        Err(error) => {
            tracing::warn!(subject = %word.subject, error = %error, "a word on a commit is not what was agreed");
            None
        }
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Told>>> {
    waiting.lock().expect("no holder panics")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, payload: &'static str) -> Message {
        Message {
            subject: subject.into(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn a_word_names_its_parcel_by_the_subject_and_its_dead_letters_in_the_body() {
        let word = message("_INBOX.abc.17", r#"{"position":"5","shard":"s1","dead":[{"index":0}]}"#);
        assert_eq!(read(&word), Some((17, 1)));
        assert_eq!(read(&message("_INBOX.abc.3", r#"{"position":"5","shard":"s1"}"#)), Some((3, 0)));
        assert_eq!(read(&message("_INBOX.abc.x", "{}")), None);
        assert_eq!(read(&message("_INBOX.abc.3", "sorry")), None);
    }

    #[tokio::test]
    async fn a_word_that_nobody_will_say_is_given_up_and_forgotten() {
        let waiting = Waiting::default();
        let expect = |number| {
            let (sender, heard) = oneshot::channel();
            lock(&waiting).insert(number, sender);
            Word { number, subject: String::new(), heard, waiting: waiting.clone() }
        };
        let (told, untold) = (expect(1), expect(2));
        let at = Instant::now();
        lock(&waiting).remove(&1).unwrap().send(Told { dead: 3, at }).unwrap();
        drop(lock(&waiting).remove(&2));
        assert_eq!(told.heard().await, Some(Told { dead: 3, at }));
        assert_eq!(untold.heard().await, None);
        drop(expect(3));
        assert!(lock(&waiting).is_empty());
    }
}
