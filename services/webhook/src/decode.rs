//! From stored webhooks to events: read by cursor, route, apply, account. The stored webhook is the retry record: the cursor moves when every item is accounted for.

pub(crate) mod account;
mod apply;
mod bisect;
mod content;
mod lane;
mod news;
mod reader;
mod route;
mod siblings;
mod standing;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use outeract_postgres::Summary;
use outeract_runtime::Stop;
use outeract_seal::KeyRing;
use sqlx::PgPool;
use uuid::Uuid;

use crate::board::Board;
use account::Fate;
pub(crate) use bisect::{Patience, Stalled};
pub(crate) use reader::{Batch, Item, KeyMissing, read};
pub(crate) use route::{BehindParked, Routes, Target};
pub(crate) use siblings::Siblings;

/// Decodes. One per process, shared by its tasks.
pub(crate) struct Decoder {
    /// The database.
    pub db: PgPool,
    /// Opens bodies.
    pub keyring: Arc<KeyRing>,
    /// What the tasks of this process tell each other.
    pub board: Arc<Board>,
    /// Where items go.
    pub siblings: Siblings,
    /// This process, as leases name it.
    pub holder: Uuid,
    /// When to stop.
    pub stop: Stop,
}

/// Why decoding has to wait. Nothing is lost: the cursor stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Waiting {
    /// A sibling.
    #[error(transparent)]
    Sibling(#[from] Stalled),
    /// The key ring.
    #[error(transparent)]
    Key(#[from] KeyMissing),
    /// The database.
    #[error("{}", Summary(.0))]
    Database(#[from] sqlx::Error),
}

/// Posts, and bytes of bodies, of one batch.
pub(crate) const MAX_POSTS: i64 = 512;
/// As [`MAX_POSTS`].
pub(crate) const MAX_BYTES: i64 = 4 << 20;

/// How often in a row a sibling failed over what it was given, and took nothing: it may be broken, or all of it may be poison.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rounds(u32);

/// After as many rounds, which take about a minute, a little is taken alone, and what the sibling fails over is set aside: nothing is held up for ever, and a sibling that is broken for long has
/// little set aside, which can be retried.
const ROUNDS: u32 = 8;

/// Waits between attempts that fail: a quarter of a second at first, twice as long each time, 15 seconds at most.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

// === impl Decoder ===

impl Decoder {
    /// Applies the items that have a destination, and says what became of every item of the batch, in order.
    pub(crate) async fn apply(
        &self,
        batch: &Batch,
        targets: Vec<Target>,
        patience: Patience,
    ) -> Result<Vec<Fate>, Waiting> {
        Ok(apply::apply(&self.siblings, batch, targets, patience).await?)
    }

    /// Decoding goes on: the process does not stop, and no operator has stopped it.
    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.is_stopping() && !self.board.paused()
    }

    /// Waits for `time`, or until the process stops.
    pub(crate) async fn pause(&self, time: Duration) {
        tokio::select! {
            () = self.stop.soft().cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Counts it, and says it in the log.
    pub(crate) fn report(&self, what: &'static str) {
        let why = match self {
            Self::Sibling(_) => "sibling",
            Self::Key(_) => "key",
            Self::Database(_) => "database",
        };
        metrics::counter!("webhook_decode_waits_total", "why" => why).increment(1);
        tracing::warn!(what, error = %self, "Decoding waits; webhooks are kept and tried again");
    }
}

// === impl Rounds ===

impl Rounds {
    /// A round has failed.
    pub(crate) fn failed(&mut self, waiting: &Waiting) {
        if let Waiting::Sibling(stalled) = waiting
            && stalled.is_broken()
        {
            self.0 += 1;
        }
    }

    /// For the next round. With [`Patience::Last`] it is to be a small one.
    pub(crate) const fn patience(self) -> Patience {
        if self.0 < ROUNDS {
            Patience::Waits
        } else {
            Patience::Last
        }
    }
}

// === impl Backoff ===

impl Backoff {
    const FIRST: Duration = Duration::from_millis(250);
    const MOST: Duration = Duration::from_secs(15);

    /// Nothing has failed.
    pub(crate) const fn new() -> Self {
        Self(Self::FIRST)
    }

    /// Something failed: how long to wait.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(Self::MOST);
        wait
    }

    /// Something worked.
    pub(crate) fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}
