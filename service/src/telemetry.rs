//! Logs go to standard error: standard output belongs to a command's report.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How a process logs.
#[derive(Debug, Clone, Args)]
pub struct TelemetryArgs {
    /// How log lines look: text for people, json for a log collector.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged, in tracing-subscriber's filter syntax. Too much (trace) costs throughput; too little (error)
    /// hides lanes that retry.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line an entry.
    Text,
    /// One JSON object an entry.
    Json,
}

/// Starts logging for this process.
///
/// # Errors
/// Where the filter cannot be read, or logging was started before.
pub fn init(args: &TelemetryArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match args.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|e| anyhow::anyhow!(e))
}

/// Starts logging in a test: a failing test shows its log, a passing one does not. May be called by every test.
pub fn init_for_test() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A second test of the same process finds it started: that is what is wanted.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}
