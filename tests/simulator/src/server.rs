//! Listens, and serves each connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::config::Config;
use crate::meta::Meta;
use crate::respond::Abort;
use crate::{bare, control, deliver, graph};

/// A running simulator.
#[derive(Debug)]
pub struct Simulator;

/// Holds a running simulator; it stops when this is dropped.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or is none of this machine's.
    #[error("cannot listen")]
    Listen(#[from] io::Error),
    /// The client that sends webhooks cannot be made.
    #[error("cannot make a client")]
    Client(#[from] reqwest::Error),
}

/// A connection that can end with a reset.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

// === impl Simulator ===

impl Simulator {
    /// Starts a simulator in this process, on the current runtime.
    pub async fn start(config: Config) -> Result<Handle, StartError> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let connections = config.webhooks.connections.max(1);
        let meta = Arc::new(Meta::new(config)?);
        meta.forget_world();
        let router = control::routes().merge(graph::routes()).with_state(meta.clone());
        let handle = Handle {
            address,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        handle.run(deliver::pump(meta.clone()));
        for _ in 0..connections {
            handle.run(deliver::send(meta.clone()));
        }
        let (stop, tasks) = (handle.stop.clone(), handle.tasks.clone());
        handle.run(accept(listener, router, stop, tasks));
        Ok(handle)
    }
}

// === impl Handle ===

impl Handle {
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(task).await;
        });
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of the Graph API and of the control API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of its control API.
    pub fn client(&self) -> Result<control::Client, control::ClientError> {
        control::Client::new(self.url())
    }

    /// Stops it and waits until it has.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits for ever, or until it is stopped.
    pub async fn join(&self) {
        self.stop.cancelled().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: others must close first.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (router, stop) = (router.clone(), stop.clone());
        tasks.spawn(async move {
            let _ = stop.run_until_cancelled(serve(stream, router)).await;
        });
    }
}

async fn serve(stream: TcpStream, router: Router) {
    let reset = Arc::new(AtomicBool::new(false));
    let connection = Connection {
        stream,
        reset: reset.clone(),
    };
    let service = hyper::service::service_fn(move |request| respond(request, router.clone(), reset.clone()));
    // An error here is the peer's going away, or a fault that was asked for.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(connection), service)
        .await;
}

async fn respond(
    request: Request<Incoming>,
    mut router: Router,
    reset: Arc<AtomicBool>,
) -> Result<Response<Body>, io::Error> {
    if bare::wants(request.uri().path()) {
        return bare::respond(request).await;
    }
    let result: Result<_, Infallible> = router.call(request).await;
    let Ok(response) = result;
    match response.extensions().get::<Abort>() {
        None => Ok(response),
        Some(how) => {
            reset.store(*how == Abort::Reset, Ordering::Relaxed);
            Err(io::Error::other("the connection was to end here"))
        }
    }
}

// === impl Connection ===

impl Drop for Connection {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
