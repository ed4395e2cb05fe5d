//! Trimming the journal: what every shard has stored, and nobody wishes to keep, is removed.
//!
//! One writer process of all does it; which one is settled in the record that [`sluice_journal::trim`] describes. The owner renews its
//! claim in each round. A process that sees the same claim for longer than the [limit](Lease), by its own clock, takes it over. So no two
//! clocks are ever compared, and two owners do no harm.
//!
//! 1. [`decision`]: what may go; pure.
//! 2. [`lease`]: whether the owner has fallen silent; pure.
//! 3. [`tickets`]: whether a shard is just being registered; pure.
//! 4. [`round`]: one round: claim, read the shards, settle, purge.

pub mod decision;
pub mod lease;
pub mod round;
pub mod tickets;

use std::time::Duration;

use sluice_service::shutdown::cancelled_within;
use tokio_util::sync::CancellationToken;

pub use lease::Lease;

use crate::status::{Part, Status};
use round::Trimmer;

/// How long handing over may take on stop. Too short: the next owner waits for the lease. Too long: a slow stop.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(1);

/// Trims, where it is this process' turn, until `stop`. It may be dropped at any moment: see [`sluice_journal::trim`].
pub async fn run(mut trimmer: Trimmer, interval: Duration, status: Status, stop: CancellationToken) {
    loop {
        let round = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            round = trimmer.round() => round,
        };
        if let Err(error) = &round {
            tracing::warn!(error = &**error as &dyn std::error::Error, "the journal was not trimmed this time");
        }
        status.part(Part::Trimming, round.err().map(|error| format!("{error:#}")));
        if cancelled_within(&stop, interval).await {
            break;
        }
    }
    if tokio::time::timeout(HAND_OVER_LIMIT, trimmer.hand_over()).await.is_err() {
        tracing::debug!("trimming was not handed over in time; the next owner waits for the lease");
    }
}
