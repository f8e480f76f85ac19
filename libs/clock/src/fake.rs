use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use time::{Duration, OffsetDateTime};

use crate::{Clock, Random};

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct FakeClock {
    micros: AtomicI64,
}

/// Randomness that repeats for the same seed.
#[derive(Debug)]
pub struct SeededRandom(Mutex<StdRng>);

// === impl FakeClock ===

impl FakeClock {
    /// Stands at `at`, to the microsecond.
    pub fn at(at: OffsetDateTime) -> Self {
        Self {
            micros: AtomicI64::new(micros(at)),
        }
    }

    /// Moves on by `by`.
    pub fn advance(&self, by: Duration) {
        self.micros.fetch_add(by.whole_microseconds() as i64, Ordering::SeqCst);
    }

    /// Moves to `at`, backwards too.
    pub fn set(&self, at: OffsetDateTime) {
        self.micros.store(micros(at), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::microseconds(self.micros.load(Ordering::SeqCst))
    }
}

fn micros(at: OffsetDateTime) -> i64 {
    (at.unix_timestamp_nanos() / 1_000) as i64
}

// === impl SeededRandom ===

impl SeededRandom {
    /// Repeats for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        rng.fill_bytes(bytes);
    }
}
