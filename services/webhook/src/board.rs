//! What the tasks of this process tell each other: how far lanes reach, and whether decoding is stopped. All of it stands in Postgres; this spares asking.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::Notify;

/// How many lanes there are: rows of `webhook.lane`.
pub(crate) const LANES: usize = 4;

/// Shared by ingest, the decoder, un-parking and RPCs.
#[derive(Debug, Default)]
pub(crate) struct Board {
    lanes: [Lane; LANES],
    paused: AtomicBool,
    over_budget: AtomicBool,
    unpark: Notify,
}

#[derive(Debug, Default)]
struct Lane {
    head: AtomicI64,
    grew: Notify,
}

// === impl Board ===

impl Board {
    /// The lane reaches at least to `head`.
    pub(crate) fn reached(&self, lane: usize, head: i64) {
        if let Some(lane) = self.lanes.get(lane)
            && lane.head.fetch_max(head, Ordering::AcqRel) < head
        {
            lane.grew.notify_one();
        }
    }

    /// How far the lane reaches, as far as is known here.
    pub(crate) fn head(&self, lane: usize) -> i64 {
        self.lanes.get(lane).map_or(0, |lane| lane.head.load(Ordering::Acquire))
    }

    /// Waits until the lane grows. A growth between two calls is not missed.
    pub(crate) async fn grown(&self, lane: usize) {
        match self.lanes.get(lane) {
            Some(lane) => lane.grew.notified().await,
            None => std::future::pending().await,
        }
    }

    /// An operator stopped or resumed decoding.
    pub(crate) fn set_paused(&self, paused: bool) {
        if self.paused.swap(paused, Ordering::AcqRel) && !paused {
            for lane in &self.lanes {
                lane.grew.notify_one();
            }
            self.unpark.notify_one();
        }
    }

    /// Whether decoding is stopped.
    pub(crate) fn paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Stored webhooks take up all the room they may, or no longer. Returns what was known before.
    pub(crate) fn set_over_budget(&self, over: bool) -> bool {
        self.over_budget.swap(over, Ordering::AcqRel)
    }

    /// Whether stored webhooks take up all the room they may.
    pub(crate) fn over_budget(&self) -> bool {
        self.over_budget.load(Ordering::Acquire)
    }

    /// A number's parked items can be applied.
    pub(crate) fn unparked(&self) {
        self.unpark.notify_one();
    }

    /// Waits until a number's parked items can be applied.
    pub(crate) async fn unpark(&self) {
        self.unpark.notified().await;
    }
}
