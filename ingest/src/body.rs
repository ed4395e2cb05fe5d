//! A request's body, as it comes, from a client that may be slow and may not be endlessly so.

use std::{io, time::Duration};

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
};
use bytes::BytesMut;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use sluice_service::Problem;
use tokio::time::{Instant, timeout};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::byte_order_mark::BodyStart;

/// What a client has to keep up, beside the time it is given anyway. Only waiting for the client counts: while we hold it back
/// ourselves, it need not send.
const BYTES_PER_SECOND: u64 = 1_024;

/// How long the rest of a body is read that nobody wants. Less: clients see a broken connection instead of an answer. More: they are
/// served for nothing.
const DRAIN: Duration = Duration::from_secs(2);

/// How far back a body packed by zstd may refer, as a power of two: 8 MiB, what RFC 9659 wants every receiver to take. More: as much memory
/// for each request, at the client's wish.
const ZSTD_WINDOW_LOG: u32 = 23;

/// A body that is being received.
pub struct Incoming {
    data: BoxStream<'static, io::Result<Bytes>>,
    patience: Duration,
    waited: Duration,
    bytes: u64,
    start: BodyStart,
}

impl Incoming {
    /// A body, unpacked, whose client may keep us waiting for so long, and so much longer as what it has sent would take at 1 KiB/s.
    ///
    /// # Errors
    /// 415 where its `Content-Encoding` is not known.
    pub fn new(headers: &HeaderMap, body: Body, patience: Duration) -> Result<Self, Problem> {
        let data = body.into_data_stream().map_err(io::Error::other).boxed();
        let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
        let data = match encoding.as_deref() {
            None | Some(b"" | b"identity") => data,
            Some(b"gzip" | b"x-gzip") => {
                let mut unpacked = GzipDecoder::new(StreamReader::new(data));
                // Files that were packed one by one may be joined.
                unpacked.multiple_members(true);
                ReaderStream::new(unpacked).boxed()
            }
            Some(b"zstd") => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut unpacked = ZstdDecoder::with_params(StreamReader::new(data), &window);
                unpacked.multiple_members(true);
                ReaderStream::new(unpacked).boxed()
            }
            Some(_) => {
                let detail = "Content-Encoding may be gzip, zstd or identity";
                let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail);
                return Err(problem.at("header: Content-Encoding"));
            }
        };
        Ok(Self { data, patience, waited: Duration::ZERO, bytes: 0, start: BodyStart::Within(0) })
    }

    /// The next piece, without a byte order mark at the body's start; `None` at the end.
    ///
    /// # Errors
    /// 408 where the client is too slow; 400 where the body breaks off, or is not what its `Content-Encoding` says.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let piece = match self.receive().await? {
                Some(piece) => self.start.take(piece),
                None => return Ok(Some(self.start.end()).filter(|piece| !piece.is_empty())),
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, Problem> {
        let allowed = self.patience + Duration::from_millis(self.bytes.saturating_mul(1_000) / BYTES_PER_SECOND);
        let begun = Instant::now();
        let piece = timeout(allowed.saturating_sub(self.waited), self.data.next()).await;
        self.waited += begun.elapsed();
        match piece {
            Ok(Some(Ok(piece))) => {
                self.bytes += piece.len() as u64;
                Ok(Some(piece))
            }
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => {
                let detail = format!("the body cannot be read to its end: {}", chain(&error));
                Err(Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", detail))
            }
            Err(_) => {
                let detail = format!("{} bytes of the body came in {:.1} s", self.bytes, self.waited.as_secs_f64());
                let mut problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail);
                problem.retry_safe = true;
                Err(problem)
            }
        }
    }

    /// Reads on for a while and keeps nothing: a client that is still sending hears the answer only if its connection is not
    /// closed under it.
    pub async fn drain(&mut self) {
        let rest = async { while let Ok(Some(_)) = self.next().await {} };
        let _ = timeout(DRAIN, rest).await;
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`Incoming::next`], and 413 where there is more than `max`.
    pub async fn whole(mut self, max: usize) -> Result<Bytes, Problem> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let mut whole: Option<BytesMut> = None;
        let mut bytes = first.len();
        while bytes <= max {
            let Some(piece) = self.next().await? else { return Ok(whole.map_or(first, BytesMut::freeze)) };
            bytes += piece.len();
            whole.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&piece);
        }
        self.drain().await;
        let detail = format!("the body has more than {max} bytes");
        Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn body(pieces: &[&'static str], pause: Duration) -> Body {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes()))).collect();
        Body::from_stream(stream::iter(pieces).then(move |piece| async move {
            tokio::time::sleep(pause).await;
            piece
        }))
    }

    fn incoming(body: Body, patience: Duration) -> Incoming {
        Incoming::new(&HeaderMap::new(), body, patience).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_put_together_and_a_larger_one_refused() {
        let patience = Duration::from_secs(10);
        let whole = |max| incoming(body(&["ab", "cd", "e"], Duration::ZERO), patience).whole(max);
        assert_eq!(whole(5).await.unwrap(), "abcde");
        assert_eq!(whole(4).await.unwrap_err().status, 413);
        assert_eq!(incoming(Body::empty(), patience).whole(4).await.unwrap(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_order_mark_at_the_start_is_taken_off() {
        let whole = |pieces: &[&'static str]| incoming(body(pieces, Duration::ZERO), Duration::from_secs(10)).whole(9);
        assert_eq!(whole(&["\u{feff}ab", "\u{feff}c"]).await.unwrap(), "ab\u{feff}c");
        assert_eq!(whole(&["\u{feff}"]).await.unwrap(), "");
        assert_eq!(whole(&["", "\u{feff}", "", "a"]).await.unwrap(), "a");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_dawdles_is_given_up_and_one_that_keeps_up_is_not() {
        let patience = Duration::from_secs(10);
        let slow = incoming(body(&["x"; 20], Duration::from_secs(1)), patience).whole(100).await;
        assert_eq!(slow.unwrap_err().code, "body_timeout");
        const KIB: &str = match std::str::from_utf8(&[b'x'; 1_024]) {
            Ok(text) => text,
            Err(_) => unreachable!(),
        };
        let steady = incoming(body(&[KIB; 50], Duration::from_secs(1)), patience).whole(50 << 10).await;
        assert_eq!(steady.unwrap().len(), 50 << 10);
    }
}
