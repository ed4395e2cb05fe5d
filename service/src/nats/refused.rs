//! What NATS does not let this process do.
//!
//! The server does not answer a publish or a request that its user has no leave for: it reports a violation beside, and whoever
//! waits for an answer waits in vain. [`unless`] ends such a wait at once.

use std::{fmt, sync::LazyLock};

use tokio::sync::broadcast;

/// Violations that one who waits may lag behind; a process has few.
const KEPT: usize = 256;

static REFUSED: LazyLock<broadcast::Sender<Refused>> = LazyLock::new(|| broadcast::Sender::new(KEPT));

/// What NATS refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// Whether it was publishing; else it was subscribing.
    pub publishing: bool,
    /// The subject; where the account maps it, what the mapping makes of it.
    pub subject: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = if self.publishing { "publish to" } else { "subscribe to" };
        write!(f, "this NATS user (NATS_USER) may not {action} {}", self.subject)
    }
}

impl Refused {
    /// Reads what the server says: `Permissions Violation for Publish to "a.b"`.
    fn read(text: &str) -> Option<Self> {
        let (_, violation) = text.split_once("Permissions Violation for ")?;
        let (action, rest) = violation.split_once(" to ")?;
        let subject = rest.strip_prefix('"')?.split('"').next()?;
        Some(Self { publishing: action == "Publish", subject: subject.to_owned() })
    }
}

/// Tells all who wait, where it is a violation that the server reports.
pub(super) fn note(text: &str) -> Option<Refused> {
    let refused = Refused::read(text)?;
    // Nobody may be waiting.
    let _ = REFUSED.send(refused.clone());
    Some(refused)
}

/// Waits for the answer to what is published to that subject, or until the server says that it takes nothing there from us.
///
/// # Errors
/// Where it says so.
pub async fn unless<T>(subject: &str, answer: impl Future<Output = T>) -> Result<T, Refused> {
    let mut refusals = REFUSED.subscribe();
    let refusal = async {
        loop {
            match refusals.recv().await {
                Ok(refused) if refused.publishing && refused.subject == subject => return refused,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        refused = refusal => Err(refused),
        answer = answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_read_with_its_subject_and_nothing_else_is_one() {
        let publish = Refused::read(r#"nats: Permissions Violation for Publish to "$JS.API.INFO""#).unwrap();
        assert_eq!((publish.publishing, publish.subject.as_str()), (true, "$JS.API.INFO"));
        let subscribe = Refused::read(r#"nats: Permissions Violation for Subscription to "a.>" using queue "q""#);
        assert_eq!(subscribe, Some(Refused { publishing: false, subject: "a.>".to_owned() }));
        assert_eq!(Refused::read("nats: maximum connections exceeded"), None);
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_a_refusal_of_that_very_subject_and_of_no_other() {
        let waiting = unless("a.b", std::future::pending::<()>());
        let noting = async {
            tokio::task::yield_now().await;
            note(r#"Permissions Violation for Publish to "a.c""#);
            note(r#"Permissions Violation for Subscription to "a.b""#);
            note(r#"Permissions Violation for Publish to "a.b""#);
        };
        let (refused, ()) = tokio::join!(waiting, noting);
        assert_eq!(refused.unwrap_err().to_string(), "this NATS user (NATS_USER) may not publish to a.b");
        assert_eq!(unless("a.b", async { 7 }).await, Ok(7));
    }
}
