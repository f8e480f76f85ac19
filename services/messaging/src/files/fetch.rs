//! Users' media: fetched from Meta by whichever process is free, one application after the other, until they are here or Meta has them no more.
//!
//! A try is a lease that its process renews; of a process that died it runs out, and another takes the file on. What a try wrote is found by the janitor.

mod announce;
mod attempt;
mod meta;
mod tell;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use outeract_domain::ApplicationId;
use outeract_graph::Client;
use outeract_rpc::Channel;
use outeract_runtime::{Context, OnExit, Stop, Tasks};
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::Files;
use crate::config::{FetchLimits, Timing};
use crate::dispatch::Credentials;
use crate::projection::Projection;
use crate::seldom::Seldom;
use crate::store::fetch::{self as store, Claimed};
use crate::store::{DbError, run};

pub(crate) use self::announce::Announcement;

/// Wakes the task that fetches, or the one that tells. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Bell(Arc<Notify>);

/// Fetches users' media.
#[derive(Debug)]
pub(super) struct Fetcher {
    needs: Arc<Needs>,
    running: HashMap<Uuid, Claimed>,
    /// The application that was served last.
    after: Uuid,
    complaints: Seldom,
}

/// What fetching needs.
#[derive(Debug)]
pub(super) struct Needs {
    pub files: Files,
    pub projection: Projection,
    pub credentials: Credentials,
    pub graph: Client,
    pub limits: FetchLimits,
    pub timing: Timing,
    pub tasks: Tasks,
    pub stop: Stop,
    /// An end is to be told.
    pub ended: Bell,
}

/// Applications that one look finds.
const APPLICATIONS: i64 = 64;
/// Between counts of what waits.
const MEASURES: Duration = Duration::from_secs(15);

// === impl Bell ===

impl Bell {
    pub(super) fn ring(&self) {
        self.0.notify_one();
    }

    pub(super) async fn rung(&self) {
        self.0.notified().await;
    }
}

/// Begins to fetch, and to tell what came of it, in tasks of `context`.
pub(super) fn start(context: &Context, needs: Needs, tracking: Channel) {
    context.tasks.spawn(
        "files.tell",
        OnExit::StopProcess,
        tell::tell(needs.files.clone(), tracking, needs.ended.clone(), context.stop.clone()),
    );
    let fetcher = Fetcher {
        needs: Arc::new(needs),
        running: HashMap::new(),
        after: Uuid::nil(),
        complaints: Seldom::default(),
    };
    context.tasks.spawn("files.fetch", OnExit::StopProcess, fetcher.run());
}

// === impl Fetcher ===

