//! Every knob of the ingest service.

use std::net::SocketAddr;

use clap::Parser;
use sluice_journal::Settings;
use sluice_service::{nats::NatsArgs, telemetry::TelemetryArgs};

/// Takes "create this person for customer 42" over HTTP and stores it in the journal. 202 means stored.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "ingest",
    version,
    after_help = "Try it:\n  \
    curl -i -X POST http://127.0.0.1:8080/person/42 -d '{\"name\":\"Ada\",\"address\":\"London\"}'\n  \
    curl -i -X POST http://127.0.0.1:8080/person/42        # an empty body makes a random person"
)]
pub struct Config {
    /// Where to listen. Without TLS and tokens, which come later, keep it on loopback or behind a proxy.
    #[arg(long, env = "INGEST_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How long to wait for the journal's acknowledgement, in milliseconds. Too low: a busy disk turns stored events into
    /// 504s. Too high: clients wait that long for a server that is gone.
    #[arg(long, env = "INGEST_ACK_TIMEOUT_MS", default_value_t = 5_000)]
    pub ack_timeout_ms: u64,
    /// How long a whole request may take, in milliseconds. Has to be more than
    /// twice the acknowledgement's: an event may wait for a whole round before its own.
    #[arg(long, env = "INGEST_REQUEST_TIMEOUT_MS", default_value_t = 15_000)]
    pub request_timeout_ms: u64,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub journal: Settings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub nats: NatsArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub telemetry: TelemetryArgs,
}
