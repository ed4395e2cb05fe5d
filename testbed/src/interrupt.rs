//! Ctrl-C and SIGTERM: stop what was started, in order.

use sluice_testbed::Progress;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first signal cancels. Unlike a service, testbed does not end at a second one: it would leave behind
/// what it started. It is done soon in any case, as a process that does not stop is killed.
pub(crate) fn token() -> std::io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            Progress::Shown.line("\ninterrupted: ending what was started");
            cancel.cancel();
        }
    });
    Ok(token)
}
