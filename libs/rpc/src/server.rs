use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rand::RngExt as _;
use tokio::io::{AsyncReadExt as _, join};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::accept::accept;
use crate::authenticator::Authenticator;
use crate::gate::Gate;
use crate::peers::Peers;
use crate::quota::Quota;

/// Whom a listener admits. A method whose rule names others answers as if it did not exist.
#[derive(Debug, Clone)]
pub enum Admission {
    /// Applications, by key and scope.
    Applications(Authenticator),
    /// Sibling services by their own secrets and per-method allow-lists, operators by key.
    Siblings(Peers, Authenticator),
}

/// Bounds of a listener. All are set explicitly: tonic's builder would lift hyper's own (unlimited streams, no bound on local resets).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Unary calls at once; what is above is refused with OVERLOADED.
    pub calls: usize,
    /// Open streams at once.
    pub streams: usize,
    /// What of these one application may take.
    pub quota: Quota,
    /// How often an open stream's key is looked at again: with the 20 seconds that an answer is remembered, below the 30 of a revocation.
    pub stream_check: Duration,
    /// Largest request.
    pub receive_bytes: usize,
    /// Largest message of a response.
    pub send_bytes: usize,
    /// Time for a new connection to send HTTP/2's preface.
    pub handshake: Duration,
    /// Age at which a connection is told to go, ±10 %, so that callers find new replicas.
    pub connection_age: Duration,
    /// Time that its calls have left then. A request that streams in has what its own deadline gives it: it could not go on elsewhere.
    pub connection_grace: Duration,
    /// How long a connection without calls may stay once the listener drains.
    pub drain_idle: Duration,
}

/// A gRPC listener: HTTP/2 with explicit limits in front of a service's routes.
#[derive(Debug)]
pub struct Server {
    gate: Arc<Gate>,
    limits: Limits,
}

/// Calls under way on one connection.
#[derive(Debug, Clone, Default)]
struct Connection(Arc<UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    calls: AtomicUsize,
    /// Those of the calls whose request streams in.
    streaming_in: AtomicUsize,
}

/// One call under way: while it is held, the connection is not idle.
#[derive(Debug)]
pub(crate) struct Busy {
    connection: Arc<UnderWay>,
    streams_in: bool,
}

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const STREAMS_PER_CONNECTION: u32 = 256;
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 1_024;
const HEADER_LIST_BYTES: u32 = 16 * 1_024;
const SEND_BUFFER_BYTES: usize = 256 * 1_024;
const STREAM_WINDOW_BYTES: u32 = 512 * 1_024;
const CONNECTION_WINDOW_BYTES: u32 = 2 * 1_024 * 1_024;
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

// === impl Limits ===

impl Limits {
    /// Of the listener for applications.
    pub fn application() -> Self {
        Self {
            connections: 1_024,
            calls: 1_024,
            streams: 1_024,
            quota: Quota::default(),
            stream_check: Duration::from_secs(5),
            receive_bytes: 1_024 * 1_024,
            send_bytes: 4 * 1_024 * 1_024,
            handshake: Duration::from_secs(5),
            connection_age: Duration::from_mins(10),
            connection_grace: Duration::from_mins(1),
            drain_idle: Duration::from_secs(1),
        }
    }

    /// Of the listener for siblings and operators.
    pub fn internal() -> Self {
        Self {
            receive_bytes: 4 * 1_024 * 1_024,
            ..Self::application()
        }
    }
}

// === impl Server ===

impl Server {
    /// Serves `routes` to whom `admission` lets in. Streams end with `SHUTTING_DOWN` once `drain` is canceled.
    pub fn new(admission: Admission, routes: Routes, limits: Limits, drain: CancellationToken) -> Self {
        Self {
            gate: Arc::new(Gate::new(admission, routes, &limits, drain)),
            limits,
        }
    }

    /// Serves connections until the drain, then lets the calls under way finish. Returns when the last connection is closed; dropped before, it closes
    /// them all. Silent peers hold it up no longer than `drain_idle`.
    pub async fn serve(self, listener: TcpListener) {
        let Self { gate, limits } = self;
        let drain = gate.drain().clone();
        accept(listener, limits.connections, drain.clone(), move |stream| {
            serve_connection(stream, Arc::clone(&gate), limits.clone(), drain.clone())
        })
        .await;
    }
}

/// Serves one connection to its end.
async fn serve_connection(stream: TcpStream, gate: Arc<Gate>, limits: Limits, drain: CancellationToken) {
    let (mut reader, writer) = stream.into_split();
    // Read here and not by hyper, which would wait for a silent peer for ever, also while draining.
    let mut preface = [0; PREFACE.len()];
    let received = tokio::select! {
        () = drain.cancelled() => return,
        received = timeout(limits.handshake, reader.read_exact(&mut preface)) => received,
    };
    if !matches!(received, Ok(Ok(_))) || preface != *PREFACE {
        return;
    }
    let io = TokioIo::new(join(PREFACE.chain(reader), writer));

    let busy = Connection::default();
    let service = {
        let busy = busy.clone();
        service_fn(move |request| {
            let (gate, busy) = (Arc::clone(&gate), busy.enter());
            async move { Ok::<_, Infallible>(gate.handle(request, busy).await) }
        })
    };
    let mut connection = std::pin::pin!(builder().serve_connection(io, service));

    let age = limits.connection_age.mul_f64(rand::rng().random_range(0.9..1.1));
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        () = drain.cancelled() => false,
        () = tokio::time::sleep(age) => false,
    };
    if ended {
        return;
    }
    // GOAWAY: no new calls, those under way finish.
    connection.as_mut().graceful_shutdown();
    let last = Instant::now() + limits.connection_grace;
    tokio::select! {
        _ = connection => {}
        () = busy.idle_for(limits.drain_idle) => {}
        () = busy.outlast(last, limits.drain_idle) => {}
    }
}

fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_header_list_size(HEADER_LIST_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .auto_date_header(false);
    builder
}

// === impl Connection ===

impl Connection {
    fn enter(&self) -> Busy {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        Busy {
            connection: Arc::clone(&self.0),
            streams_in: false,
        }
    }

    /// Returns once the connection had no call for `time`. Looks a few times in that span, which is exact enough to say goodbye.
    async fn idle_for(&self, time: Duration) {
        const LOOKS: u32 = 4;
        let mut idle = 0;
        while idle < LOOKS {
            tokio::time::sleep(time / LOOKS).await;
            idle = if self.0.calls.load(Ordering::Relaxed) == 0 {
                idle + 1
            } else {
                0
            };
        }
    }

    /// Returns at `last`, or once no request streams in any more: those end by their deadlines.
    async fn outlast(&self, last: Instant, look: Duration) {
        sleep_until(last).await;
        while self.0.streaming_in.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(look).await;
        }
    }
}

// === impl Busy ===

impl Busy {
    /// The call's request streams in.
    pub(crate) fn streams_in(&mut self) {
        if !std::mem::replace(&mut self.streams_in, true) {
            self.connection.streaming_in.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.connection.calls.fetch_sub(1, Ordering::Relaxed);
        if self.streams_in {
            self.connection.streaming_in.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
