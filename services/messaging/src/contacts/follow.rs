//! Merges and erasures that other processes made, and what was written to a merged contact by whoever did not know yet.

use std::time::{Duration, Instant};

use outeract_runtime::Stop;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::meet::Registry;
use crate::seldom::Seldom;
use crate::store::merge as store;
use crate::store::{DbError, erasure, run, upkeep};

/// Merges of one look.
const PAGE: i64 = 1_000;
/// For so long whoever did not know of a merge may write to the merged contact: longer than any statement runs.
const UNKNOWING: Duration = Duration::from_secs(30);
/// A process that begins looks so far back: whoever died in the middle of a merge left the rest of it.
const BEFORE: Duration = Duration::from_hours(1);

/// Follows merges until the process stops.
pub(crate) async fn follow(registry: Registry, worker: Uuid, every: Duration, stop: Stop) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let away = Seldom::default();
    let mut back = BEFORE;
    loop {
        tokio::select! {
            () = stop.soft().cancelled() => return,
            _ = tick.tick() => {}
        }
        let begun = Instant::now();
        match registry.follow(worker, every, back).await {
            Ok(()) => back = UNKNOWING,
            Err(cause) => {
                back = (back + begun.elapsed() + every).min(BEFORE);
                if away.again() {
                    tracing::warn!(%cause, "Merged contacts could not be followed");
                }
            }
        }
    }
}

// === impl Registry ===

impl Registry {
    async fn follow(&self, worker: Uuid, every: Duration, back: Duration) -> Result<(), DbError> {
        let gone = run!(self.db, "erasure.lately", |conn| erasure::lately(
            conn,
            back.as_secs_f64()
        ))?;
        for contact in gone {
            self.contacts.erased(contact);
        }
        let mut after = None;
        let lease = (every * 3).as_secs_f64();
        loop {
            let page = run!(self.db, "merge.since", |conn| store::since(
                conn,
                back.as_secs_f64(),
                after,
                PAGE
            ))?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.at, last.id));
            let whole = page.len() as i64 == PAGE;
            let merged: Vec<_> = page.iter().map(|row| (row.merged.source, row.merged.target)).collect();
            for (source, target) in &merged {
                self.contacts.merged(*source, *target);
            }
            let mine = run!(self.db, "merge.lease", |conn| upkeep::lease(
                conn, "merges", worker, lease
            ))?;
            if mine {
                self.carry(&merged).await?;
            }
            if !whole {
                return Ok(());
            }
        }
    }
}
