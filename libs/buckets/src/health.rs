use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Gauge, gauge};
use redis::RedisError;
use tokio::time::Instant;

const FIRST_PROBE: Duration = Duration::from_millis(500);
const LAST_PROBE: Duration = Duration::from_secs(5);

/// Whether Redis is worth a call. While it is away one caller at a time finds out whether it is back.
#[derive(Debug)]
pub(crate) struct Health {
    state: Mutex<State>,
    degraded: Gauge,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Well,
    Away { probe_at: Instant, pause: Duration },
}

/// The right to one call. Dropped without a word (the caller was cancelled), it counts as nothing.
pub(crate) struct Attempt<'a> {
    health: &'a Health,
    /// Made while Redis was away.
    probe: bool,
}

// === impl Health ===

impl Health {
    pub(crate) fn new() -> Self {
        let degraded = gauge!("buckets_degraded");
        degraded.set(0.0);
        Self {
            state: Mutex::new(State::Well),
            degraded,
        }
    }

    /// None while Redis is away and nobody needs to look.
    pub(crate) fn attempt(&self) -> Option<Attempt<'_>> {
        let mut state = self.lock();
        let probe = match &mut *state {
            State::Well => false,
            State::Away { probe_at, pause } => {
                let now = Instant::now();
                if now < *probe_at {
                    return None;
                }
                // Others stay away until this one knows.
                *probe_at = now + *pause;
                true
            }
        };
        Some(Attempt { health: self, probe })
    }

    pub(crate) fn is_degraded(&self) -> bool {
        matches!(*self.lock(), State::Away { .. })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Attempt ===

impl Attempt<'_> {
    /// Learns from what the call came to.
    pub(crate) fn settle<T>(self, outcome: Result<T, RedisError>) -> Option<T> {
        let mut state = self.health.lock();
        match outcome {
            Ok(value) => {
                if matches!(*state, State::Away { .. }) {
                    *state = State::Well;
                    self.health.degraded.set(0.0);
                    tracing::info!("Redis is back: token buckets are shared again");
                }
                Some(value)
            }
            Err(error) => {
                let pause = match *state {
                    State::Well => {
                        self.health.degraded.set(1.0);
                        // The kind, not the text: that could name the server's address and user.
                        tracing::warn!(kind = ?error.kind(), "Redis is away: this process limits by itself");
                        FIRST_PROBE
                    }
                    State::Away { pause, .. } if self.probe => (pause * 2).min(LAST_PROBE),
                    // One of many calls that failed together: the first has said it all.
                    State::Away { .. } => return None,
                };
                *state = State::Away {
                    probe_at: Instant::now() + pause,
                    pause,
                };
                None
            }
        }
    }
}
