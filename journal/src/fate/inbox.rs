//! Where answers about messages come in: one subscription for all of a process' publishes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use tokio::sync::watch;

use super::Fate;

type Told = watch::Sender<Option<Arc<Fate>>>;

/// The inbox. It ends with its last clone and the last of what it has given out.
#[derive(Debug, Clone)]
pub struct Inbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Told>>,
}

/// A message's place in the inbox, until nobody waits for it any more.
#[derive(Debug)]
struct Ticket {
    inbox: Inbox,
    number: u64,
}

/// Waits to hear what became of a message. Clones wait for the same.
#[derive(Debug, Clone)]
pub struct Waiting {
    ticket: Arc<Ticket>,
    told: watch::Receiver<Option<Arc<Fate>>>,
}

impl Inbox {
    /// Subscribes.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn open(client: &async_nats::Client) -> Result<Self, async_nats::SubscribeError> {
        let prefix = client.new_inbox();
        let mut answers = client.subscribe(format!("{prefix}.*")).await?;
        let inner = Arc::new(Inner { prefix, next: AtomicU64::new(0), waiting: Mutex::default() });
        let inbox = Arc::downgrade(&inner);
        tokio::spawn(async move {
            while let Some(answer) = answers.next().await {
                let Some(inner) = Weak::upgrade(&inbox) else { return };
                let number = answer.subject.rsplit('.').next().and_then(|number| number.parse().ok());
                let told = number.and_then(|number: u64| inner.waiting().remove(&number));
                if let (Some(told), Ok(fate)) = (told, serde_json::from_slice(&answer.payload)) {
                    told.send_replace(Some(Arc::new(fate)));
                }
            }
        });
        Ok(Self(inner))
    }

    /// A new place: the subject for a message's header, and what to wait for.
    pub fn place(&self) -> (String, Waiting) {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, told) = watch::channel(None);
        self.0.waiting().insert(number, sender);
        let ticket = Arc::new(Ticket { inbox: self.clone(), number });
        (format!("{}.{number}", self.0.prefix), Waiting { ticket, told })
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Told>> {
        self.waiting.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.inbox.0.waiting().remove(&self.number);
    }
}

impl Waiting {
    /// What became of the message; `None` where nobody said so within that time.
    pub async fn within(mut self, limit: Duration) -> Option<Arc<Fate>> {
        let told = tokio::time::timeout(limit, self.told.wait_for(Option::is_some)).await;
        let fate = told.ok()?.ok().and_then(|fate| fate.clone());
        drop(self.ticket);
        fate
    }
}
