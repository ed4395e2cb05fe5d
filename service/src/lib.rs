//! What every Sluice process needs around its real work. Read in this order:
//!
//! 1. [`settings`]: reads the command line, and tells what a program was told.
//! 2. [`telemetry`]: logs, as text or JSON.
//! 3. [`output`]: what a command prints.
//! 4. [`shutdown`]: SIGINT and SIGTERM as one [`CancellationToken`](tokio_util::sync::CancellationToken).
//! 5. [`nats`]: the connection, with its settings and time limits; whether its disk has what it
//!    acknowledges.
//! 6. [`http`]: serve a router until stopped; `/livez` and `/readyz`.
//! 7. [`door`]: serve one that strangers call: TLS, how many may come in, how slow they may be.
//! 8. [`problem`]: errors of an HTTP API as RFC 9457 problem documents.
//! 9. [`tokens`]: who may call an HTTP API, and as what; [`followed_file`]: files that may change.
//! 10. [`metrics`]: what is counted, for Prometheus.
//! 11. [`backoff`]: how long to wait before trying again; [`said`]: how often to say so.

pub mod backoff;
pub mod door;
pub mod followed_file;
pub mod http;
pub mod metrics;
pub mod nats;
pub mod output;
pub mod problem;
pub mod said;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod tokens;

pub use backoff::Backoff;
pub use problem::Problem;