impl Fetcher {
    async fn run(mut self) {
        let timing = self.needs.timing;
        let stop = self.needs.stop.clone();
        let bell = self.needs.files.0.announced.clone();
        let (done, mut ended) = mpsc::channel(self.needs.limits.at_a_time);
        let mut looks = interval(timing.refresh);
        let mut renewals = interval(timing.heartbeat);
        let mut measures = interval(MEASURES);
        for ticks in [&mut looks, &mut renewals, &mut measures] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            let outcome = tokio::select! {
                () = stop.soft().cancelled() => return,
                Some(lease) = ended.recv() => {
                    self.running.remove(&lease);
                    self.look(&done).await
                }
                () = bell.rung() => self.look(&done).await,
                _ = looks.tick() => self.look(&done).await,
                _ = renewals.tick() => self.renew().await,
                _ = measures.tick() => self.measure().await,
            };
            if let Err(cause) = outcome
                && self.complaints.again()
            {
                tracing::warn!(%cause, "Files of users' messages could not be looked for");
            }
        }
    }

    /// Begins as many tries as there is room for, one application after the other.
    async fn look(&mut self, done: &mpsc::Sender<Uuid>) -> Result<(), DbError> {
        // Twice: once to the end of the applications, and once from their beginning.
        for _ in 0..2 {
            let room = self.needs.limits.at_a_time.saturating_sub(self.running.len());
            if room == 0 {
                return Ok(());
            }
            let db = &self.needs.files.0.db;
            let after = self.after;
            let found = run!(db, "fetch.applications", |conn| store::applications(
                conn,
                after,
                APPLICATIONS
            ))?;
            let last = found.last().copied();
            self.after = last
                .filter(|_| found.len() as i64 == APPLICATIONS)
                .unwrap_or(Uuid::nil());
            self.claim(&found, room, done).await?;
            if self.after.is_nil() && after.is_nil() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn claim(&mut self, found: &[Uuid], room: usize, done: &mpsc::Sender<Uuid>) -> Result<(), DbError> {
        let share = share(self.needs.limits.at_a_time);
        let wanting: Vec<Uuid> = found.iter().copied().filter(|id| self.of(*id) < share).collect();
        let (Some(last), Some(most)) = (wanting.last(), wanting.iter().map(|id| self.of(*id)).max()) else {
            return Ok(());
        };
        let last = *last;
        let each = (share - most).min(room.div_ceil(wanting.len()));
        let seconds = self.needs.timing.expiry.as_secs_f64();
        let db = &self.needs.files.0.db;
        let claimed = run!(db, "fetch.claim", |conn| store::claim(
            conn,
            &wanting,
            each as i64,
            room as i64,
            seconds
        ))?;
        // Those behind the last that was served come first the next time.
        if claimed.len() == room {
            self.after = claimed
                .iter()
                .map(|file| file.application)
                .max()
                .filter(|id| *id != last)
                .unwrap_or(self.after);
        }
        for file in claimed {
            self.begin(file, done.clone());
        }
        Ok(())
    }

    fn of(&self, application: Uuid) -> usize {
        self.running
            .values()
            .filter(|file| file.application == application)
            .count()
    }

    fn begin(&mut self, file: Claimed, done: mpsc::Sender<Uuid>) {
        self.running.insert(file.lease, file.clone());
        let needs = Arc::clone(&self.needs);
        self.needs.tasks.spawn("files.fetch.try", OnExit::Continue, async move {
            let lease = file.lease;
            // Should it panic, its lease runs out and the file is tried again, here or elsewhere.
            if AssertUnwindSafe(attempt::run(&needs, file))
                .catch_unwind()
                .await
                .is_err()
            {
                tracing::error!("Fetching a file panicked");
            }
            // In a process that stops nobody listens.
            let _ = done.send(lease).await;
        });
    }

    async fn renew(&self) -> Result<(), DbError> {
        if self.running.is_empty() {
            return Ok(());
        }
        let (leases, files): (Vec<Uuid>, Vec<Uuid>) = self.running.values().map(|file| (file.lease, file.file)).unzip();
        let seconds = self.needs.timing.expiry.as_secs_f64();
        run!(self.needs.files.0.db, "fetch.renew", |conn| store::renew(
            conn, &files, &leases, seconds
        ))
    }

    async fn measure(&self) -> Result<(), DbError> {
        let (count, age) = run!(self.needs.files.0.db, "fetch.backlog", |conn| store::backlog(conn))?;
        metrics::gauge!("messaging_files_pending").set(count as f64);
        metrics::gauge!("messaging_files_pending_age_seconds").set(age);
        metrics::gauge!("messaging_files_fetching").set(self.running.len() as f64);
        Ok(())
    }
}

/// Of so many tries at a time, those that one application may have: one whose media hang leaves places to others.
fn share(all: usize) -> usize {
    (all - all / 4).max(1)
}

/// The application of a file.
fn application(file: &Claimed) -> ApplicationId {
    ApplicationId::from_uuid(file.application)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_application_never_has_all_places_unless_there_is_only_one() {
        assert_eq!(share(1), 1);
        for all in 4..=64 {
            assert!(share(all) < all && share(all) >= all / 2);
        }
    }
}
