//! HTTPS, by clients that share no code with us and by one that dawdles.

mod clients;
mod two;

use std::{path::PathBuf, sync::Arc};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use sluice_testbed::{Fleet, NatsUser};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{ADA, door};
use crate::{LIMIT, all_rows};

/// A second ingest of a fleet, with a certificate. It ends with this.
struct TlsIngest {
    process: Child,
    port: u16,
    /// What its clients trust.
    certificate: PathBuf,
    roots: RootCertStore,
}

impl TlsIngest {
    async fn start(fleet: &Fleet, args: &[&str]) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (fleet.folder().join("cert.pem"), fleet.folder().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(fleet.program("ingest"));
        command.args(["--listen", &format!("127.0.0.1:{port}")]).args(args);
        command.arg("--tls-cert").arg(&certificate).arg("--tls-key").arg(&key);
        fleet.login(NatsUser::Ingest).give_to(&mut command);
        let process = command.kill_on_drop(true).spawn().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let ingest = Self { process, port, certificate, roots };
        let ready = async || {
            ingest
                .raw("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                .await
                .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        };
        sluice_testbed::wait::until("ingest with TLS", LIMIT, ready).await.unwrap();
        ingest
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A connection whose client offers these protocols (ALPN); without any it does not ask.
    async fn connect(&self, protocols: &[&str]) -> Option<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.ok()
    }

    /// What a text is answered, to the end of the connection.
    async fn raw(&self, request: &str) -> Option<String> {
        let mut stream = self.connect(&[]).await?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }
}

#[tokio::test]
async fn with_a_certificate_ingest_speaks_https_alone() {
    let fleet = door(&[]).await;
    let mut ingest = TlsIngest::start(&fleet, &[]).await;
    let request = format!(
        "POST /person/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{ADA}",
        ADA.len()
    );
    let answer = ingest.raw(&request).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    // In the clear there is no answer.
    let mut plain = TcpStream::connect(("127.0.0.1", ingest.port)).await.unwrap();
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
    ingest.process.kill().await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 1);
}
