//! Reading events: one with its children, or many in log order.

mod filter;
mod get;
mod list;
mod scan;
mod waiters;

use std::sync::Arc;
use std::time::Duration;

use outeract_clock::SharedClock;
use outeract_rpc::page::PageTokens;
use outeract_rpc::{Fault, deadline};
use sqlx::PgPool;
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use self::filter::{Filter, is_type};
pub(crate) use self::list::time;
pub(crate) use self::scan::Range;
pub(crate) use self::waiters::Waiters;
use crate::sealed::Bodies;

/// Reads logs.
#[derive(Debug)]
pub(crate) struct Reader {
    pool: PgPool,
    bodies: Bodies,
    tokens: PageTokens,
    waiters: Arc<Waiters>,
    clock: SharedClock,
    /// Connections that readers may hold, so that they never take the last ones from the flushers.
    slots: Semaphore,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(
        pool: PgPool,
        bodies: Bodies,
        tokens: PageTokens,
        waiters: Arc<Waiters>,
        clock: SharedClock,
        slots: usize,
    ) -> Self {
        Self {
            pool,
            bodies,
            tokens,
            waiters,
            clock,
            slots: Semaphore::new(slots.max(1)),
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn bodies(&self) -> &Bodies {
        &self.bodies
    }

    /// Waits for a connection to be free for a reader.
    pub(crate) async fn slot(&self) -> Result<SemaphorePermit<'_>, Fault> {
        self.slots.acquire().await.map_err(|_| Fault::shutting_down())
    }
}

/// What a call may still take, at most `most`.
fn patience(most: Duration) -> Duration {
    deadline::current().map_or(most, |deadline| deadline.remaining().mul_f64(0.9).min(most))
}
