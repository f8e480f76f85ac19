//! What travels with a message through the scheduler: its content, while there is room for it in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outeract_domain::ApplicationId;
use uuid::Uuid;

use crate::vault::Letter;

/// What travels with a message through the scheduler.
#[derive(Debug, Clone)]
pub(crate) struct Cargo {
    pub connection: Uuid,
    /// None: it is loaded when its turn comes.
    pub parcel: Option<Arc<Parcel>>,
}

/// A message in memory.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub application: ApplicationId,
    pub letter: Arc<Letter>,
    pub traceparent: Option<String>,
    pub _shelved: Option<Shelved>,
}

/// Room for content that is kept in memory until its message's turn.
#[derive(Debug)]
pub(crate) struct Shelf {
    left: Arc<AtomicUsize>,
}

/// Room that is taken. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Shelved {
    bytes: usize,
    left: Arc<AtomicUsize>,
}

// === impl Shelf ===

impl Shelf {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(bytes)),
        }
    }

    /// Room for so many bytes, if there is some.
    pub(crate) fn place(&self, bytes: usize) -> Option<Shelved> {
        let take = |left: usize| left.checked_sub(bytes);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .ok()?;
        Some(Shelved {
            bytes,
            left: Arc::clone(&self.left),
        })
    }
}

impl Drop for Shelved {
    fn drop(&mut self) {
        self.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}
