use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use opentelemetry::trace::Status as SpanStatus;
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::call::{self, Call};
use crate::complete::{complete, put, too_large};
use crate::method::{Method, code_name, is_server_error};
use crate::server::Busy;
use crate::{BoxError, Fault};

/// Before each message stand its compression flag and its length.
const FRAME_HEADER: usize = 5;

/// Resolves to why a stream ends before its producer ends it.
pub(crate) type StreamEnd = Pin<Box<dyn Future<Output = Fault> + Send>>;

/// A request's body, cut off at the listener's limit before it is buffered.
pub(crate) struct ReceivedBody {
    inner: Incoming,
    left: usize,
    max: usize,
}

/// A response's body: watches for the outcome, completes errors, ends streams when the process stops or their key does.
pub(crate) struct ServedBody {
    inner: tonic::body::Body,
    /// Set for streams: what ends them, and the call that their production belongs to.
    stream: Option<(StreamEnd, Arc<Call>)>,
    send_bytes: usize,
    ended: bool,
    record: Record,
    _busy: Busy,
}

/// Measures one served call, once: with its outcome, or as canceled when it is dropped before.
pub(crate) struct Record {
    method: &'static Method,
    started: Instant,
    span: Span,
    done: bool,
}

/// A sibling's response: watches for the outcome.
pub struct CalledBody {
    inner: tonic::body::Body,
    method: &'static Method,
    started: Instant,
    done: bool,
}

// === impl ReceivedBody ===

impl ReceivedBody {
    pub(crate) fn new(inner: Incoming, max: usize) -> Self {
        Self {
            inner,
            left: max.saturating_add(FRAME_HEADER),
            max,
        }
    }
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(cause)) => return Poll::Ready(Some(Err(cause.into()))),
            None => return Poll::Ready(None),
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        match self.left.checked_sub(length) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Some(Err(Box::new(Status::from(too_large(self.max)))))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl ServedBody ===

impl ServedBody {
    pub(crate) fn new(
        inner: tonic::body::Body,
        stream: Option<(StreamEnd, Arc<Call>)>,
        send_bytes: usize,
        record: Record,
        busy: Busy,
    ) -> Self {
        Self {
            inner,
            stream,
            send_bytes,
            ended: false,
            record,
            _busy: busy,
        }
    }

    /// The body of an answer that is complete in its headers.
    pub(crate) fn empty(record: Record, busy: Busy) -> Self {
        let mut body = Self::new(tonic::body::Body::empty(), None, 0, record, busy);
        body.ended = true;
        body
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let inner = Pin::new(&mut self.inner);
        match &self.stream {
            Some((_, call)) => call::sync_scope(Arc::clone(call), || inner.poll_frame(cx)),
            None => inner.poll_frame(cx),
        }
    }

    /// Ends the response with `fault` in place of what was to come.
    fn end_with(&mut self, fault: Fault) -> Frame<Bytes> {
        self.ended = true;
        let status = match &self.stream {
            Some((_, call)) => call::sync_scope(Arc::clone(call), || Status::from(fault)),
            None => Status::from(fault),
        };
        self.record.finish(status.code());
        let mut trailers = HeaderMap::new();
        put(&status, &mut trailers);
        Frame::trailers(trailers)
    }

    fn trailers(&mut self, mut trailers: HeaderMap) -> Frame<Bytes> {
        self.ended = true;
        let code = match &self.stream {
            Some((_, call)) => call::sync_scope(Arc::clone(call), || complete(&mut trailers)),
            None => complete(&mut trailers),
        };
        self.record.finish(code.unwrap_or(Code::Unknown));
        Frame::trailers(trailers)
    }
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if let Some((end, _)) = &mut this.stream
            && let Poll::Ready(fault) = end.as_mut().poll(cx)
        {
            return Poll::Ready(Some(Ok(this.end_with(fault))));
        }
        let frame = match ready!(this.poll_inner(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(status)) => {
                this.record.finish(status.code());
                return Poll::Ready(Some(Err(status)));
            }
            None => {
                this.ended = true;
                this.record.finish(Code::Ok);
                return Poll::Ready(None);
            }
        };
        let frame = match frame.into_trailers() {
            Ok(trailers) => this.trailers(trailers),
            Err(frame) => match frame.data_ref().filter(|data| largest(data) > this.send_bytes) {
                Some(data) => {
                    let fault = Fault::internal(format!("a response of {} bytes is above the limit", data.len()));
                    this.end_with(fault)
                }
                None => frame,
            },
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.ended {
            SizeHint::with_exact(0)
        } else {
            self.inner.size_hint()
        }
    }
}

/// The largest message in a frame. tonic puts whole messages into a frame, one or several small ones.
fn largest(frame: &Bytes) -> usize {
    let mut rest = frame.as_ref();
    let mut largest = 0;
    while rest.len() > FRAME_HEADER {
        rest.advance(1);
        let length = rest.get_u32() as usize;
        largest = largest.max(length);
        rest.advance(length.min(rest.len()));
    }
    largest
}

// === impl Record ===

impl Record {
    pub(crate) fn new(method: &'static Method, started: Instant, span: Span) -> Self {
        Self {
            method,
            started,
            span,
            done: false,
        }
    }

    pub(crate) fn method(&self) -> &'static Method {
        self.method
    }

    pub(crate) fn finish(&mut self, code: Code) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        self.method.served(code, self.started.elapsed().as_secs_f64());
        if self.span.is_disabled() {
            return;
        }
        self.span.record("rpc.status_code", code_name(code));
        if is_server_error(code) {
            self.span.record("error.type", code_name(code));
            self.span.set_status(SpanStatus::error(code_name(code)));
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}

// === impl CalledBody ===

impl CalledBody {
    pub(crate) fn new(
        headers: &HeaderMap,
        inner: tonic::body::Body,
        method: &'static Method,
        started: Instant,
    ) -> Self {
        let mut body = Self {
            inner,
            method,
            started,
            done: false,
        };
        if let Some(code) = outcome(headers) {
            body.finish(code);
        }
        body
    }

    fn finish(&mut self, code: Code) {
        if !std::mem::replace(&mut self.done, true) {
            self.method.called(code, self.started.elapsed().as_secs_f64());
        }
    }
}

impl Body for CalledBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let code = outcome(trailers).unwrap_or(Code::Unknown);
                    self.finish(code);
                }
            }
            Some(Err(status)) => self.finish(status.code()),
            None => self.finish(Code::Unknown),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for CalledBody {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}

fn outcome(headers: &HeaderMap) -> Option<Code> {
    headers
        .get("grpc-status")
        .map(|value| Code::from_bytes(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_message_of_a_frame_is_found() {
        let mut frame = Vec::new();
        for length in [3_u32, 7, 0] {
            frame.push(0);
            frame.extend_from_slice(&length.to_be_bytes());
            frame.extend(std::iter::repeat_n(1, length as usize));
        }
        assert_eq!(largest(&Bytes::from(frame)), 7);
        assert_eq!(largest(&Bytes::from_static(&[0, 0, 1])), 0);
    }
}
