//! Calls that wait for an event to be recorded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

/// Calls that may wait at a time; one more is answered with what is there.
const MAX_WAITERS: usize = 1_024;

/// Who waits for which event in this process.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    events: HashMap<Uuid, Awaited>,
    calls: usize,
}

#[derive(Debug, Default)]
struct Awaited {
    recorded: Arc<Notify>,
    calls: usize,
}

/// One call's wait. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    id: Uuid,
    waiters: Arc<Waiters>,
    recorded: Arc<Notify>,
}

// === impl Waiters ===

impl Waiters {
    /// Waits for `id` from now on; `None`: too many wait already.
    pub(crate) fn wait(self: &Arc<Self>, id: Uuid) -> Option<Wait> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.calls >= MAX_WAITERS {
            return None;
        }
        waiting.calls += 1;
        let entry = waiting.events.entry(id).or_default();
        entry.calls += 1;
        let recorded = Arc::clone(&entry.recorded);
        Some(Wait {
            id,
            waiters: Arc::clone(self),
            recorded,
        })
    }

    /// Wakes who waits for one of these events.
    pub(crate) fn recorded(&self, ids: &[Uuid]) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.events.is_empty() {
            return;
        }
        for entry in ids.iter().filter_map(|id| waiting.events.get(id)) {
            entry.recorded.notify_waiters();
        }
    }
}

// === impl Wait ===

impl Wait {
    /// Resolves when the event is recorded after this call. Call it before looking for the event, so that nothing falls between.
    pub(crate) fn recorded(&self) -> impl Future<Output = ()> + '_ {
        let mut notified = Box::pin(self.recorded.notified());
        notified.as_mut().enable();
        notified
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = self.waiters.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.calls -= 1;
        if let Some(entry) = waiting.events.get_mut(&self.id) {
            entry.calls -= 1;
            if entry.calls == 0 {
                waiting.events.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_wait_ends_with_its_event_and_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::default());
        let (ours, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let wait = waiters.wait(ours).unwrap();
        let mut recorded = Box::pin(wait.recorded());
        waiters.recorded(&[other]);
        assert!(recorded.as_mut().now_or_never().is_none());
        waiters.recorded(&[other, ours]);
        assert!(recorded.as_mut().now_or_never().is_some());
        drop(recorded);
        drop(wait);
        assert!(waiters.waiting.lock().unwrap().events.is_empty());
    }

    #[test]
    fn waits_are_bounded() {
        let waiters = Arc::new(Waiters::default());
        let waits: Vec<_> = (0..MAX_WAITERS as u128)
            .map(|id| waiters.wait(Uuid::from_u128(id % 3)).unwrap())
            .collect();
        assert!(waiters.wait(Uuid::from_u128(0)).is_none());
        drop(waits);
        assert!(waiters.wait(Uuid::from_u128(0)).is_some());
    }
}
