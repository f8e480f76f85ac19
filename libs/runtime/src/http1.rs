//! HTTP/1.1 for the edge and the ops port. Proxies in front of both speak it to the services behind them.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use metrics::Histogram;
use outeract_rpc::accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

/// Bounds of an HTTP/1.1 listener.
#[derive(Debug, Clone)]
pub(crate) struct Http1 {
    /// Connections at once.
    pub(crate) connections: usize,
    /// From the first byte of a request to the end of its head, and from connecting to the first byte.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// How long a connection without a request may stay once the listener drains.
    pub(crate) drain_idle: Duration,
}

/// What one connection does.
#[derive(Debug, Default)]
struct Activity {
    bytes: AtomicU64,
    /// Of them, those read when the last request had been answered: what came since belongs to the next one's head.
    settled: AtomicU64,
    requests: AtomicU64,
    busy: AtomicUsize,
}

/// A stream that counts what it reads.
struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

/// A request under way; ends with the response's last byte handed to hyper.
struct Busy(Arc<Activity>);

/// A response's body that keeps its connection busy.
struct BusyBody {
    body: Body,
    _busy: Busy,
}

const TICK: Duration = Duration::from_millis(250);
/// Heads above this are refused with 431.
const HEAD_BYTES: usize = 64 * 1_024;
const HEADERS: usize = 64;

// === impl Http1 ===

impl Http1 {
    /// For requests from outside.
    pub(crate) fn edge() -> Self {
        Self {
            connections: 4_096,
            head: Duration::from_secs(5),
            // Longer than proxies keep theirs, so that they close first and never send into a closing connection.
            idle: Duration::from_secs(90),
            drain_idle: Duration::from_secs(1),
        }
    }

    /// For the ops port.
    pub(crate) fn ops() -> Self {
        Self {
            connections: 64,
            ..Self::edge()
        }
    }

    /// Serves `router` until the drain, then lets requests under way finish. Dropped before, it closes all connections.
    pub(crate) async fn serve(self, listener: TcpListener, router: Router, drain: CancellationToken) {
        let most = self.connections;
        let router = router.with_state(());
        accept(listener, most, drain.clone(), move |stream| {
            self.clone().serve_connection(stream, router.clone(), drain.clone())
        })
        .await;
    }

    async fn serve_connection(self, stream: TcpStream, router: Router, drain: CancellationToken) {
        let activity = Arc::new(Activity::default());
        let io = Watched {
            stream,
            activity: Arc::clone(&activity),
        };
        let service = {
            let activity = Arc::clone(&activity);
            service_fn(move |request| answer(router.clone(), request, Busy::new(&activity)))
        };
        let connection = http1::Builder::new()
            // Heads are timed below: hyper's own timer also runs between requests.
            .header_read_timeout(None)
            .max_header_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.outstayed(&activity) => return,
            () = drain.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            _ = connection => {}
            () = activity.idle_for(self.drain_idle) => {}
        }
    }

    /// Returns when the connection has taken too long over a request's head, or too long between requests.
    async fn outstayed(&self, activity: &Activity) {
        let mut requests = 0;
        let mut since = Instant::now();
        let mut partial: Option<Instant> = None;
        loop {
            tokio::time::sleep(TICK).await;
            let now = activity.requests.load(Ordering::Relaxed);
            if activity.busy.load(Ordering::Relaxed) > 0 || now != requests {
                (requests, since, partial) = (now, Instant::now(), None);
            } else if activity.has_unanswered_bytes() {
                partial.get_or_insert_with(Instant::now);
            }
            let late = partial.is_some_and(|began| began.elapsed() > self.head);
            let rest = if requests == 0 { self.head } else { self.idle };
            if late || since.elapsed() > rest {
                return;
            }
        }
    }
}

async fn answer(mut router: Router, request: Request<Incoming>, busy: Busy) -> Result<Response<BusyBody>, Infallible> {
    let started = Instant::now();
    let answered = AssertUnwindSafe(router.call(request)).catch_unwind().await;
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    };
    record(response.status(), started.elapsed());
    Ok(response.map(|body| BusyBody { body, _busy: busy }))
}

