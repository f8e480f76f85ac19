//! Erasure of users, as durable jobs.
//!
//! A job goes through its steps in order: stored webhooks first, so that none of them brings the user back; then waiting messages are canceled and the contact is removed, so that nobody finds
//! it any more; then what was on its way comes to its end, and messages, media and events are blanked. Whatever raced with that is found by another pass after a while: a job is done once a
//! whole pass finds nothing. Each slice of a step is one transaction that also counts what it did and says where the job goes on; it writes nothing once its lease is another's. So any process
//! may die at any moment, and each row counts once.

mod contact;
mod content;
mod end;
mod ids;
mod webhooks;

use std::time::Duration;

use outeract_clock::{SharedClock, SharedRandom};
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_proto::webhook::internal::v1::webhook_internal_service_client::WebhookInternalServiceClient;
use outeract_rpc::Channel;
use outeract_runtime::Stop;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};

use crate::accept::Contacts;
use crate::config::Timing;
use crate::contacts::Bell;
use crate::dispatch::{Hints, Recorder};
use crate::files::Files;
use crate::seldom::Seldom;
use crate::store::erasure::{self as store, Job, Next, step};
use crate::store::{DbError, run};
use crate::vault::{Unreadable, Vault};

pub(crate) use self::end::described;
pub(crate) use self::ids::Ids;

/// Works on erasures.
#[derive(Debug)]
pub(crate) struct Eraser {
    pub db: PgPool,
    pub clock: SharedClock,
    pub random: SharedRandom,
    pub vault: Vault,
    pub contacts: Contacts,
    pub recorder: Recorder,
    pub hints: Hints,
    pub files: Files,
    pub webhook: WebhookInternalServiceClient<Channel>,
    pub tracking: TrackingInternalServiceClient<Channel>,
    /// There is an event to tell.
    pub told: Bell,
    /// A job was stored here.
    pub asked: Bell,
    pub timing: Timing,
}

/// A slice did not come to its end; the job goes on later.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0} answered {1:?}")]
    Sibling(&'static str, tonic::Code),
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// After trouble.
const AGAIN: Duration = Duration::from_secs(5);
/// For a call of a sibling.
const PATIENCE: Duration = Duration::from_secs(10);

// === impl Trouble ===

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

// === impl Eraser ===

impl Eraser {
    /// Works until the process stops. One job's slice after the other: whichever has waited longest is next.
    pub(crate) async fn run(self, stop: Stop) {
        let mut looks = interval(self.timing.refresh);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let complaints = Seldom::default();
        loop {
            tokio::select! {
                () = stop.soft().cancelled() => return,
                () = self.asked.rung() => {}
                _ = looks.tick() => {}
            }
            loop {
                let worked = tokio::select! {
                    // What is under way is done again by whoever takes the job on.
                    () = stop.soft().cancelled() => return,
                    worked = self.work() => worked,
                };
                match worked {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(cause) => {
                        if complaints.again() {
                            tracing::warn!(%cause, "Erasures wait");
                        }
                        break;
                    }
                }
            }
        }
    }

    /// A slice of the next job. False: none is due.
    async fn work(&self) -> Result<bool, Trouble> {
        let lease = (self.timing.expiry * 2).as_secs_f64();
        let Some(job) = run!(self.db, "erasure.claim", |conn| store::claim(conn, lease))? else {
            return Ok(false);
        };
        match self.slice(&job).await {
            Ok(()) => Ok(true),
            Err(cause) => {
                let next = Next {
                    wait: self.timing.overdue.min(AGAIN).as_secs_f64(),
                    ..job.here()
                };
                run!(self.db, "erasure.put_off", |conn| store::go_on(conn, &job, next))?;
                Err(cause)
            }
        }
    }

    async fn slice(&self, job: &Job) -> Result<(), Trouble> {
        match job.step {
            step::WEBHOOKS => self.webhooks(job).await,
            step::CANCEL => self.cancel(job).await,
            step::FORGET => self.forget(job).await,
            step::DRAIN => self.drain(job).await,
            step::MESSAGES => self.messages(job).await,
            step::REST => self.rest(job).await,
            _ => self.events(job).await,
        }
    }

    /// The job goes on, and this slice changed nothing that is counted.
    async fn go_on(&self, job: &Job, next: Next) -> Result<(), Trouble> {
        run!(self.db, "erasure.go_on", |conn| store::go_on(conn, job, next))?;
        Ok(())
    }

    fn ids(&self, job: &Job) -> Result<Ids, Trouble> {
        Ok(self.vault.open_erasure(job.application, job.id, &job.identities)?)
    }
}

// === impl Job ===

impl Job {
    /// The same slice once more.
    fn here(&self) -> Next {
        Next {
            step: self.step,
            pass: self.pass,
            place: self.place,
            after: self.after,
            anew: false,
            wait: 0.0,
        }
    }

    /// The beginning of a step.
    fn to(&self, step: i16) -> Next {
        Next {
            step,
            place: 0,
            after: 0,
            ..self.here()
        }
    }

    /// The first of its passes.
    fn is_first(&self) -> bool {
        self.pass == 1
    }
}

fn counted(what: &'static str, rows: i64) {
    metrics::counter!("messaging_erased_rows_total", "what" => what).increment(rows.unsigned_abs());
}
