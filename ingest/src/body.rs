//! A request's body, as it comes, from a client that may be slow and may not be endlessly so.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream, Bytes},
    http::StatusCode,
};
use bytes::BytesMut;
use futures::StreamExt;
use sluice_service::Problem;
use tokio::time::{Instant, timeout};

/// What a client has to keep up, beside the time it is given anyway. Only waiting for the client counts: while we hold it back
/// ourselves, it need not send.
const BYTES_PER_SECOND: u64 = 1_024;

/// How long the rest of a body is read that nobody wants. Less: clients see a broken connection instead of an answer. More: they are
/// served for nothing.
const DRAIN: Duration = Duration::from_secs(2);

/// A body that is being received.
pub struct Incoming {
    data: BodyDataStream,
    patience: Duration,
    waited: Duration,
    bytes: u64,
}

impl Incoming {
    /// A body whose client may keep us waiting for so long, and so much longer as what it has sent would take at 1 KiB/s.
    pub fn new(body: Body, patience: Duration) -> Self {
        Self { data: body.into_data_stream(), patience, waited: Duration::ZERO, bytes: 0 }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// 408 where the client is too slow; 400 where the body breaks off, or is not what its `Content-Encoding` says.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
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

    #[tokio::test(start_paused = true)]
    async fn a_body_is_put_together_and_a_larger_one_refused() {
        let patience = Duration::from_secs(10);
        let whole = |max| Incoming::new(body(&["ab", "cd", "e"], Duration::ZERO), patience).whole(max);
        assert_eq!(whole(5).await.unwrap(), "abcde");
        assert_eq!(whole(4).await.unwrap_err().status, 413);
        assert_eq!(Incoming::new(Body::empty(), patience).whole(4).await.unwrap(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_dawdles_is_given_up_and_one_that_keeps_up_is_not() {
        let patience = Duration::from_secs(10);
        let slow = Incoming::new(body(&["x"; 20], Duration::from_secs(1)), patience).whole(100).await;
        assert_eq!(slow.unwrap_err().code, "body_timeout");
        const KIB: &str = match std::str::from_utf8(&[b'x'; 1_024]) {
            Ok(text) => text,
            Err(_) => unreachable!(),
        };
        let steady = Incoming::new(body(&[KIB; 50], Duration::from_secs(1)), patience).whole(50 << 10).await;
        assert_eq!(steady.unwrap().len(), 50 << 10);
    }
}
