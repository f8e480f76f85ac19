//! Removes what belongs to no file: objects of uploads that did not end well and of files that were deleted, and what Meta has of these.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use outeract_domain::ApplicationId;
use outeract_runtime::Stop;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;

use super::media::Media;
use super::object::{Store, StoreError};
use crate::seldom::Seldom;
use crate::store::file::Medium;
use crate::store::{DbError, file as store, run};

/// Removes things now, soon, and again if it failed. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Janitor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    broom: Broom,
    media: Media,
    jobs: mpsc::Sender<Job>,
    complaints: Seldom,
}

/// Deletes objects.
#[derive(Debug)]
pub(crate) struct Broom {
    pub db: PgPool,
    pub store: Store,
}

/// What is to be removed soon.
#[derive(Debug)]
pub(crate) enum Job {
    /// An object that belongs to no file.
    Object(Leftover),
    /// Media at Meta, of a file that is gone.
    Media(ApplicationId, Vec<Medium>),
}

/// An object that belongs to no file.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub object: String,
    /// A write was broken off, which the store may carry out yet: the object is removed once more a while later.
    pub unsure: bool,
}

/// It was not removed, and comes up again.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Jobs that wait. What finds no place is found by the sweep; media live at Meta for 30 days at most.
const JOBS: usize = 256;
const AT_ONCE: usize = 8;
/// Objects that one sweep takes on.
const PAGE: i64 = 100;
/// An object that could not be removed is tried again after so many seconds.
const AGAIN: f64 = 300.0;
/// So long a caller waits for its own upload to be removed.
const PATIENCE: Duration = Duration::from_secs(5);

// === impl Janitor ===

impl Janitor {
    pub(super) fn new(broom: Broom, media: Media) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, waiting) = mpsc::channel(JOBS);
        let inner = Inner {
            broom,
            media,
            jobs,
            complaints: Seldom::default(),
        };
        (Self(Arc::new(inner)), waiting)
    }

    /// Removes it soon.
    pub(super) fn later(&self, job: Job) {
        // Without room, or in a process that stops, the object stays among those that are due.
        let _ = self.0.jobs.try_send(job);
    }

    /// Removes an object now. False: it did not work out, and the object is left to the sweep.
    pub(super) async fn discard(&self, leftover: &Leftover) -> bool {
        let objects = [leftover.object.as_str()];
        let removed = self.0.broom.discard(&objects, !leftover.unsure);
        matches!(tokio::time::timeout(PATIENCE, removed).await, Ok(Ok(())))
    }

    /// Does what is to be done until the process stops.
    pub(super) async fn keep(self, jobs: mpsc::Receiver<Job>, every: Duration, stop: Stop) {
        let work = ReceiverStream::new(jobs).for_each_concurrent(AT_ONCE, |job| self.work(job));
        tokio::select! {
            () = stop.soft().cancelled() => {}
            () = work => {}
            () = self.sweep(every) => {}
        }
    }

    async fn work(&self, job: Job) {
        match job {
            Job::Object(leftover) => {
                let removed = self.0.broom.discard(&[&leftover.object], !leftover.unsure).await;
                self.complain(removed);
            }
            Job::Media(application, media) => self.0.media.withdraw(application, media).await,
        }
    }

    async fn sweep(&self, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let swept = self.0.broom.sweep().await;
            self.complain(swept);
        }
    }

    fn complain(&self, outcome: Result<(), Failed>) {
        if let Err(cause) = outcome {
            metrics::counter!("messaging_objects_not_removed_total").increment(1);
            if self.0.complaints.again() {
                tracing::warn!(%cause, "An object could not be removed and is tried again");
            }
        }
    }
}

// === impl Broom ===

impl Broom {
    async fn sweep(&self) -> Result<(), Failed> {
        let due = run!(self.db, "file.due", |conn| store::due(conn, PAGE))?;
        let due: Vec<&str> = due.iter().map(String::as_str).collect();
        if due.is_empty() {
            return Ok(());
        }
        self.discard(&due, true).await
    }

    /// First the database lets go of the objects, then the store; each is forgotten once it is gone, or else comes up again. One that fails keeps none of the others from being removed.
    async fn discard(&self, objects: &[&str], forget: bool) -> Result<(), Failed> {
        let taken = run!(self.db, "file.discard", |conn| store::discard(conn, objects, AGAIN))?;
        let mut outcome = Ok(());
        for object in taken {
            if let Err(cause) = self.remove(&object, forget).await {
                outcome = Err(cause);
            }
        }
        outcome
    }

    async fn remove(&self, object: &store::Discarded, forget: bool) -> Result<(), Failed> {
        self.store.discard(&object.object, object.upload.as_deref()).await?;
        if forget {
            run!(self.db, "file.forget", |conn| store::forget(conn, &object.object))?;
        }
        Ok(())
    }
}
