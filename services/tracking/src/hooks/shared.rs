//! What all deliveries of a process share.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outeract_rpc::Fault;
use sqlx::PgPool;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::book::Book;
use super::send::Sender;
use super::vault::Vault;
use crate::read::Reader;
use crate::sealed::Bodies;

/// A process whose heartbeat is older has lost its subscriptions.
pub(super) const EXPIRY: Duration = Duration::from_secs(6);
/// Deliveries under way to targets that work, and to those not known to: neither takes the other's places.
const PROVEN: usize = 1_024;
const UNPROVEN: usize = 1_024;
/// One of so many database connections may be held for reading, so that deliveries never take the last ones from recording.
const READS: u32 = 8;

/// What all deliveries of a process share.
pub(super) struct Shared {
    pub(super) pool: PgPool,
    pub(super) reader: Arc<Reader>,
    pub(super) bodies: Bodies,
    pub(super) vault: Vault,
    pub(super) sender: Sender,
    pub(super) book: Book,
    pub(super) proven: Arc<Semaphore>,
    pub(super) unproven: Arc<Semaphore>,
    reads: Semaphore,
    /// Until when this process has its subscriptions without saying so again.
    held_until: Mutex<Option<Instant>>,
}

/// What the supervisor tells a lane.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// To stop once what is under way is done.
    pub(super) stop: CancellationToken,
    /// There is something to look at.
    pub(super) wake: Notify,
    ahead: AtomicBool,
    due: AtomicBool,
    changed: AtomicBool,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(
        pool: PgPool,
        reader: Arc<Reader>,
        bodies: Bodies,
        vault: Vault,
        sender: Sender,
        book: Book,
    ) -> Self {
        let reads = pool.options().get_max_connections() / READS;
        Self {
            pool,
            reader,
            bodies,
            vault,
            sender,
            book,
            proven: Arc::new(Semaphore::new(PROVEN)),
            unproven: Arc::new(Semaphore::new(UNPROVEN)),
            reads: Semaphore::new(reads.max(1) as usize),
            held_until: Mutex::new(None),
        }
    }

    /// Waits for a connection to be free for a delivery's reading.
    pub(super) async fn read(&self) -> Result<SemaphorePermit<'_>, Fault> {
        self.reads.acquire().await.map_err(|_| Fault::shutting_down())
    }

    /// This process said at `at` that it lives.
    pub(super) fn beaten(&self, at: Instant) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(at + EXPIRY);
    }

    /// Whether no other process can have taken over.
    pub(super) fn holds(&self) -> bool {
        let until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

// === impl Told ===

impl Told {
    /// The log goes on, or a retry is due.
    pub(super) fn ready(&self, ahead: bool, due: bool) {
        self.ahead.fetch_or(ahead, Ordering::Relaxed);
        self.due.fetch_or(due, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// What is delivered where is another by now.
    pub(super) fn change(&self) {
        self.changed.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    pub(super) fn take_ahead(&self) -> bool {
        self.ahead.swap(false, Ordering::Relaxed)
    }

    pub(super) fn take_due(&self) -> bool {
        self.due.swap(false, Ordering::Relaxed)
    }

    pub(super) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }
}
