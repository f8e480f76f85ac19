use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode};
use hyper::body::Incoming;
use outeract_proto::Access;
use outeract_proto::r#type::v1::ErrorReason;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service as _;
use tracing::Instrument as _;

use crate::authenticator::{Holder, Presented, missing};
use crate::body::{ReceivedBody, Record, ServedBody, StreamEnd};
use crate::call::{self, Call, Slot, Slots};
use crate::caller::Caller;
use crate::complete::{complete, compressed, method_unknown};
use crate::deadline::{self, Deadline};
use crate::method::{Admit, Method};
use crate::quota::Tenants;
use crate::server::{Admission, Busy, Limits};
use crate::{Fault, trace};

/// What every call passes on its way to the handler, in one place: no layer boxes its own future.
#[derive(Debug)]
pub(crate) struct Gate {
    admission: Admission,
    routes: Routes,
    calls: Arc<Slots>,
    streams: Arc<Slots>,
    /// Streams that ask for no credential: they must not take the place of those that do.
    probes: Arc<Slots>,
    tenants: Tenants,
    stream_check: Duration,
    receive_bytes: usize,
    send_bytes: usize,
    drain: CancellationToken,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn new(admission: Admission, routes: Routes, limits: &Limits, drain: CancellationToken) -> Self {
        let listener = match &admission {
            Admission::Applications(_) => "application",
            Admission::Siblings(..) => "internal",
        };
        let in_flight =
            |kind: &'static str| metrics::gauge!("rpc_server_calls_in_flight", "listener" => listener, "kind" => kind);
        Self {
            admission,
            routes: routes.prepare(),
            calls: Slots::new(limits.calls, in_flight("unary")),
            streams: Slots::new(limits.streams, in_flight("stream")),
            probes: Slots::new(PROBE_STREAMS, in_flight("probe")),
            tenants: Tenants::new(limits.quota),
            stream_check: limits.stream_check,
            receive_bytes: limits.receive_bytes,
            send_bytes: limits.send_bytes,
            drain,
        }
    }

