//! The door of a public HTTP service: TLS or not, how many may come in, and how slow they may be.
//!
//! With TLS it speaks HTTP/2 and HTTP/1.1, as each client likes best (ALPN); without, HTTP/1.1
//! alone.

mod connection;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, http::StatusCode};
use axum_server::{Handle, Server, tls_rustls::RustlsConfig};
use clap::{Args, builder::RangedU64ValueParser};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::connection::Watching;
use crate::Problem;

/// How long a TLS handshake may take.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// The most bytes of a request's head; also what a connection may buffer.
const HEAD_BYTES: u32 = 32 << 10;
/// Requests at once on one HTTP/2 connection; a client waits with more. Less: clients that share a
/// connection wait for each other. More: a single connection takes more of the places of
/// `--max-connections`.
const STREAMS: u32 = 128;
/// Bytes that an HTTP/2 client may send ahead of what is read, of a request and of a connection.
/// Less: uploads over long lines are slow. More: memory for each connection whose requests wait.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// How often an HTTP/2 client is asked whether it is there, and how long it may take to say so.
/// Less: clients on bad lines are cut off. More: a client that vanished without a word holds its
/// connection.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));
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
    /// The most connections at once; one more is closed unanswered. With TLS also the most requests
    /// under way in all of them together, as HTTP/2 has many on a connection; one more is answered
    /// 503. Too low: clients are turned away while there is room. Too high: each takes a file
    /// descriptor and some 20 KiB.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 8_192, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub max_connections: usize,
    /// How long a client may take over a request's head, and between two requests, in milliseconds;
    /// then its connection is closed, whether it speaks HTTP/1.1 or HTTP/2. Too low: kept
    /// connections are closed under clients that pause. Too high: slow clients hold connections.
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
                let server = axum_server::from_tcp_rustls(listener, tls)?.handle(handle);
                let mut server = server.map(|acceptor| {
                    Watching::new(acceptor.handshake_timeout(TLS_HANDSHAKE), self.header_timeout(), max)
                });
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
        let timer = hyper_util::rt::TokioTimer::new();
        let mut http1 = server.http_builder().http1();
        http1.timer(timer.clone()).header_read_timeout(self.header_timeout()).max_buf_size(HEAD_BYTES as usize);
        // How many requests a client may begin and take back is limited by hyper itself.
        let mut http2 = server.http_builder().http2();
        http2.timer(timer).max_concurrent_streams(STREAMS).max_header_list_size(HEAD_BYTES);
        http2.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        http2.keep_alive_interval(PING.0).keep_alive_timeout(PING.1);
    }

    fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    async fn tls(&self, shutdown: &CancellationToken) -> anyhow::Result<Option<RustlsConfig>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        // Another part of the process may have chosen the same one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = RustlsConfig::from_pem_file(certificate, key).await;
        let config = config.with_context(|| format!("cannot use {} with {}", certificate.display(), key.display()))?;
        offer_protocols(&config);
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
                    Ok(()) => {
                        offer_protocols(&reloaded);
                        tracing::info!(?certificate, "the certificate was read anew");
                    }
                    Err(error) => tracing::error!(%error, ?certificate, "the former certificate stays in force"),
                }
            }
        });
        Ok(Some(config))
    }
}

/// Lets clients choose HTTP/2 or HTTP/1.1, or HTTP/1.0 where they know nothing newer: whoever asks
/// for what is not offered is not let in.
fn offer_protocols(config: &RustlsConfig) {
    let mut offering = rustls::ServerConfig::clone(&config.get_inner());
    offering.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"].map(<[u8]>::to_vec).into();
    config.reload_from_config(Arc::new(offering));
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
