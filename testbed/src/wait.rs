//! Waiting for a condition, with a limit: never sleep and hope.

use std::{future::Future, time::Duration};

/// How often one looks. Too often: the looking slows down what is waited for. Too seldom: every wait of a test lasts so
/// much longer.
pub const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until the condition holds.
///
/// # Errors
/// Where it does not within the limit; the error says what was waited for.
pub async fn until<F, Fut>(what: &str, limit: Duration, mut condition: F) -> anyhow::Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let held = async {
        while !condition().await {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let in_time = tokio::time::timeout(limit, held).await;
    in_time.map_err(|_| anyhow::anyhow!("not within {} s: {what}", limit.as_secs_f64()))
}
