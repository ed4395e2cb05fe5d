//! A connection to NATS for a command: it is there soon, or the command says so and ends.

use std::time::Duration;

use anyhow::Context;
use sluice_service::nats::{self, NatsArgs};

/// How long a server may take to answer at first.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects. A service would try for ever; somebody waits for a command.
pub(crate) async fn connect(args: &NatsArgs) -> anyhow::Result<async_nats::Client> {
    let client = nats::connect(args, "loadgen").await.context("connect to NATS")?;
    let answered = tokio::time::timeout(PATIENCE, client.flush()).await;
    let urls = args.nats_url.join(", ");
    answered.map_err(|_| anyhow::anyhow!("no NATS server lets us in at {urls} within {} s", PATIENCE.as_secs()))??;
    Ok(client)
}
