//! One POST to a target, and how it went.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use metrics::{counter, histogram};
use outeract_clock::{Clock, SharedClock};
use outeract_egress::Cause;
use outeract_egress::guard::{Answer, CallError, Guarded, Target};
use outeract_events::timestamp;
use outeract_proto::tracking::v1::{DeliveryAttempt, DeliveryFailure};
use outeract_seal::Secret;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::sign;

/// Bytes of an answer that are kept.
const EXCERPT: usize = 1_024;

/// Sends.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    guarded: Guarded,
    clock: SharedClock,
}

/// Where to send, and what signs.
#[derive(Clone)]
pub(crate) struct Destination {
    /// `None`: the policy refuses it by now.
    pub(crate) target: Option<Target>,
    pub(crate) secrets: Vec<Secret>,
}

/// How an attempt went.
#[derive(Debug, Clone)]
pub(crate) struct Attempted {
    pub(crate) verdict: Verdict,
    /// When the target wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) attempt: DeliveryAttempt,
}

/// What an attempt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 2xx.
    Delivered,
    /// Anything else.
    Failed,
    /// The target wants to be left alone for a while: 429 or 503.
    Busy,
    /// The target is gone for good: 410.
    Gone,
}

// === impl Sender ===

impl Sender {
    pub(crate) fn new(guarded: Guarded, clock: SharedClock) -> Self {
        Self { guarded, clock }
    }

    /// What ids and times go by.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The present moment.
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// What judges targets.
    pub(crate) fn guarded(&self) -> &Guarded {
        &self.guarded
    }

    /// Makes one attempt. Bounded in time.
    pub(crate) async fn send(&self, destination: &Destination, id: &str, body: Bytes) -> Attempted {
        let started = self.clock.now();
        let begun = Instant::now();
        let outcome = match &destination.target {
            Some(target) => match headers(&destination.secrets, id, started.unix_timestamp(), &body) {
                Some(headers) => self.guarded.post(target, headers, body).await.map_err(failure),
                None => Err(DeliveryFailure::Broken),
            },
            None => Err(DeliveryFailure::AddressRefused),
        };
        let latency = begun.elapsed();
        histogram!("tracking_webhook_attempt_seconds").record(latency);
        let mut attempt = DeliveryAttempt {
            start_time: Some(timestamp::to_proto(started)),
            latency_ms: i32::try_from(latency.as_millis()).unwrap_or(i32::MAX),
            ..DeliveryAttempt::default()
        };
        let (verdict, retry_after) = match outcome {
            Ok(answer) => answered(&answer, &mut attempt),
            Err(failure) => {
                attempt.failure = failure.into();
                (Verdict::Failed, None)
            }
        };
        counter!("tracking_webhook_attempts_total", "result" => word(verdict, &attempt)).increment(1);
        Attempted {
            verdict,
            retry_after,
            attempt,
        }
    }
}

fn answered(answer: &Answer, attempt: &mut DeliveryAttempt) -> (Verdict, Option<Duration>) {
    attempt.status_code = answer.status.as_u16().into();
    attempt.response_excerpt = excerpt(&answer.excerpt);
    let retry_after = answer
        .headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let verdict = match answer.status {
        status if status.is_success() => Verdict::Delivered,
        StatusCode::GONE => Verdict::Gone,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Verdict::Busy,
        _ => Verdict::Failed,
    };
    (verdict, retry_after)
}

/// The beginning of a body as text, in bounds also after replacement characters came in.
fn excerpt(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(EXCERPT));
    text
}

fn headers(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> Option<HeaderMap> {
    let signatures = sign::signatures(secrets, id, timestamp, body);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [
        ("webhook-id", id),
        ("webhook-timestamp", &timestamp.to_string()),
        ("webhook-signature", &signatures),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}

fn failure(error: CallError) -> DeliveryFailure {
    match error {
        CallError::Refused(_) => DeliveryFailure::AddressRefused,
        CallError::Unresolved => DeliveryFailure::Dns,
        CallError::Failed(Cause::Connect) => DeliveryFailure::Connect,
        CallError::Failed(Cause::Timeout) => DeliveryFailure::Timeout,
        CallError::Failed(Cause::Broken | Cause::TooLong) => DeliveryFailure::Broken,
    }
}

fn word(verdict: Verdict, attempt: &DeliveryAttempt) -> &'static str {
    match (verdict, attempt.failure()) {
        (Verdict::Delivered, _) => "delivered",
        (Verdict::Busy, _) => "busy",
        (Verdict::Gone, _) => "gone",
        (Verdict::Failed, DeliveryFailure::Unspecified) => "status",
        (Verdict::Failed, DeliveryFailure::Dns) => "dns",
        (Verdict::Failed, DeliveryFailure::AddressRefused) => "address",
        (Verdict::Failed, DeliveryFailure::Connect) => "connect",
        (Verdict::Failed, DeliveryFailure::Timeout) => "timeout",
        (Verdict::Failed, DeliveryFailure::Broken) => "broken",
    }
}

// === impl Destination ===

// Neither where nor by what.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").finish_non_exhaustive()
    }
}