/// By status: a histogram found by index, not by label.
fn record(status: StatusCode, took: Duration) {
    static HISTOGRAMS: [OnceLock<Histogram>; 600] = [const { OnceLock::new() }; 600];
    let code = status.as_u16();
    if let Some(cell) = HISTOGRAMS.get(usize::from(code)) {
        cell.get_or_init(|| {
            metrics::histogram!("http_server_request_duration_seconds", "http_response_status_code" => code.to_string())
        })
        .record(took.as_secs_f64());
    }
}

// === impl Activity ===

impl Activity {
    fn has_unanswered_bytes(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.settled.load(Ordering::Relaxed)
    }

    async fn idle_for(&self, time: Duration) {
        const LOOKS: u32 = 4;
        let mut idle = 0;
        while idle < LOOKS {
            tokio::time::sleep(time / LOOKS).await;
            idle = if self.busy.load(Ordering::Relaxed) == 0 {
                idle + 1
            } else {
                0
            };
        }
    }
}

// === impl Busy ===

impl Busy {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.busy.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let read = self.0.bytes.load(Ordering::Relaxed);
        self.0.settled.store(read, Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl BusyBody ===

impl http_body::Body for BusyBody {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

// === impl Watched ===

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        let read = into.filled().len() - before;
        if read > 0 {
            self.activity.bytes.fetch_add(read as u64, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinSet;

    use super::*;

    async fn serve(bounds: Http1) -> (SocketAddr, CancellationToken, JoinSet<()>) {
        let router = Router::new()
            .route("/", get(async || "ok"))
            .route("/slow", post(async |body: axum::body::Bytes| body));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(bounds.serve(listener, router, drain.clone()));
        (address, drain, serving)
    }

    fn short() -> Http1 {
        Http1 {
            head: Duration::from_millis(600),
            idle: Duration::from_mins(1),
            drain_idle: Duration::from_millis(200),
            ..Http1::edge()
        }
    }

    async fn closed(stream: &mut TcpStream) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        let _ = read.expect("the connection stays open");
        rest
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    async fn exchange(stream: &mut TcpStream) {
        stream.write_all(GET).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok") {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0);
        }
    }

    #[tokio::test]
    async fn a_head_that_dawdles_is_cut_and_a_pause_between_requests_is_not() {
        let (address, _drain, _serving) = serve(short()).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut kept = TcpStream::connect(address).await.unwrap();
        exchange(&mut kept).await;
        let mut dawdling = TcpStream::connect(address).await.unwrap();
        exchange(&mut dawdling).await;
        dawdling.write_all(b"GET / HTTP/1.1\r\nhost: lo").await.unwrap();
        assert!(closed(&mut silent).await.is_empty());
        assert!(closed(&mut dawdling).await.is_empty());
        // By now `kept` has rested for longer than a head may take.
        exchange(&mut kept).await;
    }

    #[tokio::test]
    async fn a_drain_finishes_requests_and_leaves_resting_connections() {
        let (address, drain, mut serving) = serve(short()).await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut kept = TcpStream::connect(address).await.unwrap();
        exchange(&mut kept).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"POST /slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nab")
            .await
            .unwrap();
        let mut also = TcpStream::connect(address).await.unwrap();
        exchange(&mut also).await;
        drain.cancel();
        let early = tokio::time::timeout(Duration::from_millis(500), serving.join_next()).await;
        assert!(early.is_err(), "a request is still under way");
        slow.write_all(b"cd").await.unwrap();
        assert!(closed(&mut slow).await.ends_with(b"abcd"));
        tokio::time::timeout(Duration::from_secs(5), serving.join_next())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn heads_have_a_largest_size() {
        let (address, _drain, _serving) = serve(short()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
            "x".repeat(HEAD_BYTES)
        );
        let _ = stream.write_all(request.as_bytes()).await;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 431");
    }
}