    pub(crate) fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    /// Answers one call, whatever happens in it.
    pub(crate) async fn handle(&self, request: Request<Incoming>, mut busy: Busy) -> Response<ServedBody> {
        let started = Instant::now();
        let method = Method::at(request.uri().path());
        let (span, trace) = trace::serve(request.headers(), method.name());
        let mut record = Record::new(method, started, span.clone());
        if !is_grpc(&request) {
            record.finish(Code::InvalidArgument);
            let mut response = Response::new(ServedBody::empty(record, busy));
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let admitted = self.take_slot(method).and_then(|slot| {
            let deadline = grant(method, request.headers())?;
            Ok(Arc::new(Call::new(method, deadline, trace.clone(), slot)))
        });
        let call = match admitted {
            Ok(call) => call,
            Err(fault) => return refuse(fault.into(), None, record, busy),
        };

        if method.client_streaming {
            busy.streams_in();
        }
        let presented = method
            .streams()
            .then(|| presented(request.headers().get(AUTHORIZATION)).ok())
            .flatten();
        // Boxed once, where it is largest: all that wraps it is moved several times on its way to the executor.
        let work = Box::pin(self.work(&call, method, request));
        let work = AssertUnwindSafe(call::scope(Arc::clone(&call), work).instrument(span)).catch_unwind();
        let late = |_| Fault::deadline_exceeded();
        let outcome = match call.deadline() {
            None => Ok(work.await),
            Some(deadline) if method.client_streaming => tokio::select! {
                outcome = tokio::time::timeout_at(deadline.instant(), work) => outcome.map_err(late),
                // A request may stream in for many minutes: its key counts as long as that.
                fault = Box::pin(self.lapse(presented)) => Err(fault),
            },
            Some(deadline) => tokio::time::timeout_at(deadline.instant(), work).await.map_err(late),
        };
        match outcome {
            Ok(Ok(Ok(response))) => self.respond(response, call, presented, record, busy),
            Ok(Ok(Err(status))) => refuse(status, Some(&call), record, busy),
            Ok(Err(_)) => {
                // What was thrown may quote data; the panic hook has logged where it happened.
                let status = call::sync_scope(Arc::clone(&call), || Fault::internal("the handler panicked").into());
                refuse(status, Some(&call), record, busy)
            }
            Err(fault) => {
                let status = call::sync_scope(Arc::clone(&call), || fault.into());
                refuse(status, Some(&call), record, busy)
            }
        }
    }

    fn take_slot(&self, method: &Method) -> Result<Slot, Fault> {
        let slots = match method.admit {
            // Probes must get through when nothing else does.
            Admit::Anyone if !method.streams() => return Ok(Slot::free()),
            Admit::Anyone => &self.probes,
            Admit::NoOne | Admit::By(_) if method.streams() => &self.streams,
            Admit::NoOne | Admit::By(_) => &self.calls,
        };
        slots.take().ok_or_else(|| Fault::overloaded(OVERLOADED_RETRY))
    }

    /// Authenticates and runs the handler. In the scope of the call, so faults find its trace.
    async fn work(
        &self,
        call: &Arc<Call>,
        method: &'static Method,
        request: Request<Incoming>,
    ) -> Result<Response<tonic::body::Body>, Status> {
        let header = request.headers().get(AUTHORIZATION);
        let caller = self.authenticate(method, header).await?;
        if let Caller::Application(application) = &caller {
            call.set_share(self.tenants.admit(application.id, method.streams())?);
        }
        call.set_caller(caller);
        if request
            .headers()
            .get("grpc-encoding")
            .is_some_and(|encoding| encoding != "identity")
        {
            return Err(compressed().into());
        }
        let most = if method.client_streaming {
            usize::MAX
        } else {
            self.receive_bytes
        };
        let (mut parts, body) = request.into_parts();
        // The credential ends here.
        parts.headers.remove(AUTHORIZATION);
        parts.extensions.insert(Arc::clone(call));
        let request = Request::from_parts(parts, ReceivedBody::new(body, most));
        match self.routes.clone().call(request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }

    async fn authenticate(&self, method: &Method, header: Option<&HeaderValue>) -> Result<Caller, Fault> {
        let access = match method.admit {
            Admit::Anyone => return Ok(Caller::Anyone),
            Admit::NoOne => return Err(method_unknown()),
            Admit::By(access) => access,
        };
        match (&self.admission, access) {
            (Admission::Applications(keys), Access::Any | Access::Scope(_)) => {
                match keys.holder(presented(header)?).await? {
                    Holder::Application(application) => {
                        if let Access::Scope(scope) = access
                            && !application.scopes.iter().any(|held| held == scope || held == "*")
                        {
                            return Err(denied(format!("the key lacks the scope {scope}")).with("scope", scope));
                        }
                        Ok(Caller::Application(application))
                    }
                    Holder::Operator(_) => Err(denied("an operator's key calls no application methods".to_owned())),
                }
            }
            (Admission::Siblings(_, keys), Access::Operator) => match keys.holder(presented(header)?).await? {
                Holder::Operator(operator) => Ok(Caller::Operator(operator)),
                Holder::Application(_) => Err(denied("the method is for operators".to_owned())),
            },
            (Admission::Siblings(peers, _), Access::Callers(callers)) => {
                let header = header.and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
                let name = peers.authenticate(header).ok_or_else(unknown_service)?;
                if !callers.contains(&name) {
                    return Err(denied(format!("{name} is not on the method's allow-list")));
                }
                Ok(Caller::Service(name.to_owned()))
            }
            (Admission::Applications(_), Access::Callers(_) | Access::Operator)
            | (Admission::Siblings(..), Access::Any | Access::Scope(_)) => Err(method_unknown()),
        }
    }

    /// Why a stream ends although neither side wants it to: the process stops, or the key that opened it counts no more.
    fn end_of_stream(&self, presented: Option<Presented>) -> StreamEnd {
        let (drain, lapse) = (self.drain.clone(), self.lapse(presented));
        Box::pin(async move {
            tokio::select! {
                biased;
                () = drain.cancelled() => Fault::shutting_down(),
                fault = lapse => fault,
            }
        })
    }

    /// Ends when the key that opened a stream counts no more.
    fn lapse(&self, presented: Option<Presented>) -> impl Future<Output = Fault> + Send + use<> {
        let every = self.stream_check;
        let keys = match &self.admission {
            Admission::Applications(keys) | Admission::Siblings(_, keys) => keys.clone(),
        };
        async move {
            match presented {
                Some(presented) => keys.lapse(presented, every).await,
                // A sibling's secret lasts as long as this process, and probes have none.
                None => std::future::pending().await,
            }
        }
    }

    fn respond(
        &self,
        response: Response<tonic::body::Body>,
        call: Arc<Call>,
        presented: Option<Presented>,
        mut record: Record,
        busy: Busy,
    ) -> Response<ServedBody> {
        let (mut parts, body) = response.into_parts();
        call.show_quota(&mut parts.headers);
        let outcome = match parts.headers.get("grpc-status") {
            None => None,
            Some(value) if value == "0" => Some(Code::Ok),
            Some(_) => call::sync_scope(Arc::clone(&call), || complete(&mut parts.headers)),
        };
        if let Some(code) = outcome {
            record.finish(code);
        }
        let stream = record
            .method()
            .server_streaming
            .then(|| (self.end_of_stream(presented), call));
        Response::from_parts(parts, ServedBody::new(body, stream, self.send_bytes, record, busy))
    }
}

/// Health watches and reflection.
const PROBE_STREAMS: usize = 64;
const OVERLOADED_RETRY: Duration = Duration::from_secs(1);

fn is_grpc(request: &Request<Incoming>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE);
    request.method() == HttpMethod::POST
        && content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The deadline of a call. An unreadable `grpc-timeout` is refused: the caller counts on it.
fn grant(method: &Method, headers: &HeaderMap) -> Result<Option<Deadline>, Fault> {
    if method.server_streaming {
        return Ok(None);
    }
    let (default, cap) = if method.client_streaming {
        (deadline::STREAM, deadline::STREAM)
    } else {
        (deadline::DEFAULT, deadline::CAP)
    };
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(Some(Deadline::after(default)));
    };
    let timeout = deadline::parse(value).ok_or_else(|| {
        Fault::new(
            Code::InvalidArgument,
            ErrorReason::RequestMalformed,
            "the metadata grpc-timeout cannot be read",
        )
    })?;
    Ok(Some(Deadline::after(timeout.min(cap))))
}

fn presented(header: Option<&HeaderValue>) -> Result<Presented, Fault> {
    let (scheme, key) = header
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Presented::parse(key)
    } else {
        Err(missing())
    }
}

fn denied(message: String) -> Fault {
    Fault::new(Code::PermissionDenied, ErrorReason::ScopeMissing, message)
}

fn unknown_service() -> Fault {
    Fault::new(
        Code::Unauthenticated,
        ErrorReason::KeyUnknown,
        "the service's credential is not known",
    )
}

fn refuse(status: Status, call: Option<&Call>, mut record: Record, busy: Busy) -> Response<ServedBody> {
    record.finish(status.code());
    let mut response = status.into_http::<()>();
    if let Some(call) = call {
        call.show_quota(response.headers_mut());
    }
    response.map(|()| ServedBody::empty(record, busy))
}
