//! What a lane sends next: retries that are due, then what comes next in the log.

use std::sync::Arc;
use std::time::Duration;

use outeract_rpc::Fault;
use tokio::time::Instant;

use super::Lane;
use crate::fault;
use crate::hooks::flight::Job;
use crate::hooks::send::Destination;
use crate::hooks::vault::Column;
use crate::read::{Filter, Range};
use crate::store::delivery;
use crate::store::subscription::{self, BEHIND};

/// Events read at a time, and their bytes, give or take one.
const PAGE: i64 = 16;
const PAGE_BYTES: i64 = 256 << 10;
/// Retries that may wait before nothing new is sent.
const MAX_RETRIES: i64 = 1_000;
/// A subscription is read anew at least so often: a secret that was rotated out ends.
const FRESH: Duration = Duration::from_mins(1);

// === impl Lane ===

impl Lane {
    /// Reads the subscription where it may have changed.
    pub(super) async fn refresh(&mut self) -> Result<(), Fault> {
        let changed = self.told.take_changed();
        if !changed && self.loaded.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        let (application, id) = (self.held.application_id, self.held.id);
        let found = {
            let _read = self.shared.read().await?;
            let row = subscription::find(&self.shared.pool, application, id)
                .await
                .map_err(fault::database)?;
            if self.loaded.is_none() {
                self.waiting = delivery::waiting(&self.shared.pool, id, MAX_RETRIES)
                    .await
                    .map_err(fault::database)?;
            }
            row
        };
        let Some(row) = found.filter(|row| row.state == subscription::ACTIVE) else {
            self.told.stop.cancel();
            return Ok(());
        };
        let vault = &self.shared.vault;
        let target = vault.open(application, Column::Target, id, &row.target)?;
        let mut secrets = vec![vault.open(application, Column::Secret, id, &row.secret)?];
        if let Some(previous) = &row.previous_secret {
            secrets.push(vault.open(application, Column::Secret, id, previous)?);
        }
        self.destination = Arc::new(Destination {
            target: self.shared.sender.guarded().target(target.expose()).ok(),
            secrets,
        });
        let filter = Filter::parse(row.patterns.as_slice(), &mut Vec::new());
        if self.loaded.is_none() {
            (self.read, self.saved) = (row.position, row.position);
        } else {
            // Other patterns may choose others; and whose user was erased meanwhile says less now.
            self.unread();
        }
        self.filter = filter;
        self.loaded = Some(Instant::now());
        Ok(())
    }

    /// Forgets events that were read and not begun.
    fn unread(&mut self) {
        if let Some((first, _)) = self.events.front() {
            self.read = first - 1;
            // What is under way may come after one that was given back: it stays open.
            for (position, _) in self.events.drain(..) {
                self.open.remove(&position);
            }
            self.ahead = true;
        }
    }

    /// The next thing to send.
    pub(super) async fn job(&mut self) -> Result<Option<Job>, Fault> {
        if self.retries.is_empty() && std::mem::take(&mut self.due) {
            let found = {
                let _read = self.shared.read().await?;
                delivery::due(&self.shared.pool, self.held.id, &self.taken, PAGE).await
            };
            let found = found.map_err(|error| {
                self.due = true;
                fault::database(error)
            })?;
            self.due = found.len() as i64 == PAGE;
            self.taken.extend(found.iter().map(|due| due.id));
            self.retries.extend(found);
        }
        if let Some(due) = self.retries.pop_front() {
            return Ok(Some(Job::Again(due)));
        }
        if self.waiting >= MAX_RETRIES {
            return Ok(None);
        }
        while self.events.is_empty() && self.ahead {
            self.page().await?;
        }
        Ok(self.events.pop_front().map(|(position, event)| Job::First {
            position,
            event: Box::new(event),
        }))
    }

    /// Reads on in the log.
    async fn page(&mut self) -> Result<(), Fault> {
        let page = {
            let _read = self.shared.read().await?;
            let range = Range::from(self.read);
            self.shared
                .reader
                .scan(self.whose.application, range, &self.filter, PAGE, PAGE_BYTES)
                .await?
        };
        if page.ends.lost_after(self.read) {
            self.disable(BEHIND).await;
            self.ahead = false;
            return Ok(());
        }
        self.ahead = page.rest.reaches(&page.ends);
        self.read = page.rest.after;
        self.open.extend(&page.positions);
        self.events.extend(page.positions.into_iter().zip(page.events));
        Ok(())
    }
}
