//! The connection to NATS.

pub mod disk_sync;
pub mod refused;
mod waiting;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use async_nats::{Client, ClientError, ConnectOptions, Event, ServerError};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use waiting::Waiting;

/// Where NATS is and who we are there.
#[derive(Debug, Clone, Args)]
pub struct NatsArgs {
    /// The servers' URLs, with commas between them. Of a cluster name all: any of them may be away when a process starts.
    #[arg(long, env = "NATS_URL", value_delimiter = ',', default_value = "nats://127.0.0.1:4222")]
    pub nats_url: Vec<String>,
    /// The NATS user, where the servers want one. Answers come to subjects below `_INBOX_<user>`, which the user has to have leave for.
    #[arg(long, env = "NATS_USER", requires = "nats_password")]
    pub nats_user: Option<String>,
    /// The NATS user's password; better given by the environment than on a command line that others can list.
    #[arg(long, env = "NATS_PASSWORD", hide_env_values = true)]
    pub nats_password: Option<SecretString>,
    /// How long a request to NATS may take, in milliseconds. Too low: a busy server's late answers count as unknown
    /// outcomes. Too high: callers wait that long for a server that is gone.
    #[arg(long, env = "NATS_REQUEST_TIMEOUT_MS", default_value_t = 5_000)]
    pub nats_request_timeout_ms: u64,
}

impl NatsArgs {
    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.nats_request_timeout_ms)
    }
}

/// How long a server may take to greet us. Lower: a busy server is taken for dead. Higher: where one of several servers hangs, so
/// long goes by before the next one is tried.
const GREETING: Duration = Duration::from_secs(2);
/// How often the server is asked whether it is there; two questions without an answer, and it is left at the third: a server that
/// hangs, or has vanished without a word, is left after 6 to 9 s. One that dies is left at once. Lower: a busy server is taken
/// for dead. Higher: publishes go to nobody for that long, and their outcomes are unknown.
const PING: Duration = Duration::from_secs(3);

/// Connects to one of the servers, and goes on trying until one answers; says so in the log. Reconnects by itself later: to
/// any of those named, and those which they name; the ones that failed most come last.
///
/// # Errors
/// Only for what trying again cannot mend, such as a URL that is none.
pub async fn connect(args: &NatsArgs, name: &str) -> anyhow::Result<Client> {
    let waiting = Arc::new(Waiting::default());
    let events = Arc::clone(&waiting);
    let options = ConnectOptions::new()
        .name(name)
        .request_timeout(Some(args.request_timeout()))
        .connection_timeout(GREETING)
        .ping_interval(PING)
        .reconnect_delay_callback(|attempt| Duration::from_millis(100 * u64::try_from(attempt).unwrap_or(20).min(20)))
        .retry_on_initial_connect()
        // It chooses no server; it is where the client tells why it is not connected.
        .reconnect_to_server_callback(move |servers, _| {
            waiting.next_round(&servers);
            std::future::ready(None)
        })
        .event_callback(move |event| {
            if event == Event::Connected {
                events.is_over();
            }
            async move { log_event(&event) }
        });
    let options = match (&args.nats_user, &args.nats_password) {
        (Some(user), Some(password)) => as_user(options, user, password),
        _ => options,
    };
    options.connect(args.nats_url.clone()).await.context("cannot use NATS_URL (--nats-url)")
}

/// Connects as that user, and hears answers at subjects of its own: where each user may hear only those, nobody hears another's.
pub fn as_user(options: ConnectOptions, user: &str, password: &SecretString) -> ConnectOptions {
    let options = options.user_and_password(user.to_owned(), password.expose_secret().to_owned());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    // Another name could not stand in a subject; such a user has to have leave for the client's own `_INBOX.>`.
    if user.chars().all(is_plain) { options.custom_inbox_prefix(format!("_INBOX_{user}")) } else { options }
}

fn log_event(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("NATS is not reachable; trying again"),
        Event::ServerError(ServerError::AuthorizationViolation) => log_stranger(),
        Event::ServerError(error) => match refused::note(&error.to_string()) {
            Some(refused) => tracing::error!(subject = refused.subject, "{refused}"),
            None => tracing::error!(%error, "NATS refused something"),
        },
        // A connection that does not come about: told of with the address and the reason.
        Event::ClientError(ClientError::Other(error)) => tracing::debug!(error, "NATS connection"),
        Event::ClientError(error) => tracing::warn!(%error, "NATS connection"),
        Event::SlowConsumer(_) => tracing::error!(%event, "NATS dropped messages for us"),
        other => tracing::info!(event = %other, "NATS connection"),
    }
}

fn log_stranger() {
    tracing::error!("NATS refuses this user or its password (NATS_USER, NATS_PASSWORD); trying again");
}
