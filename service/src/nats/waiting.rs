//! What is said while NATS cannot be reached: which servers were tried, and why each did not do.

use std::sync::atomic::{AtomicU32, Ordering};

use async_nats::{Server, ServerAddr};

use crate::said::Said;

/// What was said of a connection that does not come about.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    said: Said,
    /// Rounds over all servers since the last connection.
    rounds: AtomicU32,
}

impl Waiting {
    /// There is a connection.
    pub(super) fn is_over(&self) {
        self.rounds.store(0, Ordering::Relaxed);
        self.said.clear();
    }

    /// The servers are about to be tried once more: says what came of the last time, unless it has
    /// just said the same.
    pub(super) fn next_round(&self, servers: &[Server]) {
        if self.rounds.fetch_add(1, Ordering::Relaxed) == 0 {
            return;
        }
        let tried: Vec<_> =
            servers.iter().map(|server| (address(&server.addr), server.last_error.as_deref())).collect();
        let text = describe(&tried);
        if self.said.is_due(&text) {
            match is_about_the_user(&tried) {
                true => tracing::error!("{text}"),
                false => tracing::warn!("{text}"),
            }
        }
    }
}

/// A server's address without the user and the password that a URL may hold.
fn address(server: &ServerAddr) -> String {
    format!("{}://{}:{}", server.scheme(), server.host(), server.port())
}

fn describe(tried: &[(String, Option<&str>)]) -> String {
    // The client notes every failure but this one.
    let reason = |reason: Option<&str>| reason.unwrap_or("its name cannot be resolved").to_owned();
    let tried_all: Vec<_> = tried.iter().map(|(at, why)| format!("{at} ({})", reason(*why))).collect();
    let tried_all = tried_all.join(", ");
    if is_about_the_user(tried) {
        return format!("NATS refuses this user or its password (NATS_USER, NATS_PASSWORD): {tried_all}; trying again");
    }
    format!("NATS is not reachable (NATS_URL): {tried_all}; trying again")
}

fn is_about_the_user(tried: &[(String, Option<&str>)]) -> bool {
    tried.iter().any(|(_, why)| why.is_some_and(|why| why.contains("authorization violation")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_named_with_its_reason_and_without_a_password() {
        let servers = ["nats://me:canary@a:4222", "tls://b:4223"].map(|url| address(&url.parse().unwrap()));
        let [a, b] = servers;
        let told = describe(&[(a.clone(), Some("IO error: Connection refused")), (b.clone(), None)]);
        let wanted = "NATS is not reachable (NATS_URL): nats://a:4222 (IO error: Connection refused), tls://b:4223 (its name \
                      cannot be resolved); trying again";
        assert_eq!(told, wanted);
        let told = describe(&[(a, Some("authorization violation")), (b, Some("timed out"))]);
        assert!(told.contains("NATS refuses this user or its password") && told.contains("nats://a:4222"), "{told}");
    }
}
