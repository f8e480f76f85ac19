use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Status, TimeoutExpired, transport};
use tower::{Service, ServiceExt as _};

use crate::body::CalledBody;
use crate::call::{self, Call};
use crate::deadline::{self, Deadline};
use crate::method::Method;
use crate::peers::ServiceCredential;
use crate::{BoxError, Fault, trace};

/// Calls a sibling service: connects when first used and again when needed, presents this service's credential, passes on the deadline and the W3C
/// trace context. Give it to a generated client: `MessagingInternalServiceClient::new(channel)`. Cheap to clone. Repeats a call only if it never left.
#[derive(Debug, Clone)]
pub struct Channel {
    connections: Arc<[transport::Channel]>,
    next: Arc<AtomicUsize>,
    credential: ServiceCredential,
}

/// The URL cannot be called: not `http://host:port` or `https://host:port`.
#[derive(Debug, thiserror::Error)]
#[error("not the URL of a service")]
pub struct ChannelError(#[from] transport::Error);

/// The time for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    Within(Duration),
    /// Streams last as long as they last.
    Unbounded,
    /// Too little is left to begin.
    TooLate,
}

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// A connection is one task at either end: two keep both cores busy, more only thin out batches of frames.
const CONNECTIONS: usize = 2;
/// Each connection may be ending, and the one made in its place is sound.
const TRIES: usize = CONNECTIONS + 1;
const HEADER_LIST_BYTES: u32 = 16 * 1024;

// === impl Channel ===

impl Channel {
    /// A channel to the internal listener at `url`. Connects nowhere yet.
    pub fn new(url: &str, credential: ServiceCredential) -> Result<Self, ChannelError> {
        let endpoint = transport::Endpoint::from_shared(url.to_owned())?
            .connect_timeout(Duration::from_secs(3))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(HEADER_LIST_BYTES)
            .tcp_nodelay(true);
        Ok(Self {
            connections: (0..CONNECTIONS).map(|_| endpoint.connect_lazy()).collect(),
            next: Arc::default(),
            credential,
        })
    }

    fn connection(&self) -> Option<transport::Channel> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.connections.get(next % CONNECTIONS).cloned()
    }
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<CalledBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let started = Instant::now();
        let method = Method::at(request.uri().path());
        request.headers_mut().insert(AUTHORIZATION, self.credential.header());
        trace::inject(request.headers_mut());
        let grant = Grant::of(method, &request);
        if let Grant::Within(timeout) = grant {
            request.headers_mut().insert(TIMEOUT, deadline::format(timeout));
        }
        let channel = self.clone();
        Box::pin(async move {
            let answer = match grant {
                Grant::Within(timeout) => tokio::time::timeout(timeout, channel.send(method, request))
                    .await
                    .unwrap_or_else(|_| Err(Status::from(Fault::deadline_exceeded()).into())),
                Grant::Unbounded => channel.send(method, request).await,
                Grant::TooLate => Err(Status::from(Fault::deadline_exceeded()).into()),
            };
            match answer {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    let body = CalledBody::new(&parts.headers, body, method, started);
                    Ok(http::Response::from_parts(parts, body))
                }
                Err(cause) => {
                    let status = Status::from_error(cause);
                    method.called(status.code(), started.elapsed().as_secs_f64());
                    Err(status.into())
                }
            }
        })
    }
}

type Answer = Result<http::Response<Body>, BoxError>;

impl Channel {
    /// Sends a request once; and again while its connection ends before it left, as happens when a sibling sends its callers to other replicas.
    async fn send(self, method: &Method, request: http::Request<Body>) -> Answer {
        if method.client_streaming {
            return self.send_once(request).await;
        }
        // One message, which is in memory already: kept for the second time.
        let (parts, body) = request.into_parts();
        let message = body.collect().await?.to_bytes();
        let rebuild = || http::Request::from_parts(parts.clone(), Body::new(Full::new(message.clone())));
        for _ in 1..TRIES {
            match self.send_once(rebuild()).await {
                Err(cause) if never_left(cause.as_ref()) => {}
                answer => return answer,
            }
        }
        self.send_once(rebuild()).await
    }

    async fn send_once(&self, request: http::Request<Body>) -> Answer {
        let connection = self.connection().ok_or("no connection")?;
        connection.oneshot(request).await.map_err(|cause| {
            // tonic has a timer for the same header, and calls its end a cancellation.
            let late = causes(&cause).any(<dyn Error>::is::<TimeoutExpired>);
            if late {
                Status::from(Fault::deadline_exceeded()).into()
            } else {
                cause.into()
            }
        })
    }
}

fn never_left(cause: &(dyn Error + 'static)) -> bool {
    causes(cause)
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_canceled)
}

fn causes<'a>(first: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(first), |&cause| cause.source())
}

// === impl Grant ===

impl Grant {
    /// What the caller of this call asked for and what the call that this one is made for has left, whichever is less.
    fn of(method: &Method, request: &http::Request<Body>) -> Self {
        let asked = request.headers().get(TIMEOUT).and_then(deadline::parse);
        let left = match call::with_current(Call::deadline).flatten().map(Deadline::pass_on) {
            Some(None) => return Self::TooLate,
            Some(Some(left)) => Some(left),
            None => None,
        };
        match (asked, left) {
            (Some(asked), Some(left)) => Self::Within(asked.min(left)),
            (Some(one), None) | (None, Some(one)) => Self::Within(one),
            (None, None) if method.streams() => Self::Unbounded,
            (None, None) => Self::Within(deadline::DEFAULT),
        }
    }
}
