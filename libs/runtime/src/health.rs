use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Whether the process wants traffic. It does when it has begun, does not stop, and no part says otherwise. Cheap to clone.
///
/// A dependency that is away is no reason to be unready: every replica would become so at once, and callers would see connection errors where they
/// should see UNAVAILABLE with a retry time. A part reports what a restart or another replica cures.
#[derive(Debug, Clone)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Mutex<BTreeMap<&'static str, bool>>,
    ready: watch::Sender<bool>,
}

/// One part of the process, as it reports whether it is ready.
#[derive(Debug, Clone)]
pub struct Part {
    health: Health,
    name: &'static str,
}

// === impl Health ===

impl Health {
    /// Not ready: nothing has begun.
    pub fn new() -> Self {
        let health = Self(Arc::new(Inner {
            parts: Mutex::default(),
            ready: watch::Sender::new(false),
        }));
        health.set("process", false);
        health
    }

    /// Adds a part that is not ready yet.
    pub fn part(&self, name: &'static str) -> Part {
        self.set(name, false);
        Part {
            health: self.clone(),
            name,
        }
    }

    /// All parts are ready.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// The parts that are not ready.
    pub fn unready(&self) -> Vec<&'static str> {
        let parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts
            .iter()
            .filter(|(_, ready)| !**ready)
            .map(|(name, _)| *name)
            .collect()
    }

    /// Follows readiness.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// The process as a whole begins or ceases to want traffic.
    pub(crate) fn set_process(&self, ready: bool) {
        self.set("process", ready);
    }

    fn set(&self, name: &'static str, ready: bool) {
        let mut parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(name, ready);
        let all = parts.values().all(|ready| *ready);
        // Under the lock, so that two parts cannot overtake one another.
        self.0.ready.send_if_modified(|was| std::mem::replace(was, all) != all);
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Part ===

impl Part {
    /// Reports whether the part is ready.
    pub fn set(&self, ready: bool) {
        self.health.set(self.name, ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_that_is_not_ready_keeps_traffic_away() {
        let health = Health::new();
        assert!(!health.is_ready());
        let ingest = health.part("ingest");
        health.set_process(true);
        assert_eq!(health.unready(), ["ingest"]);
        ingest.set(true);
        assert!(health.is_ready());
        health.set_process(false);
        assert!(!health.is_ready());
    }
}
