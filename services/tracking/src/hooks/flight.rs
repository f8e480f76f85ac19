//! One delivery under way: from the event to what is recorded of its attempt.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outeract_batch::SubmitError;
use outeract_domain::{ApplicationId, DeliveryId, EventId, SubscriptionId, event_id};
use outeract_events::timestamp;
use outeract_postgres::Summary;
use outeract_proto::tracking::v1::Event;
use outeract_rpc::Fault;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use uuid::Uuid;

use super::book::{Note, Outcome, is_passing};
use super::render::render;
use super::schedule;
use super::send::{Attempted, Destination, Verdict};
use super::shared::Shared;
use crate::fault;
use crate::store;
use crate::store::delivery::{Due, FAILED, PENDING, SUCCEEDED};

/// After a failure of ours.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// What is to be sent.
#[derive(Debug)]
pub(super) enum Job {
    /// The event at a position of the log.
    First { position: i64, event: Box<Event> },
    /// One that was tried before, or that somebody wants again.
    Again(Due),
}

/// A delivery whose attempt was made.
#[derive(Debug)]
pub(super) struct Landed {
    /// Of a first attempt.
    pub(super) position: Option<i64>,
    pub(super) outcome: Outcome,
    /// `None`: the event is kept no more, or cannot be read.
    pub(super) attempted: Option<Attempted>,
}

/// Whose delivery it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub(super) application: ApplicationId,
    pub(super) subscription: SubscriptionId,
}

/// A delivery's identity and body.
struct Prepared {
    id: DeliveryId,
    event: Uuid,
    event_type: String,
    body: Bytes,
}

/// Makes an attempt, once there is a place for it. An error means that it could not be made for a reason of ours: it was not begun.
pub(super) async fn fly(
    shared: Arc<Shared>,
    whose: Whose,
    destination: Arc<Destination>,
    places: Arc<Semaphore>,
    job: Job,
) -> Result<Landed, (Job, Fault)> {
    let prepared = match prepare(&shared, whose, &job).await {
        Ok(prepared) => prepared,
        Err(fault) => return Err((job, fault)),
    };
    let attempted = match &prepared {
        Some(prepared) => {
            let _place = places.acquire().await;
            let id = prepared.id.to_string();
            Some(shared.sender.send(&destination, &id, prepared.body.clone()).await)
        }
        None => None,
    };
    match outcome(&shared, whose, &job, prepared, attempted.as_ref()) {
        Ok(outcome) => Ok(Landed {
            position: match job {
                Job::First { position, .. } => Some(position),
                Job::Again(_) => None,
            },
            outcome,
            attempted,
        }),
        Err(fault) => Err((job, fault)),
    }
}

async fn prepare(shared: &Shared, whose: Whose, job: &Job) -> Result<Option<Prepared>, Fault> {
    let found;
    let (event, id) = match job {
        Job::First { event, .. } => (event.as_ref(), None),
        Job::Again(due) => {
            let entry = {
                let _read = shared.read().await?;
                store::delivery::event(&shared.pool, whose.application.uuid(), due.event_id).await
            };
            let Some(entry) = entry.map_err(fault::database)? else {
                return Ok(None);
            };
            found = shared.bodies.open(whose.application, &entry)?;
            (&found, Some(DeliveryId::from_uuid(due.id)))
        }
    };
    let Some((own, event_id)) = delivery(whose, event) else {
        return Ok(None);
    };
    let id = id.unwrap_or(own);
    let body = render(id, whose.subscription, whose.application, event).map_err(Fault::internal)?;
    Ok(Some(Prepared {
        id,
        event: event_id.uuid(),
        event_type: event.event_type.clone(),
        body: body.into(),
    }))
}

fn delivery(whose: Whose, event: &Event) -> Option<(DeliveryId, EventId)> {
    let id: EventId = event.id.parse().ok()?;
    let received = event.receive_time.as_ref().and_then(timestamp::from_proto);
    let received = received.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    Some((event_id::delivery(whose.subscription, id, received), id))
}

fn outcome(
    shared: &Shared,
    whose: Whose,
    job: &Job,
    prepared: Option<Prepared>,
    attempted: Option<&Attempted>,
) -> Result<Outcome, Fault> {
    let application = whose.application.uuid();
    let (attempts, tries, mut log) = match job {
        Job::First { .. } => (0, 0, Vec::new()),
        Job::Again(due) => {
            // The attempt was made: what cannot be read of those before it is no reason to make it again.
            let log = shared.vault.open_attempts(application, due.id, &due.attempt_log);
            let log = log.unwrap_or_else(|fault| {
                tracing::warn!("Earlier attempts of a delivery cannot be read: {}", fault.message());
                Vec::new()
            });
            (due.attempts, due.tries, log)
        }
    };
    let (id, event, event_type) = match (prepared, job) {
        (Some(prepared), _) => (prepared.id.uuid(), prepared.event, prepared.event_type),
        (None, Job::Again(due)) => (due.id, due.event_id, due.event_type.clone()),
        (None, Job::First { event, .. }) => {
            return Err(Fault::internal(format!(
                "an event of type {} has no id",
                event.event_type
            )));
        }
    };
    let made = i32::from(attempted.is_some());
    let tries = tries + made;
    let (kind, delay) = match attempted {
        Some(attempted) => next(attempted, tries, shared),
        // Kept no more.
        None => (FAILED, Duration::ZERO),
    };
    log.extend(attempted.map(|attempted| attempted.attempt.clone()));
    Ok(Outcome {
        id,
        event,
        event_type,
        kind,
        attempts: attempts + made,
        tries,
        delay: delay.as_secs_f64(),
        log: shared.vault.seal_attempts(application, id, log),
        success: attempted.map(|attempted| attempted.verdict == Verdict::Delivered),
    })
}

fn next(attempted: &Attempted, tries: i32, shared: &Shared) -> (i16, Duration) {
    match attempted.verdict {
        Verdict::Delivered => (SUCCEEDED, Duration::ZERO),
        Verdict::Gone => (FAILED, Duration::ZERO),
        Verdict::Failed | Verdict::Busy => schedule::pause(tries, attempted.retry_after, shared.vault.random())
            .map_or((FAILED, Duration::ZERO), |pause| (PENDING, pause)),
    }
}

/// Records a note, however often it takes while this process has the subscription: what it says has happened. Whether the subscription is still this process's.
pub(super) async fn enter(shared: &Shared, note: Note) -> bool {
    loop {
        match shared.book.submit(note.clone()).await {
            Ok(kept) => return kept,
            Err(error) if is_passing(&error) && shared.holds() => sleep(AGAIN).await,
            Err(SubmitError::Failed(error)) => {
                tracing::warn!("A delivery's outcome is not recorded: {}", Summary(&error));
                return false;
            }
            Err(SubmitError::Full | SubmitError::Closed | SubmitError::Aborted) => return false,
        }
    }
}
