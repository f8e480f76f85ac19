use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::gcra;
use crate::{GiveBack, Grant, Take};

/// Keys that are held; more can only be had when some are full again.
const CAPACITY: usize = 100_000;

/// This process's own buckets, for when Redis is away.
#[derive(Debug)]
pub(crate) struct Local {
    /// Times count from here, in microseconds.
    start: Instant,
    parts: i64,
    full_at: Mutex<HashMap<String, i64>>,
}

// === impl Local ===

impl Local {
    pub(crate) fn new(max_replicas: u32) -> Self {
        Self {
            start: Instant::now(),
            parts: i64::from(max_replicas.max(1)) * 2,
            full_at: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn take(&self, takes: &[Take]) -> Vec<Grant> {
        let (now, mut buckets) = (self.now(), self.lock());
        if buckets.len() + takes.len() > CAPACITY {
            buckets.retain(|_, full_at| *full_at > now);
        }
        takes
            .iter()
            .map(|take| self.take_one(&mut buckets, now, take))
            .collect()
    }

    fn take_one(&self, buckets: &mut HashMap<String, i64>, now: i64, take: &Take) -> Grant {
        let shape = take.shape().divided(self.parts);
        let known = buckets.get(&take.key).copied();
        let barred = known.is_none() && buckets.len() >= CAPACITY;
        let answer = gcra::take(known, now, shape, if barred { 0 } else { take.want });
        if answer.granted > 0 {
            buckets.insert(take.key.clone(), answer.full_at);
        }
        let wait = if barred { shape.interval } else { answer.wait };
        Grant {
            granted: answer.granted,
            retry_after: Duration::from_micros(wait.unsigned_abs()),
            degraded: true,
        }
    }

    pub(crate) fn give_back<'a>(&self, returns: impl Iterator<Item = &'a GiveBack>) {
        let (now, mut buckets) = (self.now(), self.lock());
        for tokens in returns {
            if let Some(full_at) = buckets.get_mut(&tokens.key) {
                *full_at = gcra::give_back(*full_at, now, tokens.shape.divided(self.parts), tokens.count);
            }
        }
    }

    fn now(&self) -> i64 {
        self.start.elapsed().as_micros() as i64
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
