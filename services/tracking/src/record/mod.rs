//! Recording: checks events, seals them and appends them to their logs, many callers at a time.

mod append;
mod check;
mod event_type;

use std::sync::Arc;

use metrics::counter;
use outeract_batch::{BatchConfig, Batcher, Flusher};
use outeract_postgres::retry;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordResult};
use outeract_rpc::Fault;
use sqlx::PgPool;
use uuid::Uuid;

use self::append::Append;
use self::event_type::EventTypes;
use crate::fault;
use crate::read::Waiters;
use crate::sealed::Bodies;
use crate::store;
use crate::store::contact::Merges;
use crate::stream::Streams;

/// Events of one call.
const MAX_EVENTS: usize = 1_000;
/// An event counts at least this much, so that a flush of 4 MiB holds about a thousand.
const LEAST_WEIGHT: usize = 4 << 10;

/// Records events.
#[derive(Debug)]
pub(crate) struct Recorder {
    pool: PgPool,
    batch: Batcher<Append>,
    types: EventTypes,
    bodies: Bodies,
}

/// An event fit to be appended.
#[derive(Debug)]
pub(crate) struct Sealed {
    id: Uuid,
    application: Uuid,
    connection: Uuid,
    origin: Option<Uuid>,
    event_type: i16,
    contact: Option<Uuid>,
    body: Vec<u8>,
}

// === impl Recorder ===

impl Recorder {
    /// A recorder and its flushers, to be spawned.
    pub(crate) fn new(
        pool: PgPool,
        bodies: Bodies,
        streams: Arc<Streams>,
        waiters: Arc<Waiters>,
    ) -> (Self, Vec<Flusher<Append>>) {
        let config = BatchConfig {
            capacity: 1_024,
            ..BatchConfig::new("tracking.record")
        };
        let (batch, flushers) = Batcher::new(config, Append::new(pool.clone(), streams, waiters));
        let types = EventTypes::new(pool.clone());
        let recorder = Self {
            pool,
            batch,
            types,
            bodies,
        };
        (recorder, flushers)
    }

    /// Appends events; one result each, in their order. Durable when it returns.
    pub(crate) async fn record(&self, events: Vec<EventRecord>) -> Result<Vec<RecordResult>, Fault> {
        if events.len() > MAX_EVENTS {
            return Err(Fault::invalid("events", "must be at most 1,000"));
        }
        let mut results = vec![RecordResult::Refused; events.len()];
        let mut places = Vec::with_capacity(events.len());
        let mut sealed = Vec::with_capacity(events.len());
        let mut merges = Merges::default();
        for (place, record) in events.into_iter().enumerate() {
            match check::check(record) {
                Ok(fit) => {
                    places.push(place);
                    if let Some((source, target)) = fit.merge {
                        merges.applications.push(fit.application);
                        merges.sources.push(source);
                        merges.targets.push(target);
                    }
                    sealed.push(Sealed {
                        id: fit.id,
                        application: fit.application,
                        connection: fit.connection,
                        origin: fit.origin,
                        event_type: self.types.id(&fit.event_type).await?,
                        contact: fit.contact,
                        body: self.bodies.seal(fit.application, fit.id, &fit.body),
                    });
                }
                Err(refusal) => tracing::warn!(place, %refusal, "Refused an event: {refusal}"),
            }
        }
        // First, for whoever sees the event finds both under one contact.
        if !merges.sources.is_empty() {
            self.merge(merges).await?;
        }
        if !sealed.is_empty() {
            let outcomes = self.batch.submit(sealed).await.map_err(fault::batch)?;
            for (place, outcome) in places.into_iter().zip(outcomes) {
                results[place] = outcome;
            }
        }
        count(&results);
        Ok(results)
    }

    async fn merge(&self, merges: Merges) -> Result<(), Fault> {
        let merges = Arc::new(merges);
        retry(&self.pool, "contact.merge", async move |conn| {
            store::contact::merge(conn, &merges).await
        })
        .await
        .map_err(fault::database)
    }
}

fn count(results: &[RecordResult]) {
    for (result, word) in [
        (RecordResult::Recorded, "recorded"),
        (RecordResult::Duplicate, "duplicate"),
        (RecordResult::Refused, "refused"),
    ] {
        let events = results.iter().filter(|found| **found == result).count();
        if events > 0 {
            counter!("tracking_events_total", "result" => word).increment(events as u64);
        }
    }
}
