//! One TLS connection: closed once it is idle for too long, whichever protocol it speaks, and its
//! requests counted among all.
//!
//! HTTP/1.1 has one request at a time on a connection, and hyper limits the time between two. Over
//! HTTP/2 there are many at once, and hyper has no such limit: a client could hold a connection for
//! ever, or begin more requests than there is memory for.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    response::{IntoResponse, Response},
};
use axum_server::accept::Accept;
use http_body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use tower::Service;

use super::busy;

/// Accepts connections as `A` does, and watches them.
#[derive(Debug, Clone)]
pub(super) struct Watching<A> {
    inner: A,
    idle: Duration,
    requests: Arc<Semaphore>,
}

impl<A> Watching<A> {
    /// A connection may be idle for so long; so many requests may be under way in all connections
    /// together.
    pub(super) fn new(inner: A, idle: Duration, requests: usize) -> Self {
        Self { inner, idle, requests: Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS))) }
    }
}

type Accepting<T, S> = Pin<Box<dyn Future<Output = io::Result<(Watched<T>, Counted<S>)>> + Send>>;

impl<A, I, S> Accept<I, S> for Watching<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = Watched<A::Stream>;
    type Service = Counted<A::Service>;
    type Future = Accepting<A::Stream, A::Service>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let (accepting, idle, requests) = (self.inner.accept(stream, service), self.idle, Arc::clone(&self.requests));
        Box::pin(async move {
            let (inner, service) = accepting.await?;
            let activity = Arc::new(Activity::new());
            let stream =
                Watched { inner, idle, activity: Arc::clone(&activity), look: Box::pin(tokio::time::sleep(idle)) };
            Ok((stream, Counted { inner: service, activity, requests }))
        })
    }
}

/// What a connection is doing.
#[derive(Debug)]
struct Activity(Mutex<(usize, Instant)>);

impl Activity {
    fn new() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut state = self.0.lock().expect("no holder of this lock panics");
        *state = (change(state.0), Instant::now());
    }

    /// When it will have been idle for so long; while a request is under way, so long from now.
    fn idle_at(&self, idle: Duration) -> Instant {
        let (under_way, since) = *self.0.lock().expect("no holder of this lock panics");
        if under_way == 0 { since + idle } else { Instant::now() + idle }
    }
}

/// A connection that ends, as if the client had closed it, once it is idle for too long.
pub(super) struct Watched<T> {
    inner: T,
    idle: Duration,
    activity: Arc<Activity>,
    look: Pin<Box<Sleep>>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, buffer) {
            return Poll::Ready(read);
        }
        loop {
            ready!(self.look.as_mut().poll(cx));
            let at = self.activity.idle_at(self.idle);
            if at <= Instant::now() {
                return Poll::Ready(Ok(()));
            }
            self.look.as_mut().reset(at);
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// A service whose requests count as activity of their connection, and among the requests of all
/// connections.
#[derive(Debug, Clone)]
pub(super) struct Counted<S> {
    inner: S,
    activity: Arc<Activity>,
    requests: Arc<Semaphore>,
}

/// A request under way, until its answer is sent.
struct UnderWay {
    activity: Arc<Activity>,
    _place: OwnedSemaphorePermit,
}

impl UnderWay {
    fn begin(activity: &Arc<Activity>, place: OwnedSemaphorePermit) -> Self {
        activity.change(|under_way| under_way + 1);
        Self { activity: Arc::clone(activity), _place: place }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.activity.change(|under_way| under_way.saturating_sub(1));
    }
}

impl<S, R> Service<R> for Counted<S>
where
    S: Service<R, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let Ok(place) = Arc::clone(&self.requests).try_acquire_owned() else {
            let problem = busy("as many requests are under way as may be; nothing was published");
            return Box::pin(std::future::ready(Ok(problem.into_response())));
        };
        let under_way = UnderWay::begin(&self.activity, place);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            Ok(response.map(|inner| Body::new(Answer { inner, _under_way: under_way })))
        })
    }
}

/// An answer's body, whose request is under way until it is sent or dropped.
struct Answer {
    inner: Body,
    _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    /// What an acceptor makes of a connection: its two ends, and the service behind it.
    async fn connection<S: Send + 'static>(
        watching: &Watching<NoTls>,
        service: S,
    ) -> (DuplexStream, Watched<DuplexStream>, Counted<S>) {
        let (client, server) = duplex(64);
        let (server, service) = watching.accept(server, service).await.unwrap();
        (client, server, service)
    }

    #[derive(Debug, Clone)]
    struct NoTls;

    impl<I, S> Accept<I, S> for NoTls {
        type Stream = I;
        type Service = S;
        type Future = std::future::Ready<io::Result<(I, S)>>;

        fn accept(&self, stream: I, service: S) -> Self::Future {
            std::future::ready(Ok((stream, service)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_and_one_with_a_request_under_way_does_not() {
        let watching = Watching::new(NoTls, IDLE, 10);
        let (mut client, mut server, mut service) =
            connection(&watching, tower::service_fn(|()| async { Ok::<_, Infallible>("done".into_response()) })).await;
        let begun = Instant::now();
        // Bytes alone are no activity: a client may not hold a connection by pings.
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
        tokio::time::sleep(IDLE / 2).await;
        let response = service.call(()).await.unwrap();
        let read = tokio::time::timeout(10 * IDLE, server.read_u8()).await;
        assert!(read.is_err(), "a request is under way until its answer is sent");
        drop(response);
        let ended = server.read_u8().await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
        let idle = begun.elapsed();
        assert!(idle > 11 * IDLE && idle < 13 * IDLE, "{idle:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_any_request_ends() {
        let watching = Watching::new(NoTls, IDLE, 10);
        let (_client, mut server, _service) = connection(&watching, ()).await;
        let begun = Instant::now();
        assert!(server.read_u8().await.is_err() && begun.elapsed() < 2 * IDLE);
    }

    #[tokio::test]
    async fn beyond_the_most_requests_of_all_connections_one_more_is_told_to_come_back() {
        let watching = Watching::new(NoTls, IDLE, 2);
        let service = tower::service_fn(|()| async { Ok::<_, Infallible>("done".into_response()) });
        let (_a, _b, mut one) = connection(&watching, service).await;
        let (_c, _d, mut other) = connection(&watching, service).await;
        let first = one.call(()).await.unwrap();
        assert_eq!(first.body().size_hint().exact(), Some(4), "its length is still known");
        let second = other.call(()).await.unwrap();
        let third = one.call(()).await.unwrap();
        assert_eq!((second.status().as_u16(), third.status().as_u16()), (200, 503));
        drop(first);
        assert_eq!(other.call(()).await.unwrap().status().as_u16(), 200);
    }
}
