//! Time and randomness as arguments: production passes [`SystemClock`] and [`SystemRandom`], tests pass what they can steer.

#[cfg(feature = "test-util")]
mod fake;

use std::fmt::Debug;
use std::sync::Arc;

use rand::Rng;
use time::OffsetDateTime;

#[cfg(feature = "test-util")]
pub use fake::{FakeClock, SeededRandom};

/// Tells the time of day in UTC.
pub trait Clock: Send + Sync + Debug + 'static {
    /// The present moment.
    fn now(&self) -> OffsetDateTime;
}

/// A clock that many tasks hold.
pub type SharedClock = Arc<dyn Clock>;

/// Gives random bytes fit for keys and nonces.
pub trait Random: Send + Sync + Debug + 'static {
    /// Overwrites `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// A source of randomness that many tasks hold.
pub type SharedRandom = Arc<dyn Random>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Cryptographically strong random numbers, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

// === impl SystemClock ===

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

// === impl SystemRandom ===

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // A cryptographic generator per thread, seeded by the operating system: ids and nonces are made on the hot path.
        rand::rng().fill_bytes(bytes);
    }
}
