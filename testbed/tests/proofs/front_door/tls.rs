//! HTTPS.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use sluice_testbed::NatsUser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{ADA, door};
use crate::{LIMIT, all_rows};

#[tokio::test]
async fn with_a_certificate_ingest_speaks_https_alone() {
    let fleet = door(&[]).await;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (fleet.folder().join("cert.pem"), fleet.folder().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = tokio::process::Command::new(fleet.program("ingest"));
    command
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .arg("--tls-cert")
        .arg(&certificate)
        .arg("--tls-key")
        .arg(&key);
    fleet.login(NatsUser::Ingest).give_to(&mut command);
    let mut ingest = command.kill_on_drop(true).spawn().unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let request = format!(
        "POST /person/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{ADA}",
        ADA.len()
    );
    let post = async || {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    let accepted = async || post().await.is_some_and(|answer| answer.starts_with("HTTP/1.1 202"));
    sluice_testbed::wait::until("a post over TLS", LIMIT, accepted).await.unwrap();
    // In the clear there is no answer.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
    ingest.kill().await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 1);
}
