//! `AcknowledgeEvents`: how far consumers have come, many callers at a time.

use std::sync::Arc;

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError, Flusher};
use outeract_domain::ApplicationId;
use outeract_postgres::{Class, classify, retry};
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, AcknowledgeEventsResponse};
use outeract_rpc::{Fault, Violation};
use sqlx::PgPool;
use uuid::Uuid;

use crate::cursor::Cursors;
use crate::fault;
use crate::store::consumer::{self, Acknowledged, Acknowledgements};
use crate::stream::{Streams, consumer_name};

/// Acknowledges.
#[derive(Debug)]
pub(crate) struct Acknowledger {
    batch: Batcher<Move>,
    cursors: Cursors,
}

/// Moves batches of consumers.
#[derive(Debug)]
pub(crate) struct Move {
    pool: PgPool,
    streams: Arc<Streams>,
}

/// One acknowledgement.
#[derive(Debug)]
pub(crate) struct Acknowledgement {
    application: Uuid,
    name: String,
    position: i64,
    epoch: Option<i64>,
}

// === impl Acknowledger ===

impl Acknowledger {
    /// An acknowledger and its flushers, to be spawned.
    pub(crate) fn new(pool: PgPool, streams: Arc<Streams>, cursors: Cursors) -> (Self, Vec<Flusher<Move>>) {
        let config = BatchConfig {
            flushers: 1,
            ..BatchConfig::new("tracking.acknowledge")
        };
        let (batch, flushers) = Batcher::new(config, Move { pool, streams });
        (Self { batch, cursors }, flushers)
    }

    /// Answers `AcknowledgeEvents`.
    pub(crate) async fn acknowledge(
        &self,
        application: ApplicationId,
        request: AcknowledgeEventsRequest,
    ) -> Result<AcknowledgeEventsResponse, Fault> {
        let mut violations = Vec::new();
        let name = consumer_name(request.consumer, &mut violations);
        let epoch = match request.session.as_str() {
            "" => None,
            session => {
                let epoch = self.cursors.epoch(application, &name, session);
                if epoch.is_none() {
                    violations.push(Violation {
                        path: "session".to_owned(),
                        description: "must be the session of a stream of this consumer".to_owned(),
                    });
                }
                epoch
            }
        };
        if !violations.is_empty() {
            return Err(Fault::invalid_many(violations));
        }
        let position = self
            .cursors
            .decode(application, &request.cursor)
            .ok_or_else(|| fault::cursor_invalid("cursor"))?;
        let item = Acknowledgement {
            application: application.uuid(),
            name,
            position,
            epoch,
        };
        let outcome = self.batch.submit(item).await.map_err(fault::batch)?;
        let position = outcome.position.ok_or_else(|| Fault::not_found("consumer"))?;
        if outcome.fenced {
            return Err(fault::fenced());
        }
        if outcome.beyond {
            return Err(fault::cursor_invalid("cursor"));
        }
        Ok(AcknowledgeEventsResponse {
            cursor: self.cursors.encode(application, position),
        })
    }
}

// === impl Move ===

impl Move {
    async fn write(&self, given: &Arc<Acknowledgements>) -> Result<Vec<Acknowledged>, sqlx::Error> {
        let given = Arc::clone(given);
        retry(&self.pool, "consumer.acknowledge", async move |conn| {
            consumer::acknowledge(conn, &given).await
        })
        .await
    }
}

impl Flush for Move {
    type Item = Acknowledgement;
    type Output = Acknowledged;
    type Error = sqlx::Error;

    fn weight(&self, item: &Acknowledgement) -> usize {
        size_of::<Acknowledgement>() + item.name.len()
    }

    async fn flush(&self, items: &[Acknowledgement]) -> Result<Vec<Acknowledged>, FlushError<sqlx::Error>> {
        let mut given = Acknowledgements::default();
        for item in items {
            given.applications.push(item.application);
            given.names.push(item.name.clone());
            given.positions.push(item.position);
            given.epochs.push(item.epoch);
        }
        let given = Arc::new(given);
        let outcomes = match self.write(&given).await {
            // Going there twice changes nothing.
            Err(error) if classify(&error) == Class::CommitUnknown => self.write(&given).await,
            outcomes => outcomes,
        };
        let outcomes = outcomes.map_err(|error| match classify(&error) {
            Class::Data => FlushError::Poison(error),
            Class::Conflict | Class::Unavailable | Class::CommitUnknown | Class::Bug => FlushError::Whole(error),
        })?;
        for (item, outcome) in items.iter().zip(&outcomes) {
            if let Some(position) = outcome.position {
                self.streams.acknowledged(item.application, &item.name, position);
            }
        }
        Ok(outcomes)
    }
}
