//! Registrations under way, which hold every floor where it is.

use std::collections::HashMap;

use sluice_journal::{TrimRecord, trim::TICKET_LIMIT};
use tokio::time::Instant;

/// Since when this process has seen each ticket. As with the lease, only its own clock counts.
#[derive(Debug, Default)]
pub struct Tickets(HashMap<String, Instant>);

impl Tickets {
    /// Whether every announced shard is registered, so that the floors may be settled. Drops tickets of shards that are, and those
    /// that a process left when it died.
    pub fn are_done(&mut self, record: &mut TrimRecord, is_registered: impl Fn(&str) -> bool, now: Instant) -> bool {
        self.0.retain(|ticket, _| record.registering.contains_key(ticket));
        record.registering.retain(|ticket, shard| {
            if is_registered(shard) {
                return false;
            }
            let since = *self.0.entry(ticket.clone()).or_insert(now);
            let waits = now.duration_since(since) <= TICKET_LIMIT;
            if waits {
                tracing::info!(shard, "is being registered: nothing is trimmed this time");
            } else {
                tracing::warn!(shard, "was announced and never registered: its ticket is dropped");
            }
            waits
        });
        record.registering.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_ticket_holds_the_floors_until_its_shard_is_registered_or_its_time_is_over() {
        let announce = |record: &mut TrimRecord, ticket: &str| {
            record.registering.insert(ticket.to_owned(), format!("shard of {ticket}"));
        };
        let (mut tickets, mut record, start) = (Tickets::default(), TrimRecord::default(), Instant::now());
        assert!(tickets.are_done(&mut record, |_| false, start));
        announce(&mut record, "a");
        announce(&mut record, "b");
        assert!(!tickets.are_done(&mut record, |shard| shard == "shard of a", start));
        assert!(record.registering.keys().eq(["b"]));
        // Each has its own time, from when it was first seen.
        announce(&mut record, "c");
        let end = start + TICKET_LIMIT;
        assert!(!tickets.are_done(&mut record, |_| false, end));
        assert!(record.registering.keys().eq(["b", "c"]));
        assert!(!tickets.are_done(&mut record, |_| false, end + Duration::from_millis(1)));
        assert!(record.registering.keys().eq(["c"]));
        assert!(tickets.are_done(&mut record, |_| true, end));
    }
}
