//! Stop is a token; whoever holds it finishes what it has begun.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGINT or SIGTERM. A second one ends the process at once, with status 130.
///
/// # Errors
/// Where the signals cannot be listened to.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        tracing::info!("stopping; a second signal ends at once");
        cancel.cancel();
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        std::process::exit(130);
    });
    Ok(token)
}

/// From now on a panic in any task ends the process, with status 101, once its message is printed.
///
/// For a process whose tasks are parts of one whole: half of it would look alive and do half of its work.
pub fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::exit(101);
    }));
}

/// Waits until the token is cancelled or the time is over; true where it was cancelled.
pub async fn cancelled_within(token: &CancellationToken, time: Duration) -> bool {
    tokio::time::timeout(time, token.cancelled()).await.is_ok()
}
