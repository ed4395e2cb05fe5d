//! Whether the directory can answer, and why not; what `/readyz` answers.

use std::{sync::Arc, time::Duration};

use sluice_journal::JournalHealth;
use sluice_service::http::Readiness;

use crate::{answer::Directory, registration::chain};

/// How long the meta database may take to answer. Shorter: a busy one makes the directory unready.
/// Longer: whoever asks gives up before the answer.
const STORE_LIMIT: Duration = Duration::from_secs(2);

/// Before the journal is open.
pub(crate) fn starting() -> Readiness {
    let mut readiness = Readiness::default();
    readiness.lacks("the directory is starting: it waits for the journal (NATS)");
    readiness
}

/// Asks what the directory needs.
pub(crate) async fn of(directory: Arc<Directory>) -> Readiness {
    let health = directory.registrar().journal().map(|journal| journal.health()).unwrap_or_default();
    let listens = directory.listens();
    // A task of its own: what is asked of a database is not to be dropped half way.
    let asked = tokio::spawn(async move { directory.store().answers().await });
    let store = match tokio::time::timeout(STORE_LIMIT, asked).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(error))) => Some(chain(&error)),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("the meta database has not answered for {} s", STORE_LIMIT.as_secs())),
    };
    decide(health, listens, store)
}

fn decide(health: JournalHealth, listens: bool, store: Option<String>) -> Readiness {
    let mut readiness = Readiness { reasons: Vec::new(), warnings: health.warnings };
    readiness.reasons.extend(health.unheard);
    readiness.reasons.extend(store);
    if !listens {
        readiness.lacks("the subscriptions by which it is asked over NATS have ended: restart it");
    }
    // Shards cannot be registered while a stream is not as it has to be; questions are answered.
    readiness.warnings.extend(health.faults.into_iter().map(|fault| fault.what));
    readiness
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::tests::directory, placement::Policy};

    #[tokio::test]
    async fn a_directory_whose_database_answers_is_ready_and_one_whose_database_is_closed_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Arc::new(directory(&folder, Policy::Auto).await);
        assert_eq!(of(Arc::clone(&directory)).await, Readiness::default());
        directory.store().close().await;
        let closed = of(directory).await;
        assert!(closed.reasons.len() == 1 && closed.reasons[0].contains("meta database"), "{closed:?}");
    }

    #[test]
    fn everything_that_is_missing_is_named() {
        let health = JournalHealth { unheard: Some("NATS is not reachable".to_owned()), ..JournalHealth::default() };
        let readiness = decide(health, false, Some("the meta database is gone".to_owned()));
        assert_eq!(readiness.reasons.len(), 3);
        assert!(!starting().is_ready());
    }
}
