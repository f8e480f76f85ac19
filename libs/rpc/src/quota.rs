//! What one application may take of a listener: so many calls a minute, and so many calls and streams at once, so that it cannot take what all share.
//!
//! Each process counts by itself: with several replicas an application can have as many times the quota. A call costs one, and a handler charges for more where a request holds more
//! ([`crate::Call::charge`]). Answers say what is left in their metadata.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Pace, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};
use metrics::Counter;
use outeract_domain::ApplicationId;
use outeract_proto::r#type::v1::ErrorReason;
use tonic::Code;

use crate::{Fault, trace};

/// What one application may take of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Calls a minute in the long run; 0: as many as come.
    pub per_minute: u32,
    /// Calls that may come at once.
    pub burst: u32,
    /// Unary calls under way at once.
    pub calls: usize,
    /// Open streams at once.
    pub streams: usize,
}

/// What each application takes of a listener.
pub(crate) struct Tenants {
    quota: Quota,
    known: RwLock<HashMap<ApplicationId, Arc<Tenant>>>,
}

/// What one application takes.
struct Tenant {
    bucket: Option<Bucket>,
    calls: AtomicUsize,
    streams: AtomicUsize,
    /// The second in which it last called.
    seen: AtomicU64,
}

struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
    clock: DefaultClock,
    burst: NonZeroU32,
    /// Between two calls in the long run.
    period: Duration,
    /// The burst, as answers show it.
    shown: HeaderValue,
}

/// The part of its application's quota that a call takes. Its place is given back when it is dropped, or earlier.
pub(crate) struct Share {
    tenant: Arc<Tenant>,
    stream: bool,
    left: std::sync::atomic::AtomicBool,
    /// What was left when this call was last charged.
    remaining: AtomicU32,
}

/// Applications that are remembered. Those that have not called for a while are forgotten: by then they have their whole quota again.
const MOST: usize = 16_384;
const FORGOTTEN: u64 = 120;
/// When to come back if too many calls are under way.
const CROWDED: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

// === impl Quota ===

impl Default for Quota {
    fn default() -> Self {
        Self {
            per_minute: 600_000,
            burst: 20_000,
            calls: 512,
            streams: 64,
        }
    }
}

// === impl Tenants ===

impl Tenants {
    pub(crate) fn new(quota: Quota) -> Self {
        Self {
            quota,
            known: RwLock::default(),
        }
    }

    /// Lets one call of the application in, if its quota allows that.
    pub(crate) fn admit(&self, application: ApplicationId, stream: bool) -> Result<Share, Fault> {
        let tenant = self.tenant(application);
        tenant.seen.store(trace::since_start().as_secs(), Ordering::Relaxed);
        let (taken, most) = tenant.places(stream, &self.quota);
        if taken.fetch_add(1, Ordering::Relaxed) >= most {
            taken.fetch_sub(1, Ordering::Relaxed);
            refused(if stream { "streams" } else { "calls" }).increment(1);
            return Err(limited("the application has too many calls under way at once", CROWDED));
        }
        let share = Share {
            tenant,
            stream,
            left: false.into(),
            remaining: AtomicU32::new(0),
        };
        share.charge(1)?;
        Ok(share)
    }

    fn tenant(&self, application: ApplicationId) -> Arc<Tenant> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = known.get(&application) {
            return Arc::clone(tenant);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            let now = trace::since_start().as_secs();
            known.retain(|_, tenant| tenant.is_used(now));
        }
        if known.len() >= MOST {
            // So many at a time are limited by what the listener takes altogether.
            return Arc::new(Tenant::new(&self.quota));
        }
        let tenant = known
            .entry(application)
            .or_insert_with(|| Arc::new(Tenant::new(&self.quota)));
        Arc::clone(tenant)
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenants")
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}

// === impl Tenant ===

impl Tenant {
    fn new(quota: &Quota) -> Self {
        Self {
            bucket: Bucket::new(quota),
            calls: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            seen: AtomicU64::new(0),
        }
    }

    fn places(&self, stream: bool, quota: &Quota) -> (&AtomicUsize, usize) {
        if stream {
            (&self.streams, quota.streams)
        } else {
            (&self.calls, quota.calls)
        }
    }

    fn is_used(&self, now: u64) -> bool {
        let under_way = self.calls.load(Ordering::Relaxed) + self.streams.load(Ordering::Relaxed);
        under_way > 0 || self.seen.load(Ordering::Relaxed) + FORGOTTEN > now
    }
}

// === impl Bucket ===

impl Bucket {
    fn new(quota: &Quota) -> Option<Self> {
        let per_minute = NonZeroU32::new(quota.per_minute)?;
        let burst = NonZeroU32::new(quota.burst).unwrap_or(NonZeroU32::MIN);
        let period = MINUTE / per_minute.get();
        let pace = Pace::with_period(period)?.allow_burst(burst);
        let clock = DefaultClock::default();
        Some(Self {
            limiter: RateLimiter::direct_with_clock(pace, clock.clone()).with_middleware(),
            clock,
            burst,
            period,
            shown: HeaderValue::from(burst.get()),
        })
    }

    /// Takes so many, all or none, and gives what is left; else how long it takes until they are there. No request costs more than all that may come at once.
    fn take(&self, count: NonZeroU32) -> Result<u32, Duration> {
        match self.limiter.check_n(count.min(self.burst)) {
            Ok(Ok(left)) => Ok(left.remaining_burst_capacity()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.now())),
            Err(_) => Err(MINUTE),
        }
    }
}

// === impl Share ===

