//! The door of a public HTTP service: TLS or not, how many may come in, and how slow they may be.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, http::StatusCode};
use axum_server::{Handle, Server, tls_rustls::RustlsConfig};
use clap::{Args, builder::RangedU64ValueParser};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Problem;

/// How long a TLS handshake may take.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// The most bytes of a request's head; also what a connection may buffer.
const HEAD_BYTES: usize = 32 << 10;
/// How often the certificate's files are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(60);

/// Who comes in, and how.
#[derive(Debug, Clone, Args)]
pub struct DoorArgs {
    /// The server's certificate chain, PEM; with it and --tls-key the service speaks HTTPS alone. Looked at every minute, and
    /// taken up when it changes.
    #[arg(long, env = "TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, env = "TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Listen without TLS on an address that others can reach: somebody else (a proxy, a mesh, a container's network) keeps what
    /// is said from being overheard.
    #[arg(long, env = "PLAINTEXT")]
    pub plaintext: bool,
    /// The most connections at once; one more is closed unanswered. Too low: clients are turned away while there is
    /// room. Too high: each takes a file descriptor and some 20 KiB.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 8_192, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub max_connections: usize,
    /// How long a client may take over a request's head, and between two requests, in milliseconds; then its connection is closed.
    /// Too low: kept connections are closed under clients that pause. Too high: slow clients hold connections.
    #[arg(long, env = "HEADER_TIMEOUT_MS", default_value_t = 30_000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub header_timeout_ms: u64,
    /// How long, after a stop, requests under way may take to end, in milliseconds. Too low: answers are lost. Too high: one
    /// slow client keeps the process from ending.
    #[arg(long, env = "GRACE_MS", default_value_t = 10_000)]
    pub grace_ms: u64,
}

impl DoorArgs {
    /// Refuses to speak in the clear where others could listen, unless that is wanted.
    ///
    /// # Errors
    /// Says what to do.
    pub fn check(&self, listen: SocketAddr) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.tls_cert.is_some() || self.plaintext || listen.ip().is_loopback(),
            "{listen} can be reached by others, who could read along: give --tls-cert and --tls-key, or, where something else \
             protects the way there, --plaintext"
        );
        Ok(())
    }

    /// Serves until `shutdown`; then takes no more, and returns once every request under way is answered, or the grace is over.
    ///
    /// # Errors
    /// Where the certificate cannot be read, or the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        router: Router,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let handle = Handle::new();
        let (stop, grace) = (handle.clone(), Duration::from_millis(self.grace_ms));
        let watch = shutdown.clone();
        tokio::spawn(async move {
            watch.cancelled().await;
            stop.graceful_shutdown(Some(grace));
        });
        let connections = handle.clone();
        let max = self.max_connections;
        // The count is that of the connections before this one.
        let room = tower::service_fn(move |_| {
            let router = (connections.connection_count() < max).then(|| router.clone());
            async move { router.ok_or(Crowded) }
        });
        let listener = listener.into_std()?;
        match self.tls(&shutdown).await? {
            Some(tls) => {
                let server = axum_server::from_tcp_rustls(listener, tls)?;
                let mut server =
                    server.map(|acceptor| acceptor.handshake_timeout(TLS_HANDSHAKE)).handle(handle).http1_only();
                self.limit(&mut server);
                server.serve(room).await?;
            }
            None => {
                let mut server = axum_server::from_tcp(listener)?.handle(handle).http1_only();
                self.limit(&mut server);
                server.serve(room).await?;
            }
        }
        Ok(())
    }

    fn limit<A: axum_server::Address, Acceptor>(&self, server: &mut Server<A, Acceptor>) {
        let limit = Duration::from_millis(self.header_timeout_ms);
        let timer = hyper_util::rt::TokioTimer::new();
        server.http_builder().http1().timer(timer).header_read_timeout(limit).max_buf_size(HEAD_BYTES);
    }

    async fn tls(&self, shutdown: &CancellationToken) -> anyhow::Result<Option<RustlsConfig>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        // Another part of the process may have chosen the same one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = RustlsConfig::from_pem_file(certificate, key).await;
        let config = config.with_context(|| format!("cannot use {} with {}", certificate.display(), key.display()))?;
        let (reloaded, shutdown) = (config.clone(), shutdown.clone());
        let (certificate, key) = (Arc::new(certificate.clone()), Arc::new(key.clone()));
        tokio::spawn(async move {
            let modified = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
            let mut known = (modified(&certificate), modified(&key));
            while !crate::shutdown::cancelled_within(&shutdown, CERTIFICATE_LOOK).await {
                let now = (modified(&certificate), modified(&key));
                if now == known {
                    continue;
                }
                known = now;
                match reloaded.reload_from_pem_file(certificate.as_ref(), key.as_ref()).await {
                    Ok(()) => tracing::info!(?certificate, "the certificate was read anew"),
                    Err(error) => tracing::error!(%error, ?certificate, "the former certificate stays in force"),
                }
            }
        });
        Ok(Some(config))
    }
}

/// There is no room for another connection.
#[derive(Debug, thiserror::Error)]
#[error("there are as many connections as there may be")]
struct Crowded;

/// What a service answers that has as much to do as it may have.
pub fn busy(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(1)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        door: DoorArgs,
    }

    fn door(line: &str) -> DoorArgs {
        Program::parse_from(["program"].into_iter().chain(line.split_whitespace())).door
    }

    #[test]
    fn nobody_listens_in_the_clear_where_others_are_unless_it_is_said() {
        let (near, far) = ("127.0.0.1:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        assert!(door("").check(near).is_ok());
        assert!(door("").check("[::1]:0".parse().unwrap()).is_ok());
        assert!(door("").check(far).unwrap_err().to_string().contains("--plaintext"));
        assert!(door("--plaintext").check(far).is_ok());
        assert!(door("--tls-cert c --tls-key k").check(far).is_ok());
        assert!(Program::try_parse_from(["program", "--tls-cert", "c"]).is_err());
    }
}
