//! W3C trace context: read from calls, written into calls and queue rows, linked to spans. Spans exist only in traces that are sampled.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use rand::Rng as _;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::call;

/// Target of the spans that begin a trace in this process. The exporter's filter lets these through, and whatever happens inside of them.
pub const ROOT: &str = "outeract::trace";

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const TRACESTATE_BYTES: usize = 512;

/// Where a call stands in a trace.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
    state: Option<HeaderValue>,
    /// The trace began elsewhere.
    remote: bool,
}

/// Share of new traces that are sampled, of 2^32. 0 also where nothing is exported: then no span is ever made.
static SAMPLED: AtomicU64 = AtomicU64::new(0);
static EXPORTING: AtomicU64 = AtomicU64::new(0);
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Spans are exported from now on, and this share of the traces that begin here is sampled. Traces that began elsewhere keep their own decision.
pub fn export(ratio: f64) {
    let share = ratio.clamp(0.0, 1.0) * f64::from(u32::MAX) + f64::from(u8::from(ratio >= 1.0));
    SAMPLED.store(share as u64, Ordering::Relaxed);
    EXPORTING.store(1, Ordering::Relaxed);
}

/// The present position as a `traceparent`, to be stored with queued work. `None` unless the trace is sampled.
pub fn current_traceparent() -> Option<String> {
    let span = current_span_context();
    if let Some(span) = span {
        return span.is_sampled().then(|| Context::of(&span).traceparent());
    }
    call::with_current(|call| call.trace().sampled.then(|| call.trace().traceparent())).flatten()
}

/// A span of its own trace for work taken from a queue, linked to the trace that queued it. Disabled without one, or when nothing is exported.
pub fn span_linked_to(name: &'static str, traceparent: Option<&str>) -> Span {
    let Some(origin) = traceparent.and_then(Context::parse).filter(|_| exporting()) else {
        return Span::none();
    };
    let span = info_span!(target: ROOT, "work", otel.name = name, otel.kind = "consumer");
    span.add_link(origin.span_context());
    span
}

/// A span that continues the trace that queued the work, for work taken up at once. Disabled without one, or when nothing is exported.
pub fn span_child_of(name: &'static str, traceparent: Option<&str>) -> Span {
    let Some(origin) = traceparent
        .and_then(Context::parse)
        .filter(|origin| origin.sampled && exporting())
    else {
        return Span::none();
    };
    let span = info_span!(target: ROOT, "work", otel.name = name, otel.kind = "consumer");
    // Refused only for a span that has begun, and this one has not.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(origin.span_context()));
    span
}

/// A span that begins a trace, for work that nothing queued; most are disabled, by the sampling ratio.
pub fn root_span(name: &'static str) -> Span {
    if !chosen() {
        return Span::none();
    }
    info_span!(target: ROOT, "work", otel.name = name, otel.kind = "internal")
}

/// Trace id of what this task works on, 32 hex digits: of the span, of the call, or a new one that stands for itself.
pub fn current_trace_id() -> String {
    match current_ids() {
        Some((trace, _)) => trace,
        None => format!("{:032x}", random_u128()),
    }
}

/// Trace and span id of what this task works on, for the log.
pub fn current_ids() -> Option<(String, Option<String>)> {
    if let Some(span) = current_span_context() {
        return Some((span.trace_id().to_string(), Some(span.span_id().to_string())));
    }
    call::with_current(|call| (format!("{:032x}", call.trace().trace_id), None))
}

/// Time since the process first asked.
pub(crate) fn since_start() -> Duration {
    START.elapsed()
}