impl Share {
    /// The call costs so many more.
    pub(crate) fn charge(&self, count: u32) -> Result<(), Fault> {
        let (Some(bucket), Some(count)) = (&self.tenant.bucket, NonZeroU32::new(count)) else {
            return Ok(());
        };
        match bucket.take(count) {
            Ok(remaining) => {
                self.remaining.store(remaining, Ordering::Relaxed);
                Ok(())
            }
            Err(wait) => {
                self.remaining.store(0, Ordering::Relaxed);
                refused("rate").increment(1);
                Err(limited("the application has used up its calls", wait))
            }
        }
    }

    /// Tells in an answer's metadata what is left.
    pub(crate) fn show(&self, headers: &mut HeaderMap) {
        if let Some(bucket) = &self.tenant.bucket {
            let remaining = self.remaining.load(Ordering::Relaxed);
            let reset = bucket.period * bucket.burst.get().saturating_sub(remaining);
            headers.insert(LIMIT, bucket.shown.clone());
            headers.insert(REMAINING, HeaderValue::from(remaining));
            headers.insert(RESET, HeaderValue::from(reset.as_secs_f64().ceil() as u64));
        }
    }

    /// The call does not count among those under way any more.
    pub(crate) fn leave(&self) {
        if !self.left.swap(true, Ordering::Relaxed) {
            let taken = if self.stream {
                &self.tenant.streams
            } else {
                &self.tenant.calls
            };
            taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.leave();
    }
}

fn limited(message: &'static str, wait: Duration) -> Fault {
    Fault::new(Code::ResourceExhausted, ErrorReason::RateLimited, message).retry_after(wait)
}

fn refused(kind: &'static str) -> Counter {
    metrics::counter!("rpc_quota_refused_total", "kind" => kind)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;

    const SMALL: Quota = Quota {
        per_minute: 60,
        burst: 10,
        calls: 4,
        streams: 2,
    };

    fn application(number: u128) -> ApplicationId {
        ApplicationId::from_uuid(Uuid::from_u128(number))
    }

    fn shown(share: &Share) -> [String; 3] {
        let mut headers = HeaderMap::new();
        share.show(&mut headers);
        [LIMIT, REMAINING, RESET].map(|name| headers[name].to_str().expect("text").to_owned())
    }

    #[test]
    fn a_burst_and_then_the_rate_and_answers_say_what_is_left() {
        let tenants = Tenants::new(SMALL);
        let share = tenants.admit(application(1), false).expect("admitted");
        assert_eq!(shown(&share), ["10", "9", "1"]);
        share.charge(5).expect("charged");
        assert_eq!(shown(&share), ["10", "4", "6"]);
        let fault = share.charge(5).expect_err("too much");
        assert_eq!(
            (fault.code(), fault.reason()),
            (Code::ResourceExhausted, ErrorReason::RateLimited)
        );
        share.charge(4).expect("what is left can be had");
        drop(share);
        assert!(tenants.admit(application(1), false).is_err());
        assert!(
            tenants.admit(application(2), false).is_ok(),
            "another's quota is its own"
        );
    }

    #[test]
    fn no_request_costs_more_than_what_may_come_at_once() {
        let tenants = Tenants::new(Quota { burst: 3, ..SMALL });
        let share = tenants.admit(application(1), false).expect("admitted");
        assert!(share.charge(1_000).is_err());
        let other = Tenants::new(Quota { burst: 3, ..SMALL });
        let bucket = Bucket::new(&other.quota).expect("a bucket");
        assert_eq!(bucket.take(NonZeroU32::MAX), Ok(0));
        let wait = bucket.take(NonZeroU32::MIN).expect_err("used up");
        assert!(
            wait > Duration::from_millis(500) && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
    }

    #[test]
    fn calls_and_streams_under_way_are_bounded_each_for_itself_and_given_back() {
        let tenants = Tenants::new(Quota { per_minute: 0, ..SMALL });
        let admit = |stream| tenants.admit(application(1), stream);
        let calls: Vec<_> = (0..4).map(|_| admit(false).expect("a place")).collect();
        assert!(admit(false).is_err());
        let streams: Vec<_> = (0..2).map(|_| admit(true).expect("a place")).collect();
        assert!(admit(true).is_err());
        calls[0].leave();
        calls[0].leave();
        let fifth = admit(false).expect("the first only waits");
        assert!(admit(false).is_err());
        drop((calls, streams, fifth));
        assert!((0..4).all(|_| admit(false).is_ok()) && admit(true).is_ok());
    }

    #[test]
    fn without_a_rate_nothing_is_counted_or_shown() {
        let tenants = Tenants::new(Quota { per_minute: 0, ..SMALL });
        let share = tenants.admit(application(1), false).expect("admitted");
        share.charge(u32::MAX).expect("free");
        let mut headers = HeaderMap::new();
        share.show(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn a_call_that_is_refused_keeps_no_place() {
        let tenants = Tenants::new(Quota { burst: 1, ..SMALL });
        let _first = tenants.admit(application(1), false).expect("admitted");
        for _ in 0..10 {
            assert!(tenants.admit(application(1), false).is_err());
        }
        assert_eq!(tenants.tenant(application(1)).calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn applications_that_are_remembered_are_bounded() {
        let tenants = Tenants::new(SMALL);
        for number in 0..MOST as u128 + 10 {
            assert!(tenants.admit(application(number), false).is_ok());
        }
        assert_eq!(tenants.known.read().expect("a map").len(), MOST);
    }

    #[test]
    fn it_costs_little() {
        let tenants = Tenants::new(Quota::default());
        let begun = Instant::now();
        for _ in 0..10_000 {
            let share = tenants.admit(application(1), false).expect("admitted");
            share.show(&mut HeaderMap::with_capacity(8));
        }
        // Below a microsecond in a release build; a bound that a busy machine keeps in a debug build.
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
