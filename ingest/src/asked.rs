//! What a request's headers ask for beside storage: to wait for the commit, to be known again, to be traced.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use sluice_journal::fate::is_trace;
use sluice_model::CustomerId;
use sluice_service::Problem;

/// The most bytes of an idempotency key.
pub const KEY_MAX_BYTES: usize = 255;

/// How long the client wishes to wait for the commit (`Prefer: wait=N`, RFC 7240), in whole seconds and no longer than `most`.
/// `None` where it does not, or asks in a way that makes no sense: a preference may be ignored.
pub fn wait(headers: &HeaderMap, most: Duration) -> Option<Duration> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let preferences = preferences.flat_map(|value| value.split(','));
    // The first of a name counts.
    let wait = preferences.filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse::<u32>().ok())
    });
    let seconds = wait.take(1).next()??;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()).min(most))
}

/// The trace that the request belongs to, where somebody records it.
pub fn trace(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    is_trace(value).then(|| value.to_owned())
}

/// A key by which the client's retry is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    digest: [u8; 32],
}

impl Key {
    /// The request's key, if it has one.
    ///
    /// # Errors
    /// 400 where it has two, or one that is empty, too long or not of visible ASCII.
    pub fn of(customer: &CustomerId, headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut keys = headers.get_all("idempotency-key").iter();
        let Some(key) = keys.next() else { return Ok(None) };
        let invalid = |what: &str| {
            let detail = format!("{what}; a key has 1 to {KEY_MAX_BYTES} visible ASCII characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail).at("header: Idempotency-Key"))
        };
        if keys.next().is_some() {
            return invalid("there are two keys");
        }
        let key = key.as_bytes();
        if !(1..=KEY_MAX_BYTES).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
            return invalid("the key cannot be used");
        }
        let hash = Sha256::new();
        // With its length before it, no customer and key run into another pair's.
        let hash = hash.chain_update(customer.as_str().len().to_be_bytes()).chain_update(customer.as_str());
        Ok(Some(Self { digest: hash.chain_update(key).finalize().into() }))
    }

    /// As a message's id: half of the digest is far more than chance could hit.
    pub fn message_id(&self) -> String {
        self.digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A number of its own for each key: the same random person for each retry.
    pub fn seed(&self) -> [u8; 32] {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_first_wait_counts_up_to_the_most_and_nonsense_is_ignored() {
        let seconds =
            |values: &[&str]| wait(&headers("prefer", values), Duration::from_secs(60)).map(|wait| wait.as_secs());
        for (values, expected) in [
            (&["wait=5"][..], Some(5)),
            (&["respond-async, wait=10; x=y"], Some(10)),
            (&["Wait=\"7\""], Some(7)),
            (&["handling=lenient", "wait=3", "wait=9"], Some(3)),
            (&["wait=3600"], Some(60)),
            (&["wait=0"], None),
            (&["wait=-1"], None),
            (&["wait"], None),
            (&["waiter=5"], None),
            (&[], None),
        ] {
            assert_eq!(seconds(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_key_is_one_customers_own() {
        let key =
            |customer: &str, values: &[&str]| Key::of(&customer.parse().unwrap(), &headers("idempotency-key", values));
        let id = |customer, value| key(customer, &[value]).unwrap().unwrap().message_id();
        assert_eq!(id("1", "a"), id("1", "a"));
        assert_ne!(id("1", "a"), id("2", "a"));
        assert_ne!(id("1", "2a"), id("12", "a"));
        assert_eq!(id("1", "a").len(), 32);
        assert_eq!(key("1", &[]).unwrap(), None);
        let long = "k".repeat(KEY_MAX_BYTES + 1);
        for bad in [&["a", "b"][..], &[""], &["a b"], &[&long]] {
            assert_eq!(key("1", bad).unwrap_err().code, "invalid_idempotency_key", "{bad:?}");
        }
    }

    #[test]
    fn only_a_recorded_trace_travels_on() {
        let recorded = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace(&headers("traceparent", &[recorded])).as_deref(), Some(recorded));
        assert_eq!(trace(&headers("traceparent", &[&recorded.replace("-01", "-00")])), None);
        assert_eq!(trace(&headers("traceparent", &["00-x-y-01"])), None);
    }
}
