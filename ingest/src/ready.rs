//! Whether ingest can take events, and why not; what `/readyz` answers.
//!
//! One partition that cannot be used does not make ingest unready: whoever sends requests by that
//! answer would keep the customers of all other partitions away, too. It is told as a warning, and
//! the customers of that partition get 503 with the reason.

use sluice_journal::{Journal, JournalHealth};
use sluice_service::http::Readiness;

/// Before the journal is open.
pub fn starting(is_connected: bool) -> Readiness {
    let mut readiness = Readiness::default();
    readiness.lacks(if is_connected {
        "the journal is not open yet: its streams are not there, or JetStream does not answer (the log says more)"
    } else {
        "NATS is not reachable (NATS_URL)"
    });
    readiness
}

/// As the journal stands now.
pub fn of(journal: &Journal) -> Readiness {
    decide(journal.health(), usize::from(journal.partitions().get()))
}

fn decide(health: JournalHealth, partitions: usize) -> Readiness {
    let mut readiness = Readiness { reasons: health.unheard.into_iter().collect(), warnings: health.warnings };
    let faults = || health.faults.iter().filter(|fault| fault.partition.is_some());
    let told = faults().map(|fault| fault.what.clone());
    if faults().count() == partitions {
        readiness.reasons.extend(told);
    } else {
        readiness.warnings.extend(told);
    }
    readiness
}

#[cfg(test)]
mod tests {
    use sluice_journal::Fault;
    use sluice_model::Partition;

    use super::*;

    fn fault(partition: Option<u16>) -> Fault {
        let what = format!("{partition:?} is misconfigured");
        Fault { stream: String::new(), partition: partition.map(Partition::new), what }
    }

    fn health(partitions: &[Option<u16>]) -> JournalHealth {
        JournalHealth { faults: partitions.iter().copied().map(fault).collect(), ..JournalHealth::default() }
    }

    #[test]
    fn ingest_is_ready_while_some_partition_takes_events_and_nats_is_heard() {
        let one = decide(health(&[Some(1), None]), 2);
        assert!(one.is_ready() && one.warnings == ["Some(1) is misconfigured"], "{one:?}");
        let all = decide(health(&[Some(0), Some(1)]), 2);
        assert_eq!(all.reasons, ["Some(0) is misconfigured", "Some(1) is misconfigured"]);
        let unheard = JournalHealth { unheard: Some("NATS is not reachable".to_owned()), ..JournalHealth::default() };
        assert_eq!(decide(unheard, 2).reasons, ["NATS is not reachable"]);
        assert_eq!(decide(JournalHealth::default(), 2), Readiness::default());
        assert!(!starting(true).is_ready() && !starting(false).is_ready());
    }
}
