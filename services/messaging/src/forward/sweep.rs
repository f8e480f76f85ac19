//! What the fast path lost: rows of the outbox that have waited for too long, and kept statuses whose message has become known.

use outeract_domain::{ApplicationId, ConnectionId, EventId, Wamid};
use outeract_events::Step;
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_rpc::Channel;
use outeract_runtime::Stop;
use sqlx::PgPool;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::{Told, forget_all, record};
use crate::config::Timing;
use crate::dispatch::{Aftermath, Refused};
use crate::events::{self, Subject};
use crate::problem;
use crate::projection::Projection;
use crate::seldom::Seldom;
use crate::store::outbox::{Key, Pending, kind};
use crate::store::{DbError, apply, outbox, run, upkeep};
use crate::vault::{Unreadable, Vault};

/// What the sweep works with.
#[derive(Debug)]
pub(crate) struct Sweeper {
    pub db: PgPool,
    pub vault: Vault,
    pub projection: Projection,
    pub client: TrackingInternalServiceClient<Channel>,
    pub aftermath: Aftermath,
    pub worker: Uuid,
    /// How far the kept statuses were looked through.
    pub cursor: (Vec<u8>, Uuid),
}

/// A sweep came to an end early; the next goes on.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error("tracking answered {0:?}")]
    Tracking(tonic::Code),
    #[error(transparent)]
    Database(#[from] DbError),
}

const PAGE: i64 = 256;
/// Pages of kept statuses that one sweep looks at: most belong to messages that others sent, and wait until they expire.
const PAGES: usize = 8;

/// Sweeps until the process stops; one process at a time does.
pub(crate) async fn sweep(mut sweeper: Sweeper, timing: Timing, stop: Stop) {
    let mut tick = tokio::time::interval(timing.overdue / 2);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let away = Seldom::default();
    loop {
        tokio::select! {
            () = stop.soft().cancelled() => return,
            _ = tick.tick() => {}
        }
        let swept = tokio::select! {
            () = stop.soft().cancelled() => return,
            swept = sweeper.sweep(timing) => swept,
        };
        if let Err(cause) = swept
            && away.again()
        {
            tracing::warn!(%cause, "The outbox could not be swept");
        }
    }
}

// === impl Sweeper ===

impl Sweeper {
    async fn sweep(&mut self, timing: Timing) -> Result<(), SweepError> {
        let lease = timing.overdue.as_secs_f64() * 2.0;
        if !run!(self.db, "outbox.lease", |conn| upkeep::lease(
            conn,
            "outbox",
            self.worker,
            lease
        ))? {
            return Ok(());
        }
        self.sweep_outbox(timing.overdue.as_secs_f64()).await?;
        self.sweep_orphans().await
    }

    async fn sweep_outbox(&self, age: f64) -> Result<(), SweepError> {
        // After the inert rows, whose ids no message has.
        let mut after = Key {
            message: Uuid::from_u128(u128::from(u64::MAX)),
            kind: 0,
            attempt: 0,
        };
        loop {
            let pending = run!(self.db, "outbox.overdue", |conn| outbox::overdue(
                conn, after, age, PAGE
            ))?;
            let Some(last) = pending.last() else { return Ok(()) };
            after = Key {
                message: last.message,
                kind: last.kind,
                attempt: last.attempt,
            };
            let whole = pending.len() as i64 == PAGE;
            let told = pending.iter().filter_map(|pending| self.told(pending)).collect();
            self.send(told).await?;
            if !whole {
                return Ok(());
            }
        }
    }

    async fn sweep_orphans(&mut self) -> Result<(), SweepError> {
        for _ in 0..PAGES {
            let (adopted, last) = run!(self.db, "orphan.adopted_after", |conn| apply::adopted_after(
                conn,
                (&self.cursor.0, self.cursor.1),
                PAGE
            ))?;
            self.send(adopted_events(&self.vault, &self.aftermath, &adopted))
                .await?;
            let ended = last.is_none();
            self.cursor = last.unwrap_or_default();
            if ended {
                break;
            }
        }
        Ok(())
    }

    async fn send(&self, told: Vec<Told>) -> Result<(), SweepError> {
        if told.is_empty() {
            return Ok(());
        }
        metrics::counter!("messaging_forward_swept_total").increment(told.len() as u64);
        let origins = record(&self.client, told).await.map_err(SweepError::Tracking)?;
        Ok(forget_all(&self.db, &origins).await?)
    }

    /// The event of a row; none, and an error in the log, when what it is made from cannot be read.
    fn told(&self, pending: &Pending) -> Option<Told> {
        self.make(pending)
            .inspect_err(|cause| tracing::error!(message.id = %EventId::from_uuid(pending.message), %cause, "An event cannot be made"))
            .ok()
    }

    fn make(&self, pending: &Pending) -> Result<Told, Unreadable> {
        let subject = Subject {
            application: ApplicationId::from_uuid(pending.application),
            connection: ConnectionId::from_uuid(pending.connection),
            message: EventId::from_uuid(pending.message),
        };
        let wamid = |sealed: &Option<Vec<u8>>| -> Result<Option<Wamid>, Unreadable> {
            sealed
                .as_ref()
                .map(|sealed| self.vault.open_wamid(pending.application, pending.message, sealed))
                .transpose()
        };
        let step = |step, wamid: Option<&Wamid>, error| {
            Ok(events::step(subject, step, pending.attempt, pending.at, wamid, error))
        };
        let error = || {
            pending
                .reason
                .as_deref()
                .map(|reason| problem::of_reason(reason, pending.meta_code, false))
        };
        match pending.kind {
            kind::ACCEPTED => step(Step::Accepted, wamid(&pending.wamid_sealed)?.as_ref(), None),
            kind::DUPLICATE => step(Step::Duplicate, wamid(&pending.detail)?.as_ref(), None),
            kind::FAILED => step(Step::Failed, None, error()),
            kind::UNKNOWN => step(Step::Unknown, None, error()),
            kind::EXPIRED => step(Step::Expired, None, error()),
            kind::CANCELED => step(Step::Canceled, None, error()),
            kind::SENT | kind::DELIVERED | kind::READ => {
                let wamid = wamid(&pending.wamid_sealed)?.ok_or(Unreadable::Form)?;
                events::simulated_status(subject, pending.kind, pending.attempt, pending.at, &wamid)
                    .ok_or(Unreadable::Form)
            }
            _ => {
                let letter = self
                    .vault
                    .open_letter(pending.application, pending.message, &pending.sealed)?;
                let connection = self.projection.known(pending.connection).ok_or(Unreadable::Form)?;
                Ok(events::outbound(
                    subject,
                    &connection,
                    pending.contact,
                    &letter,
                    pending.created_at,
                ))
            }
        }
    }
}

/// The events of kept statuses whose message is known. What those of a failure teach is left to `aftermath`.
pub(crate) fn adopted_events(vault: &Vault, aftermath: &Aftermath, adopted: &[apply::Adopted]) -> Vec<Told> {
    adopted
        .iter()
        .filter_map(
            |orphan| match vault.open_status(orphan.application, &orphan.hash, &orphan.sealed) {
                Ok(status) => {
                    if let Some(refused) = Refused::by_status(orphan.message, &status) {
                        aftermath.begin(refused);
                    }
                    events::adopted(orphan, &status)
                }
                Err(cause) => {
                    tracing::error!(%cause, "A kept status cannot be read");
                    None
                }
            },
        )
        .collect()
}
