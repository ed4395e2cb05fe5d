//! Every knob of the ingest service.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum, builder::RangedU64ValueParser};
use sluice_journal::Settings;
use sluice_service::{
    door::DoorArgs,
    nats::{NatsArgs, disk_sync::MonitorArgs},
    telemetry::TelemetryArgs,
};

use crate::cors::Origin;

/// Takes "create this person for customer 42" over HTTP and stores it in the journal. 202 means stored.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "ingest",
    version,
    after_help = "Try it:\n  \
    curl -i -X POST http://127.0.0.1:8080/person/42 -d '{\"name\":\"Ada\",\"address\":\"London\"}'\n  \
    curl -i -X POST http://127.0.0.1:8080/person/42        # an empty body makes a random person\n\n\
    What else it understands: http://127.0.0.1:8080/docs"
)]
pub struct Config {
    /// Where to listen. An address that others can reach wants --tls-cert and --tls-key, or --plaintext.
    #[arg(long, env = "INGEST_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How long to wait for the journal's acknowledgement, in milliseconds. Too low: a busy disk turns stored events into
    /// 504s. Too high: clients wait that long for a server that is gone.
    #[arg(long, env = "INGEST_ACK_TIMEOUT_MS", default_value_t = 5_000)]
    pub ack_timeout_ms: u64,
    /// How long storing a request's events may take in all, in milliseconds. Has to be more than
    /// twice the acknowledgement's: an event may wait for a whole round before its own.
    #[arg(long, env = "INGEST_REQUEST_TIMEOUT_MS", default_value_t = 15_000)]
    pub request_timeout_ms: u64,
    /// How long a client may keep us waiting for a request's body, in milliseconds, and so long again for each KiB/s that it
    /// does not keep up. Too low: clients with a bad line get 408. Too high: slow clients hold connections.
    #[arg(long, env = "INGEST_BODY_TIMEOUT_MS", default_value_t = 10_000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub body_timeout_ms: u64,
    /// The longest that a client may wait for its row's commit (`Prefer: wait=N`), in seconds; who asks for more gets this. Too low:
    /// clients that could have their 201 get 202. Too high: waiting requests hold connections while a shard is away.
    #[arg(long, env = "INGEST_MAX_WAIT_S", default_value_t = 60)]
    pub max_wait_s: u64,
    /// Requests that may be storing events at once; one more gets 503. Too low: short bursts are turned away. Too high:
    /// when the journal is slow, everybody waits long instead of some being told at once. Each takes up to 64 KiB.
    #[arg(long, env = "INGEST_MAX_IN_FLIGHT", default_value_t = 4_096, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub max_in_flight: usize,
    /// Bulk requests at once; one more waits for a place, and gets 503 after --request-timeout-ms. Each may have 2 MiB of events on their
    /// way. Too low: uploads wait. Too high: as much memory as that.
    #[arg(long, env = "INGEST_MAX_UPLOADS", default_value_t = 16, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub max_uploads: usize,
    /// A file that says who may write for whom: on each line the SHA-256 of a bearer token in hexadecimal, a blank, and a customer, or
    /// `*` for all (`printf %s TOKEN | sha256sum`). Read anew within a second when it changes. Without it nobody is asked for a token.
    #[arg(long, env = "INGEST_TOKENS")]
    pub tokens: Option<PathBuf>,
    /// Whether an empty body makes a random person, as in the original demo. `always` where clients
    /// send real data: a proxy that loses a body makes a row that nobody sent. `never` for the demo
    /// and its `ab` line: each post is refused (422).
    #[arg(long, env = "INGEST_RANDOM_ROWS", value_enum, default_value_t)]
    pub random_rows: RandomRows,
    /// An origin whose pages may post from a browser, such as `https://app.example.com`; may be
    /// given several times (in the environment with commas between them). None: browsers let only
    /// pages of this very address post. Too many: those pages may post with any token that they
    /// come by; a token is wanted of them all the same.
    #[arg(long = "cors-origin", env = "INGEST_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origins: Vec<Origin>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub door: DoorArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub journal: Settings,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub nats: NatsArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub monitor: MonitorArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub telemetry: TelemetryArgs,
}

impl Config {
    /// How long to wait for the journal's acknowledgement.
    pub fn ack_timeout(&self) -> Duration {
        Duration::from_millis(self.ack_timeout_ms)
    }

    /// What each request has to keep to.
    pub fn limits(&self) -> Limits {
        Limits {
            storing: Duration::from_millis(self.request_timeout_ms),
            body: Duration::from_millis(self.body_timeout_ms),
            max_wait: Duration::from_secs(self.max_wait_s),
            in_flight: self.max_in_flight,
            uploads: self.max_uploads,
            random_rows: self.random_rows,
        }
    }
}

/// What each request has to keep to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long storing may take.
    pub storing: Duration,
    /// How long a client may keep us waiting for its body.
    pub body: Duration,
    /// The longest wait for a commit.
    pub max_wait: Duration,
    /// Requests that may be storing at once.
    pub in_flight: usize,
    /// Bulk requests at once.
    pub uploads: usize,
    /// Whether an empty body makes a random person.
    pub random_rows: RandomRows,
}

/// Whether an empty body makes a random person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RandomRows {
    /// It does, as in the original demo.
    #[default]
    Always,
    /// It is refused.
    Never,
}

impl Default for Limits {
    fn default() -> Self {
        Config::parse_from(["ingest"]).limits()
    }
}
