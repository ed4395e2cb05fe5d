//! Logs go to standard error: standard output belongs to a command's report.
//!
//! Colours are for terminals alone. Where the reader of the log has gone away, the process works on
//! without one.

use std::io::{IsTerminal, Write};

use anyhow::Context;
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
    let filter = EnvFilter::try_new(filter(&args.log)).context("--log (RUST_LOG)")?;
    let colours = are_colours_wanted(std::io::stderr().is_terminal(), |name| std::env::var(name).ok());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        // It would tell standard error that standard error cannot be written to, and panic.
        .log_internal_errors(false)
        .with_writer(|| Patient(std::io::stderr()));
    let started = match args.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|e| anyhow::anyhow!(e))
}

/// Returns the filter, where it says `info`, without what the NATS client says at that level: we
/// say each of its events ourselves, with address and reason.
fn filter(log: &str) -> String {
    let is_info = log.split(',').any(|directive| directive.trim().eq_ignore_ascii_case("info"));
    if is_info && !log.contains("async_nats") { format!("{log},async_nats=warn") } else { log.to_owned() }
}

/// Whether to colour a log. `variable` reads the environment; see <https://no-color.org>.
fn are_colours_wanted(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let forbidden = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !forbidden && variable("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// A writer of log lines that takes what cannot be written for written: nobody reads it.
struct Patient<W>(W);

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

/// Starts logging in a test: a failing test shows its log, a passing one does not. May be called by every test.
pub fn init_for_test() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // A second test of the same process finds it started: that is what is wanted.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nats_client_does_not_say_a_second_time_what_we_say() {
        assert_eq!(filter("info"), "info,async_nats=warn");
        for as_it_is in ["error", "debug", "info,async_nats=debug", "writer=info"] {
            assert_eq!(filter(as_it_is), as_it_is);
        }
    }

    #[test]
    fn a_log_is_coloured_on_a_terminal_alone_and_not_where_the_user_forbids_it() {
        let with = |is_terminal: bool, name: &'static str, value: &'static str| {
            are_colours_wanted(is_terminal, |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(with(true, "TERM", "xterm") && with(true, "NO_COLOR", ""));
        assert!(!with(true, "NO_COLOR", "1") && !with(true, "TERM", "dumb") && !with(false, "TERM", "xterm"));
    }
}
