use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use outeract_seal::Secret;
use tokio::time::Instant;

use crate::gcra::Shape;
use crate::health::Health;
use crate::local::Local;
use crate::remote::{ConnectError, Remote};

/// Where the buckets are, and what this process may hand out without them.
#[derive(Debug, Clone)]
pub struct BucketsConfig {
    /// `redis://…`, or `rediss://…` with TLS.
    pub url: Secret,
    /// Goes before each key. No braces: the hash tag is the key's.
    pub prefix: String,
    /// Processes that share the buckets: each may use half of its share while Redis is away.
    pub max_replicas: u32,
}

/// A handle on the buckets: cheap to clone.
#[derive(Debug, Clone)]
pub struct Buckets(Arc<Inner>);

/// A wish for tokens of one bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Take {
    /// Names the bucket, with its hash tag in braces: `{<phone_number_id>}:<what>`.
    pub key: String,
    /// How fast it refills. Zero or less: never.
    pub rate_per_second: f64,
    /// How many tokens it holds at most; at least one.
    pub burst: u32,
    /// How many tokens to take at most.
    pub want: u32,
}

/// What a bucket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Tokens taken: `want` or fewer.
    pub granted: u32,
    /// Zero if all were granted; else when one more is due.
    pub retry_after: Duration,
    /// Whether this process gave them by itself because Redis was away.
    pub degraded: bool,
}

/// Tokens that were taken and not used; see [`Take::give_back`].
#[derive(Debug, Clone, PartialEq)]
pub struct GiveBack {
    pub(crate) key: String,
    pub(crate) shape: Shape,
    pub(crate) count: u32,
    degraded: bool,
}

/// Tokens that are used whether they are there or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Spend {
    /// Names the bucket, as in [`Take`].
    pub key: String,
    /// How fast it refills, as in [`Take`].
    pub rate_per_second: f64,
    /// How many tokens it holds at most, as in [`Take`].
    pub burst: u32,
    /// How many tokens are used.
    pub count: u32,
}

#[derive(Debug)]
struct Inner {
    remote: Remote,
    local: Local,
    health: Health,
    meter: Meter,
}

struct Meter {
    call: Histogram,
    granted: [Counter; 2],
    refused: [Counter; 2],
}

// === impl Buckets ===

impl Buckets {
    /// Connects on first use: Redis may be away when the process starts.
    pub fn connect(config: &BucketsConfig) -> Result<Self, ConnectError> {
        Ok(Self(Arc::new(Inner {
            remote: Remote::new(&config.url, &config.prefix)?,
            local: Local::new(config.max_replicas),
            health: Health::new(),
            meter: Meter::new(),
        })))
    }

    /// Takes tokens: one answer per wish, in the same order. Never fails and, at worst, waits 250 ms.
    pub async fn take(&self, takes: &[Take]) -> Vec<Grant> {
        if takes.is_empty() {
            return Vec::new();
        }
        let inner = &*self.0;
        let mut grants = None;
        if let Some(attempt) = inner.health.attempt() {
            let start = Instant::now();
            let answer = inner.remote.take(takes).await;
            inner.meter.call.record(start.elapsed());
            grants = attempt.settle(answer);
        }
        let grants = grants.unwrap_or_else(|| inner.local.take(takes));
        inner.meter.count(takes, &grants);
        grants
    }

    /// Puts unused tokens back where they came from. A best effort: while Redis is away its tokens are gone.
    pub async fn give_back(&self, returns: &[GiveBack]) {
        let inner = &*self.0;
        inner.local.give_back(returns.iter().filter(|tokens| tokens.degraded));
        let remote: Vec<_> = returns
            .iter()
            .filter(|tokens| !tokens.degraded && tokens.count > 0)
            .collect();
        if remote.is_empty() {
            return;
        }
        if let Some(attempt) = inner.health.attempt() {
            attempt.settle(inner.remote.give_back(&remote).await);
        }
    }

    /// Uses tokens that cannot be waited for: a bucket that lacks them owes them, up to what refills in a second, and grants none before that is made good. All in one round trip. False:
    /// Redis is away, and nothing was counted.
    pub async fn spend(&self, spends: &[Spend]) -> bool {
        let inner = &*self.0;
        if spends.is_empty() {
            return true;
        }
        match inner.health.attempt() {
            Some(attempt) => attempt.settle(inner.remote.spend(spends).await).is_some(),
            None => false,
        }
    }

    /// Whether Redis is away at present.
    pub fn is_degraded(&self) -> bool {
        self.0.health.is_degraded()
    }
}

// === impl Take ===

impl Take {
    /// The way back for `count` tokens of `grant`, which answered this wish.
    pub fn give_back(&self, grant: &Grant, count: u32) -> GiveBack {
        GiveBack {
            key: self.key.clone(),
            shape: self.shape(),
            count: count.min(grant.granted),
            degraded: grant.degraded,
        }
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape::new(self.rate_per_second, self.burst)
    }
}

// === impl Spend ===

impl Spend {
    pub(crate) fn shape(&self) -> Shape {
        Shape::new(self.rate_per_second, self.burst)
    }
}

// === impl Meter ===

impl Meter {
    fn new() -> Self {
        let tokens = |outcome: &'static str| {
            ["redis", "local"].map(|source| counter!("buckets_tokens_total", "source" => source, "outcome" => outcome))
        };
        Self {
            call: histogram!("buckets_call_seconds"),
            granted: tokens("granted"),
            refused: tokens("refused"),
        }
    }

    fn count(&self, takes: &[Take], grants: &[Grant]) {
        let source = usize::from(grants.first().is_some_and(|grant| grant.degraded));
        let granted: u64 = grants.iter().map(|grant| u64::from(grant.granted)).sum();
        let wanted: u64 = takes.iter().map(|take| u64::from(take.want)).sum();
        self.granted[source].increment(granted);
        self.refused[source].increment(wanted.saturating_sub(granted));
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meter")
    }
}
