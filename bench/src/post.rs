//! An HTTP client that costs next to nothing, so that it is the server that is measured: requests that were put together before, on
//! connections that stay open, one at a time on each.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::{Buf, BytesMut};
use futures::future::try_join_all;
use sluice_model::CustomerId;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Whole requests, as they go over the network.
pub type Requests = Arc<Vec<Vec<u8>>>;

/// `POST /person/<customer>` with this body.
pub fn request(address: SocketAddr, customer: &CustomerId, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /person/{customer} HTTP/1.1\r\nHost: {address}\r\nX-Customer-ID: {customer}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Posted {
    /// Requests that were answered with success.
    pub requests: u64,
    /// How long it took.
    pub time: Duration,
}

impl Posted {
    /// Requests a second.
    #[allow(clippy::cast_precision_loss, reason = "a count of requests is far below 2^53")]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }
}

/// Sends the requests again and again for that time, over so many connections.
///
/// # Errors
/// Where one is answered by anything but success.
pub async fn post(
    address: SocketAddr,
    requests: &Requests,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Posted> {
    let begun = Instant::now();
    let tasks = (0..connections).map(|first| {
        let requests = Arc::clone(requests);
        let task = tokio::spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut sent = 0;
            // Each connection begins elsewhere, and meets all requests.
            for request in requests.iter().cycle().skip(first * requests.len() / connections) {
                if begun.elapsed() >= time {
                    break;
                }
                connection.exchange(request).await?;
                sent += 1;
            }
            anyhow::Ok(sent)
        });
        async move { task.await? }
    });
    let sent: Vec<u64> = try_join_all(tasks).await?;
    Ok(Posted { requests: sent.iter().sum(), time: begun.elapsed() })
}

struct Connection {
    stream: TcpStream,
    unread: BytesMut,
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: BytesMut::with_capacity(4_096) })
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        loop {
            if let Some((status, bytes)) = answer(&self.unread)? {
                if !(200..300).contains(&status) {
                    bail!("{status}: {}", String::from_utf8_lossy(&self.unread[..bytes]));
                }
                self.unread.advance(bytes);
                return Ok(());
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                bail!("the server closed the connection in the middle of an answer");
            }
        }
    }
}

/// The status and the length of an answer, once it is whole.
fn answer(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = std::str::from_utf8(length.context("an answer without a length")?.value)?.parse()?;
    let status = response.code.context("a head that is whole has a status")?;
    Ok((bytes.len() >= head + length).then_some((status, head + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let whole = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nabcHTTP";
        assert_eq!(answer(whole).unwrap(), Some((202, whole.len() - 4)));
        assert_eq!(answer(&whole[..whole.len() - 5]).unwrap(), None);
        assert_eq!(answer(&whole[..20]).unwrap(), None);
        assert!(answer(b"HTTP/1.1 202 Accepted\r\n\r\n").is_err() && answer(b"nonsense\r\n\r\n").is_err());
    }
}
