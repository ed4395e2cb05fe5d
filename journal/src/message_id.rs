//! Whether a message's id (`Nats-Msg-Id`) can be taken for another customer's.
//!
//! The server knows ids by stream, and a stream holds many customers: of two messages with the id
//! `order-1` for two customers the second is answered as a duplicate, and dropped. Nobody hears of
//! it but its publisher. What can be seen is the first one, with an id that begs for it.

use crate::{Message, subject::header};

impl Message {
    /// The message's id, where another customer's message may well have the same: it is neither
    /// `<customer>/<key>`, nor one of ours, nor a UUID.
    pub fn unscoped_id(&self, customer: &str) -> Option<&str> {
        let id = self.headers.as_ref()?.get(header::MESSAGE_ID)?.as_str();
        (!is_scoped(id, customer)).then_some(id)
    }
}

fn is_scoped(id: &str, customer: &str) -> bool {
    let has_key = id.strip_prefix(customer).and_then(|rest| rest.strip_prefix('/')).is_some_and(|key| !key.is_empty());
    // Ingest's are made of customer and key, or drawn at random; those of replays and repairs, of
    // positions.
    let is_ours = id.starts_with("replay-") || id.starts_with("repair-");
    has_key || is_ours || is_uuid(id)
}

/// 32 hexadecimal digits, with dashes or without.
fn is_uuid(id: &str) -> bool {
    let digits = id.bytes().filter(|byte| *byte != b'-');
    digits.clone().count() == 32 && digits.clone().all(|digit| digit.is_ascii_hexdigit()) && matches!(id.len(), 32 | 36)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_says_nothing_of_its_customer_is_told_from_one_that_no_other_customer_can_have() {
        let scoped = ["42/order-1", "42/1/2", "replay-17", "repair-17-9", "0123456789abcdef0123456789ABCDEF"];
        for id in scoped.into_iter().chain(["6fa459ea-ee8a-3ca4-894e-db77e160355e"]) {
            assert!(is_scoped(id, "42"), "{id}");
        }
        for id in ["order-1", "42", "42/", "42order", "4/2", "421/order-1", "1", "", "0123456789abcdef"] {
            assert!(!is_scoped(id, "42"), "{id}");
        }
    }
}
