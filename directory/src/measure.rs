//! How much each shard holds, and whether it answers: asked again and again, for placement and for `directory shard list`.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use sluice_service::shutdown::cancelled_within;
use tokio_util::sync::CancellationToken;

use crate::Directory;

/// Shards asked side by side. Fewer: a round with many dead shards is slow. More: that many connections at once.
const SIDE_BY_SIDE: usize = 8;

/// Measures every shard each `interval`, until `stop`.
pub async fn run(directory: Arc<Directory>, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = round(&directory) => {}
            () = stop.cancelled() => return,
        }
        if cancelled_within(&stop, interval).await {
            return;
        }
    }
}

async fn round(directory: &Directory) {
    let shards = match directory.store().shards().await {
        Ok(shards) => shards,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the shards were not measured this time");
            return;
        }
    };
    futures::stream::iter(shards).for_each_concurrent(SIDE_BY_SIDE, |shard| directory.measure(shard)).await;
    directory.settle().await;
}
