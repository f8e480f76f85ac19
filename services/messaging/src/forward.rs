//! Events on their way to the tracking service.
//!
//! Each event has a row in the outbox, written by the statement that made it happen. The fast path sends events right after that from memory, and then forgets the row; whatever it
//! loses (a crash, tracking away, too much at once) the sweeper finds and makes anew from what is stored. An event that arrives twice is the same event.

mod sweep;

use std::collections::VecDeque;
use std::time::Duration;

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError};
use outeract_proto::tracking::internal::v1::tracking_internal_service_client::TrackingInternalServiceClient;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordEventsRequest, RecordResult};
use outeract_rpc::Channel;
use outeract_runtime::{Context, OnExit, Stop};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::seldom::Seldom;
use crate::store::{DbError, apply, outbox, run};

pub(crate) use self::sweep::{Sweeper, adopted_events, sweep};

/// What holds an event until tracking has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Outbox(outbox::Key),
    Orphan(Vec<u8>, Uuid),
}

/// An event, and what holds it.
#[derive(Debug)]
pub(crate) struct Told {
    pub origin: Origin,
    pub record: EventRecord,
}

/// The fast path's entrance. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Forwarder {
    sender: mpsc::Sender<Vec<Told>>,
}

/// Events of one call.
const MOST: usize = 256;
/// Between calls while fewer events than this wait: nobody waits for one, and a call costs about the same for one as for ten.
const FEW: usize = MOST / 4;
const PACE: Duration = Duration::from_millis(20);
/// Between statements that forget, likewise.
const PACE_FORGET: Duration = Duration::from_millis(50);
/// Batches that wait for the fast path, each of at most a flush; what is beyond is left to the sweeper.
const WAITING: usize = 256;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MOST: Duration = Duration::from_secs(5);

// === impl Forwarder ===

impl Forwarder {
    /// A forwarder, and its tasks in `context`.
    pub(crate) fn start(context: &Context, channel: Channel) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let config = BatchConfig {
            capacity: 16_384,
            max_items: 1_024,
            flushers: 1,
            pace: PACE_FORGET,
            ..BatchConfig::new("forget")
        };
        let (forget, flushers) = Batcher::new(config, Forget { db: context.db.clone() });
        for flusher in flushers {
            context
                .tasks
                .spawn("forward.forget", OnExit::StopProcess, flusher.run());
        }
        // It ends with the last who could tell it something.
        context.tasks.spawn(
            "forward",
            OnExit::StopProcess,
            run(receiver, recorder(channel), forget, context.stop.clone()),
        );
        Self { sender }
    }

    /// Takes events whose rows are committed. Never waits: what does not fit is left to the sweeper.
    pub(crate) fn tell(&self, told: Vec<Told>) {
        if !told.is_empty() && self.sender.try_send(told).is_err() {
            metrics::counter!("messaging_forward_overflow_total").increment(1);
        }
    }
}

pub(crate) fn recorder(channel: Channel) -> TrackingInternalServiceClient<Channel> {
    TrackingInternalServiceClient::new(channel)
}

async fn run(
    mut receiver: mpsc::Receiver<Vec<Told>>,
    client: TrackingInternalServiceClient<Channel>,
    forget: Batcher<Forget>,
    stop: Stop,
) {
    let mut inbox = Vec::new();
    let mut backlog = VecDeque::new();
    let mut pause = PAUSE_FIRST;
    let mut next = Instant::now();
    let away = Seldom::default();
    loop {
        if backlog.is_empty() {
            if receiver.recv_many(&mut inbox, MOST).await == 0 {
                return;
            }
            backlog.extend(inbox.drain(..).flatten());
        }
        if backlog.len() < FEW {
            tokio::select! {
                () = stop.soft().cancelled() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            while let Ok(told) = receiver.try_recv() {
                backlog.extend(told);
            }
        }
        next = Instant::now() + PACE;
        let batch: Vec<Told> = backlog.drain(..backlog.len().min(MOST)).collect();
        match record(&client, batch).await {
            Ok(origins) => {
                pause = PAUSE_FIRST;
                for origin in origins {
                    // Nobody waits for it: a row that is not forgotten is sent again by the sweeper.
                    drop(forget.submit(origin));
                }
            }
            Err(code) => {
                if away.again() {
                    tracing::warn!(?code, "Events could not be recorded; they stay in the outbox");
                }
                backlog.clear();
                if stop.is_stopping() {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MOST);
                // What came meanwhile waits in the outbox as well.
                while receiver.try_recv().is_ok() {}
            }
        }
    }
}

/// Records events with tracking. Gives what need not be held any longer.
pub(crate) async fn record(
    client: &TrackingInternalServiceClient<Channel>,
    told: Vec<Told>,
) -> Result<Vec<Origin>, tonic::Code> {
    let (origins, events): (Vec<_>, Vec<_>) = told.into_iter().map(|told| (told.origin, told.record)).unzip();
    let mut request = tonic::Request::new(RecordEventsRequest { events });
    request.set_timeout(Duration::from_secs(10));
    let response = client
        .clone()
        .record_events(request)
        .await
        .map_err(|status| status.code())?
        .into_inner();
    let refused = response
        .results
        .iter()
        .filter(|result| **result == i32::from(RecordResult::Refused))
        .count();
    if refused > 0 {
        tracing::error!(refused, "Tracking refused events of ours for good");
        metrics::counter!("messaging_events_refused_total").increment(refused as u64);
    }
    Ok(origins)
}

/// Forgets what need not be held any longer.
pub(crate) struct Forget {
    db: PgPool,
}

impl Flush for Forget {
    type Item = Origin;
    type Output = ();
    type Error = DbError;

    fn weight(&self, _: &Origin) -> usize {
        64
    }

    async fn flush(&self, origins: &[Origin]) -> Result<Vec<()>, FlushError<Self::Error>> {
        forget_all(&self.db, origins).await.map_err(FlushError::Whole)?;
        Ok(vec![(); origins.len()])
    }
}

pub(crate) async fn forget_all(db: &PgPool, origins: &[Origin]) -> Result<(), DbError> {
    let mut keys = Vec::with_capacity(origins.len());
    let mut orphans = Vec::new();
    for origin in origins {
        match origin {
            Origin::Outbox(key) => keys.push(*key),
            Origin::Orphan(hash, id) => orphans.push((hash.clone(), *id)),
        }
    }
    // In their own order, so that overlapping flushes cannot wait for each other in a circle.
    keys.sort_unstable();
    orphans.sort_unstable();
    if !keys.is_empty() {
        run!(db, "outbox.forget", |conn| outbox::forget(conn, &keys))?;
    }
    if !orphans.is_empty() {
        run!(db, "orphan.forget", |conn| apply::forget_orphans(conn, &orphans))?;
    }
    Ok(())
}
