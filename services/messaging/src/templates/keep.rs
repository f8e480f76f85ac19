//! Keeping templates up to date: accounts become known, readings begin when they are due, changes are followed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use outeract_runtime::OnExit;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::MissedTickBehavior;

use super::Templates;
use crate::config::Timing;
use crate::seldom::Seldom;
use crate::store::template_sync::{self as store, Reading};
use crate::store::{DbError, run, template};

/// What the loop remembers.
struct Keeper {
    templates: Templates,
    /// Accounts with an active connection that the table knows.
    introduced: HashSet<String>,
    since: OffsetDateTime,
    /// Changes that were seen since then.
    seen: HashMap<String, OffsetDateTime>,
}

/// Nothing has changed since then: the first look only learns the time. What changed before it, no memory of this process holds.
const NOTHING: OffsetDateTime = datetime!(9999-01-01 0:00 UTC);
/// What changed while a look was taken is seen by the next: by this much they overlap.
const OVERLAP: time::Duration = time::Duration::seconds(10);

/// Keeps templates up to date until the process stops.
pub(crate) async fn keep(templates: Templates, timing: Timing) {
    let stop = templates.0.reader.stop.clone();
    let mut connections = templates.0.reader.projection.changes();
    connections.mark_changed();
    let mut keeper = Keeper {
        templates,
        introduced: HashSet::new(),
        since: NOTHING,
        seen: HashMap::new(),
    };
    let mut look = tokio::time::interval(timing.refresh);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let failing = Seldom::default();
    loop {
        tokio::select! {
            () = stop.soft().cancelled() => return,
            _ = look.tick() => {}
        }
        let known = connections.has_changed().unwrap_or(false);
        if known {
            connections.mark_unchanged();
        }
        if let Err(cause) = keeper.look(known).await {
            if known {
                connections.mark_changed();
            }
            if failing.again() {
                tracing::warn!(%cause, "Templates could not be looked after");
            }
        }
    }
}

// === impl Keeper ===

impl Keeper {
    async fn look(&mut self, connections_changed: bool) -> Result<(), DbError> {
        if connections_changed {
            self.introduce().await?;
        }
        self.write_down().await?;
        self.follow().await?;
        self.begin().await
    }

    /// Makes accounts known whose first connection became active.
    async fn introduce(&mut self) -> Result<(), DbError> {
        let active = self.templates.0.reader.projection.accounts();
        self.introduced.retain(|waba| active.contains(waba));
        let mut new: Vec<_> = active.difference(&self.introduced).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        new.sort_unstable();
        run!(self.templates.0.reader.db, "template_sync.introduce", |conn| {
            store::introduce(conn, &new)
        })?;
        self.introduced = active;
        Ok(())
    }

    async fn write_down(&self) -> Result<(), DbError> {
        let db = &self.templates.0.reader.db;
        let taken = self.templates.0.asks.take();
        if !taken.refused.is_empty() {
            run!(db, "template.refuse", |conn| template::refuse(conn, &taken.refused))?;
        }
        if !taken.wabas.is_empty() {
            run!(db, "template_sync.want", |conn| store::want(conn, &taken.wabas))?;
        }
        Ok(())
    }

    /// Drops from memory what changed, here or in another process.
    async fn follow(&mut self) -> Result<(), DbError> {
        let inner = &self.templates.0;
        let since = self.since;
        let (changed, now) = run!(inner.reader.db, "template_sync.changed", |conn| store::changed(
            conn, since
        ))?;
        for (waba, at) in &changed {
            if self.seen.get(waba) == Some(at) {
                // What was read into memory while it changed is dropped, too.
                inner.registry.forget(waba);
            } else {
                inner.registry.changed(waba);
            }
        }
        self.seen = changed.into_iter().collect();
        self.since = now - OVERLAP;
        Ok(())
    }

    /// Begins the readings that are due, as many as there is room for.
    async fn begin(&self) -> Result<(), DbError> {
        let inner = &self.templates.0;
        let free = std::iter::from_fn(|| Arc::clone(&inner.due).try_acquire_owned().ok());
        let permits: Vec<_> = free.collect();
        if permits.is_empty() {
            return Ok(());
        }
        let due = self.templates.begin_due(permits.len()).await?;
        for (reading, permit) in due.into_iter().zip(permits) {
            let reading = read_due(self.templates.clone(), reading, permit);
            inner.tasks.spawn("templates.read", OnExit::Continue, reading);
        }
        Ok(())
    }
}

// === impl Templates ===

impl Templates {
    async fn begin_due(&self, limit: usize) -> Result<Vec<Reading>, DbError> {
        let lease = self.0.lease();
        let limit = limit as i64;
        run!(self.0.reader.db, "template_sync.begin_due", |conn| store::begin_due(
            conn, lease, limit
        ))
    }
}

/// Carries a reading to its end, then others that are due, until there are none.
async fn read_due(templates: Templates, mut reading: Reading, _permit: OwnedSemaphorePermit) {
    let stop = templates.0.reader.stop.clone();
    loop {
        // What went wrong was written down.
        let _ = templates.carry(reading).await;
        if stop.is_stopping() {
            return;
        }
        let next = templates.begin_due(1).await;
        match next.ok().and_then(|mut due| due.pop()) {
            Some(next) => reading = next,
            None => return,
        }
    }
}
