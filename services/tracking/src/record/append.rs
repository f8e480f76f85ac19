//! One flush: events of many callers and applications in one statement.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use outeract_batch::{Flush, FlushError};
use outeract_postgres::{Class, classify, retry};
use outeract_proto::tracking::internal::v1::RecordResult;
use sqlx::PgPool;
use uuid::Uuid;

use super::{LEAST_WEIGHT, Sealed};
use crate::read::Waiters;
use crate::store;
use crate::store::log::{Appended, Columns};
use crate::stream::Streams;

/// Applications remembered to have a log.
const MAX_REMEMBERED: usize = 100_000;

/// Appends batches.
#[derive(Debug)]
pub(crate) struct Append {
    pool: PgPool,
    streams: Arc<Streams>,
    waiters: Arc<Waiters>,
    /// Applications that have a log.
    logs: Mutex<HashSet<Uuid>>,
}

// === impl Append ===

impl Append {
    pub(super) fn new(pool: PgPool, streams: Arc<Streams>, waiters: Arc<Waiters>) -> Self {
        Self {
            pool,
            streams,
            waiters,
            logs: Mutex::default(),
        }
    }

    /// Appends events in their order; an id that comes twice counts once.
    async fn append(&self, events: &[&Sealed]) -> Result<Vec<RecordResult>, sqlx::Error> {
        let columns = Arc::new(columns(events));
        let appended = match self.write(&columns).await {
            Err(error) if classify(&error) == Class::Data => {
                // The log of an application that we remember may be gone: the database was restored from a backup.
                self.forget();
                self.write(&columns).await
            }
            // Events that were written after all are found to be there.
            Err(error) if classify(&error) == Class::CommitUnknown => self.write(&columns).await,
            outcome => outcome,
        }?;
        self.streams.grown(&appended.applications, &appended.heads);
        self.waiters.recorded(&appended.ids);
        let mut recorded: HashSet<Uuid> = appended.ids.into_iter().collect();
        let results = events.iter().map(|event| {
            if recorded.remove(&event.id) {
                RecordResult::Recorded
            } else {
                RecordResult::Duplicate
            }
        });
        Ok(results.collect())
    }

    async fn write(&self, columns: &Arc<Columns>) -> Result<Appended, sqlx::Error> {
        let fresh: Arc<[Uuid]> = {
            let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = columns
                .applications
                .iter()
                .filter(|application| !logs.contains(*application));
            fresh.copied().collect()
        };
        if !fresh.is_empty() {
            let created = Arc::clone(&fresh);
            retry(&self.pool, "head.create", async move |conn| {
                store::head::create(conn, &created).await
            })
            .await?;
            let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
            if logs.len() + fresh.len() > MAX_REMEMBERED {
                logs.clear();
            }
            logs.extend(fresh.iter());
        }
        let columns = Arc::clone(columns);
        retry(&self.pool, "log.append", async move |conn| {
            store::log::append(conn, &columns).await
        })
        .await
    }

    fn forget(&self) {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Appends the events of one call apart, so that one that Postgres refuses does not keep out the others.
    async fn one_by_one(&self, events: &[Sealed]) -> Result<Vec<RecordResult>, sqlx::Error> {
        let mut results = Vec::with_capacity(events.len());
        for event in events {
            match self.append(&[event]).await {
                Ok(result) => results.extend(result),
                Err(error) if classify(&error) == Class::Data => results.push(RecordResult::Refused),
                Err(error) => return Err(error),
            }
        }
        Ok(results)
    }
}

impl Flush for Append {
    /// The events of one call: they stay together and in order.
    type Item = Vec<Sealed>;
    type Output = Vec<RecordResult>;
    type Error = sqlx::Error;

    fn weight(&self, events: &Vec<Sealed>) -> usize {
        events.iter().map(|event| event.body.len().max(LEAST_WEIGHT)).sum()
    }

    async fn flush(&self, calls: &[Vec<Sealed>]) -> Result<Vec<Vec<RecordResult>>, FlushError<sqlx::Error>> {
        let events: Vec<&Sealed> = calls.iter().flatten().collect();
        match self.append(&events).await {
            Ok(results) => {
                let mut results = results.into_iter();
                Ok(calls
                    .iter()
                    .map(|call| results.by_ref().take(call.len()).collect())
                    .collect())
            }
            Err(error) if classify(&error) == Class::Data => match calls {
                [events] => Ok(vec![self.one_by_one(events).await.map_err(FlushError::Whole)?]),
                _ => Err(FlushError::Poison(error)),
            },
            Err(error) => Err(FlushError::Whole(error)),
        }
    }
}

/// Each id once, at its first place, in the order of ids.
fn columns(events: &[&Sealed]) -> Columns {
    let mut seen = HashSet::with_capacity(events.len());
    let mut unique: Vec<(usize, &Sealed)> = Vec::with_capacity(events.len());
    unique.extend(
        events
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, event)| seen.insert(event.id)),
    );
    unique.sort_unstable_by_key(|(_, event)| event.id);
    let mut columns = Columns::with_capacity(unique.len());
    for (place, event) in unique {
        columns.ids.push(event.id);
        columns.applications.push(event.application);
        columns.connections.push(event.connection);
        columns.origins.push(event.origin);
        columns.types.push(event.event_type);
        columns.orders.push(place as i32);
        columns.contacts.push(event.contact);
        columns.bodies.push(event.body.clone());
    }
    columns
}
