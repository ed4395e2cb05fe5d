//! What everybody has: curl and Python, each way that they choose a protocol, at every listener.

use sluice_testbed::{Fleet, tool};
use tokio::process::Command;

use super::{ADA, TlsIngest, door};
use crate::all_rows;

/// What curl says of its request: the protocol's version and the status.
async fn curl(args: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*", "--output", "/dev/null"]);
    command.args(["--write-out", "%{http_version} %{http_code}"]).args(args);
    let done = tool::output(&mut command).await.unwrap();
    assert!(done.status.success(), "curl {args:?}: {:?}", done.status);
    done.stdout
}

/// Posts through Python's own client, which knows HTTP/1.1 alone; `protocols` is what it offers
/// (ALPN), if it offers anything.
const PYTHON: &str = r#"
import http.client, json, ssl, sys
host, port, certificate, protocols, body = sys.argv[1:]
if certificate:
    context = ssl.create_default_context(cafile=certificate)
    # The certificate is a test's own, and lacks what newer versions of Python want of an authority's.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if protocols:
        context.set_alpn_protocols(protocols.split(","))
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=30)
else:
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
for _ in range(2):
    connection.request("POST" if body else "GET", "/person/1" if body else "/readyz", body or None)
    answer = connection.getresponse()
    print(answer.status)
    answer.read()
"#;

async fn python(args: [&str; 5]) -> String {
    let mut command = Command::new("python3");
    let done = tool::output(command.args(["-c", PYTHON]).args(args)).await.unwrap();
    assert!(done.status.success(), "python {args:?}");
    done.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_client_that_can_speak_http_2_or_cannot_is_served_over_tls() {
    let fleet = door(&[]).await;
    let ingest = TlsIngest::start(&fleet, &[]).await;
    let (url, certificate) = (format!("{}/person/1", ingest.url()), ingest.certificate.to_str().unwrap());
    let post = async |options: &[&str]| {
        let args = [&["--cacert", certificate, "--data", ADA], options, &[&url]].concat();
        curl(&args).await
    };
    // As curl chooses by itself where it can speak both: HTTP/2.
    assert_eq!(post(&[]).await, "2 202");
    assert_eq!(post(&["--http2"]).await, "2 202");
    assert_eq!(post(&["--http1.1"]).await, "1.1 202");
    assert_eq!(post(&["--no-alpn"]).await, "1.1 202");
    // A server that is asked in HTTP/1.0 may answer in that.
    assert!(post(&["--http1.0"]).await.starts_with("1"));
    assert_eq!(post(&["--http2-prior-knowledge"]).await, "2 202");
    let port = ingest.port.to_string();
    for protocols in ["", "http/1.1"] {
        assert_eq!(python(["localhost", &port, certificate, protocols, ADA]).await, "202 202", "{protocols:?}");
    }

    let lines = fleet.folder().join("people.ndjson");
    std::fs::write(&lines, format!("{ADA}\n").repeat(50_000)).unwrap();
    let body = format!("@{}", lines.display());
    for version in ["--http2", "--http1.1"] {
        let upload =
            ["--cacert", certificate, "--header", "Content-Type: application/x-ndjson", "--data-binary", &body];
        let answer = curl(&[&upload[..], &[version, &url]].concat()).await;
        assert!(answer.ends_with(" 202"), "{version}: {answer}");
    }
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 6 + 4 + 2 * 50_000);
}

/// The listeners without TLS: ingest's, the directory's and the writer's.
fn plain_listeners(fleet: &Fleet) -> [String; 3] {
    [fleet.ingest_url(), fleet.directory_url(), fleet.writer_url(0)]
}

#[tokio::test]
async fn every_client_is_served_by_each_listener_without_tls() {
    let fleet = door(&[]).await;
    for listener in plain_listeners(&fleet) {
        let url = format!("{listener}/readyz");
        // Asked to change to HTTP/2 (`--http2` without TLS), they stay with HTTP/1.1.
        for version in ["--http1.1", "--http1.0", "--http2"] {
            let answer = curl(&[version, &url]).await;
            assert!(answer.starts_with('1') && answer.ends_with(" 200"), "{listener} {version}: {answer}");
        }
        let address = listener.trim_start_matches("http://");
        let (host, port) = address.split_once(':').unwrap();
        assert_eq!(python([host, port, "", "", ""]).await, "200 200", "{listener}");
    }
}
