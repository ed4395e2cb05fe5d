//! What the NATS server lets us do.
//!
//! It does not answer what a user has no leave for: whoever asks all the same waits for nothing. So it is asked before what it allows.

use std::time::Duration;

use async_nats::{Client, Request, Subject};
use serde::Deserialize;

use crate::JournalError;

/// Each user may ask this about itself, if it may publish there.
const ABOUT_US: &str = "$SYS.REQ.USER.INFO";
/// How long the answer may take. Too short: a busy server is not heard, and what it forbids is found by waiting for answers in vain.
/// Too long: where even this question is forbidden, each start takes so much longer.
const LIMIT: Duration = Duration::from_secs(2);

/// What our user may publish to. A server without users allows everything.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Rights {
    #[serde(default)]
    user: String,
    #[serde(default)]
    permissions: Permissions,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Permissions {
    #[serde(default)]
    publish: Option<Patterns>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Patterns {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
}

/// The user has no leave for something.
#[derive(Debug, thiserror::Error)]
#[error("the NATS user {user} may not publish to {subject}; another one has to do this (NATS_USER, NATS_PASSWORD)")]
pub struct Forbidden {
    /// The user.
    pub user: String,
    /// What it may not publish to, as the account maps it.
    pub subject: String,
}

impl Rights {
    /// Asks the server. One that says nothing is taken to allow everything.
    pub(crate) async fn of(client: &Client) -> Self {
        #[derive(Deserialize)]
        struct Answer {
            data: Rights,
        }
        // An inbox of its own: a request that is never answered leaves nothing behind in the client (nats.rs #1617).
        let request = Request::new().timeout(Some(LIMIT)).inbox(client.new_inbox());
        let answer = tokio::time::timeout(LIMIT, client.send_request(Subject::from_static(ABOUT_US), request)).await;
        let Ok(Ok(answer)) = answer else { return Self::default() };
        serde_json::from_slice(&answer.payload).map(|Answer { data }| data).unwrap_or_default()
    }

    /// Whether it may publish to a subject; where the account maps that, name what the mapping makes of it.
    pub fn allow(&self, subject: &str) -> bool {
        let Some(Patterns { allow, deny }) = &self.permissions.publish else { return true };
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, subject));
        (allow.is_empty() || any(allow)) && !any(deny)
    }

    /// [`Rights::allow`] as a result.
    ///
    /// # Errors
    /// Where it may not.
    pub fn check(&self, subject: String) -> Result<(), Forbidden> {
        if self.allow(&subject) { Ok(()) } else { Err(Forbidden { user: self.user.clone(), subject }) }
    }

    /// [`Rights::check`] before an operation, whose error it becomes.
    pub(crate) fn check_for(&self, operation: &'static str, subject: String) -> Result<(), JournalError> {
        self.check(subject).map_err(|forbidden| JournalError::new(operation, forbidden))
    }
}

/// NATS' patterns: `*` is one token, `>` at the end is one or more.
fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some(wanted), Some(token)) if wanted == "*" || wanted == token => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(permissions: &str) -> Rights {
        serde_json::from_str(&format!(r#"{{"user":"u","permissions":{permissions}}}"#)).unwrap()
    }

    #[test]
    fn a_pattern_matches_as_the_server_has_it() {
        for (pattern, subject) in [("a.*", "a.b"), ("a.>", "a.b.c"), (">", "a"), ("a", "a")] {
            assert!(matches(pattern, subject), "{pattern} {subject}");
        }
        for (pattern, subject) in [("a.*", "a.b.c"), ("a.*", "a"), ("a.>", "a"), ("a", "a.b"), ("a.b", "a.c")] {
            assert!(!matches(pattern, subject), "{pattern} {subject}");
        }
    }

    #[test]
    fn what_is_allowed_and_not_denied_is_allowed_and_without_users_everything_is() {
        let some = rights(r#"{"publish":{"allow":["$JS.API.STREAM.PURGE.*"],"deny":["$JS.API.STREAM.PURGE.DEAD"]}}"#);
        assert!(some.allow("$JS.API.STREAM.PURGE.JOURNAL-0"));
        assert!(!some.allow("$JS.API.STREAM.PURGE.DEAD") && !some.allow("$JS.API.STREAM.CREATE.JOURNAL-0"));
        let told = some.check("a.b".to_owned()).unwrap_err().to_string();
        assert!(told.contains("user u may not publish to a.b"), "{told}");
        assert!(Rights::default().allow("a") && rights("{}").allow("a"));
        let denied = rights(r#"{"publish":{"deny":["a.>"]}}"#);
        assert!(denied.allow("b") && !denied.allow("a.b"));
    }
}
