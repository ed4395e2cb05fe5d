//! The connection to NATS.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

/// Where NATS is and who we are there.
#[derive(Debug, Clone, Args)]
pub struct NatsArgs {
    /// The servers' URLs, with commas between them.
    #[arg(long, env = "NATS_URL", value_delimiter = ',', default_value = "nats://127.0.0.1:4222")]
    pub nats_url: Vec<String>,
    /// The NATS user, where the servers want one.
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

/// Connects, and goes on trying until a server answers; says so in the log. Reconnects by itself later.
///
/// # Errors
/// Only for what trying again cannot mend, such as a URL that is none.
pub async fn connect(args: &NatsArgs, name: &str) -> anyhow::Result<Client> {
    let mut options = ConnectOptions::new()
        .name(name)
        .request_timeout(Some(args.request_timeout()))
        .connection_timeout(Duration::from_secs(5))
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempt| Duration::from_millis(100 * u64::try_from(attempt).unwrap_or(20).min(20)))
        .retry_on_initial_connect()
        .event_callback(|event| async move { log_event(&event) });
    if let (Some(user), Some(password)) = (&args.nats_user, &args.nats_password) {
        options = options.user_and_password(user.clone(), password.expose_secret().to_owned());
    }
    Ok(options.connect(args.nats_url.clone()).await?)
}

fn log_event(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("NATS is not reachable; trying again"),
        Event::ServerError(error) => tracing::error!(%error, "NATS refused something"),
        Event::ClientError(error) => tracing::warn!(%error, "NATS connection"),
        Event::SlowConsumer(_) => tracing::error!(%event, "NATS dropped messages for us"),
        other => tracing::info!(event = %other, "NATS connection"),
    }
}
