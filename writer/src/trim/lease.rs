//! Whether the owner has fallen silent.

use std::time::Duration;

use sluice_journal::TrimRecord;
use tokio::time::Instant;

/// What a process has seen of the owner's claims.
///
/// The time limit is measured by whoever watches: how long it has seen the same claim. So it needs no clock but its own.
#[derive(Debug)]
pub struct Lease {
    limit: Duration,
    seen: Option<(String, u64, Instant)>,
}

impl Lease {
    /// How long reading a shard may take. A round reads shards side by side.
    pub const READ_LIMIT: Duration = Duration::from_secs(10);

    /// For an owner that trims this often: three times that, and time for the shards. Shorter: it changes hands at every
    /// hiccup. Longer: nobody trims for that long after the owner's death.
    pub fn new(interval: Duration) -> Self {
        Self { limit: interval.saturating_mul(3).saturating_add(Self::READ_LIMIT), seen: None }
    }

    /// The time limit.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether `me` may claim: it is the owner, there is none, or the owner has been silent for too long.
    pub fn may_claim(&mut self, record: &TrimRecord, me: &str, now: Instant) -> bool {
        let Some(owner) = record.owner.as_deref().filter(|owner| *owner != me) else { return true };
        match &self.seen {
            Some((seen, beat, since)) if seen == owner && *beat == record.beat => {
                now.duration_since(*since) > self.limit
            }
            _ => {
                self.seen = Some((owner.to_owned(), record.beat, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_beats_keeps_its_claim_and_a_silent_one_loses_it_after_the_limit() {
        let mut lease = Lease::new(Duration::from_secs(60));
        let (start, limit) = (Instant::now(), lease.limit());
        let mut record = TrimRecord::default();
        assert!(lease.may_claim(&record, "me", start));
        record.owner = Some("me".to_owned());
        assert!(lease.may_claim(&record, "me", start));
        record.owner = Some("other".to_owned());
        for beat in 0..10 {
            record.beat = beat;
            assert!(!lease.may_claim(&record, "me", start + limit * u32::try_from(beat).unwrap()));
        }
        let last = start + limit * 9;
        assert!(!lease.may_claim(&record, "me", last + limit));
        assert!(lease.may_claim(&record, "me", last + limit + Duration::from_millis(1)));
        // Another owner has its own time.
        record.owner = Some("third".to_owned());
        assert!(!lease.may_claim(&record, "me", last + limit * 2));
    }
}
