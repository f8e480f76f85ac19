//! Against a real Redis.
#![expect(clippy::unwrap_used, reason = "tests")]

mod degraded;
mod shared;

use outeract_buckets::{Buckets, BucketsConfig, Take};
use outeract_seal::Secret;
use outeract_testkit::{redis_prefix, redis_url};

fn buckets(url: Secret, max_replicas: u32) -> Buckets {
    Buckets::connect(&BucketsConfig {
        url,
        prefix: redis_prefix(),
        max_replicas,
    })
    .unwrap()
}

fn shared() -> Buckets {
    buckets(redis_url(), 4)
}

fn take(key: &str, rate_per_second: f64, burst: u32, want: u32) -> Take {
    Take {
        key: key.to_owned(),
        rate_per_second,
        burst,
        want,
    }
}

/// So slow that no test sees a second token.
const SLOW: f64 = 0.000_1;
