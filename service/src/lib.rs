//! What every Sluice process needs around its real work. Read in this order:
//!
//! 1. [`telemetry`]: logs, as text or JSON.
//! 2. [`shutdown`]: SIGINT and SIGTERM as one [`CancellationToken`](tokio_util::sync::CancellationToken).
//! 3. [`nats`]: the connection, with its settings and time limits.
//! 4. [`http`]: serve a router until stopped; `/livez` and `/readyz`.
//! 5. [`door`]: serve one that strangers call: TLS, how many may come in, how slow they may be.
//! 6. [`problem`]: errors of an HTTP API as RFC 9457 problem documents.
//! 7. [`tokens`]: who may call an HTTP API, and as what.
//! 8. [`metrics`]: what is counted, for Prometheus.
//! 9. [`backoff`]: how long to wait before trying again.

pub mod backoff;
pub mod door;
pub mod http;
pub mod metrics;
pub mod nats;
pub mod problem;
pub mod shutdown;
pub mod telemetry;
pub mod tokens;

pub use backoff::Backoff;
pub use problem::Problem;