/// The span of a call that this process serves, and the call's place in its trace. The span is disabled unless the trace is sampled and exported.
pub(crate) fn serve(headers: &HeaderMap, method: &'static str) -> (Span, Context) {
    let remote = Context::from_headers(headers);
    let sampled = match &remote {
        Some(context) => context.sampled && exporting(),
        None => chosen(),
    };
    let context = remote.unwrap_or_else(Context::begin);
    if !sampled {
        return (Span::none(), context);
    }
    let span = info_span!(
        target: ROOT,
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.status_code = tracing::field::Empty,
        error.r#type = tracing::field::Empty,
    );
    if context.remote {
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(context.span_context()));
    }
    let own = span.context().span().span_context().clone();
    if !own.is_valid() {
        return (span, context);
    }
    let mut here = Context::of(&own);
    here.state = context.state;
    (span, here)
}

/// Writes the present position into the headers of a call to a sibling.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let state = call::with_current(|call| call.trace().state.clone()).flatten();
    let position = match current_span_context() {
        Some(span) => Some(Context::of(&span).traceparent()),
        None => call::with_current(|call| call.trace().traceparent()),
    };
    if let Some(value) = position.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(TRACEPARENT, value);
        if let Some(state) = state {
            headers.insert(TRACESTATE, state);
        }
    }
}

fn current_span_context() -> Option<SpanContext> {
    if !exporting() {
        return None;
    }
    let span = Span::current();
    if span.is_disabled() {
        return None;
    }
    let context = span.context().span().span_context().clone();
    context.is_valid().then_some(context)
}

fn exporting() -> bool {
    EXPORTING.load(Ordering::Relaxed) == 1
}

fn chosen() -> bool {
    let share = SAMPLED.load(Ordering::Relaxed);
    share > 0 && u64::from(rand::rng().next_u32()) < share
}

fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    u128::from_be_bytes(bytes).max(1)
}

// === impl Context ===

impl Context {
    /// A trace that begins here and is not sampled. Its id still joins log lines of several services.
    fn begin() -> Self {
        let id = random_u128();
        Self {
            trace_id: id,
            span_id: (id as u64).max(1),
            sampled: false,
            state: None,
            remote: false,
        }
    }

    fn of(span: &SpanContext) -> Self {
        Self {
            trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(span.span_id().to_bytes()),
            sampled: span.is_sampled(),
            state: None,
            remote: span.is_remote(),
        }
    }

    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut context = Self::parse(headers.get(TRACEPARENT)?.to_str().ok()?)?;
        context.state = headers
            .get(TRACESTATE)
            .filter(|state| state.len() <= TRACESTATE_BYTES)
            .cloned();
        Some(context)
    }

    /// Reads a `traceparent`, also of a later version, as long as it begins like version 00.
    fn parse(text: &str) -> Option<Self> {
        let hex = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let further = parts.next().is_some();
        if !(hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2)) {
            return None;
        }
        if version == "ff" || (version == "00" && further) {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(trace, 16).ok()?,
            span_id: u64::from_str_radix(span, 16).ok()?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
            state: None,
            remote: true,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    fn traceparent(&self) -> String {
        self.to_string()
    }

    fn span_context(&self) -> SpanContext {
        SpanContext::new(
            TraceId::from_bytes(self.trace_id.to_be_bytes()),
            SpanId::from_bytes(self.span_id.to_be_bytes()),
            TraceFlags::default().with_sampled(self.sampled),
            true,
            TraceState::default(),
        )
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id,
            self.span_id,
            u8::from(self.sampled)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_reads_back() {
        let context = Context::parse(PARENT).unwrap();
        assert!(context.sampled && context.remote);
        assert_eq!(context.traceparent(), PARENT);
        assert!(Context::parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
    }

    #[test]
    fn what_is_not_a_traceparent_is_dropped() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(Context::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_made_while_nothing_is_exported() {
        assert!(span_linked_to("work", Some(PARENT)).is_none());
        assert!(root_span("work").is_none());
        assert_eq!(current_traceparent(), None);
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(PARENT));
        let (span, context) = serve(&headers, "a/b");
        assert!(span.is_none());
        assert_eq!(context.traceparent(), PARENT);
    }
}
