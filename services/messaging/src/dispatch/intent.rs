//! Making intents durable, and loading what calls need, many at a time.

use std::collections::HashMap;
use std::sync::Arc;

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError, Flusher};
use sqlx::PgPool;
use uuid::Uuid;

use super::PACE;
use super::scheduler::NumberId;
use crate::store::{DbError, intent as store, queue, run};

/// A message whose turn has come.
#[derive(Debug)]
pub(crate) struct Intent {
    pub number: NumberId,
    pub epoch: i64,
    pub message: Uuid,
    pub nonce: Uuid,
}

/// Makes intents durable. The output is none for a message that must not be sent: it is not queued any more, or its number is somebody else's.
pub(crate) struct Begin {
    pub db: PgPool,
    pub worker: Uuid,
}

/// Loads messages' content. The output is none for a message that is gone.
pub(crate) struct Load {
    pub db: PgPool,
}

pub(crate) type Begun = store::Begun;
pub(crate) type Loaded = Arc<queue::Load>;

pub(crate) fn intents(begin: Begin) -> (Batcher<Begin>, Vec<Flusher<Begin>>) {
    let config = BatchConfig {
        flushers: 1,
        pace: PACE,
        ..BatchConfig::new("intent")
    };
    Batcher::new(config, begin)
}

pub(crate) fn loads(load: Load) -> (Batcher<Load>, Vec<Flusher<Load>>) {
    let config = BatchConfig {
        max_items: 64,
        flushers: 1,
        ..BatchConfig::new("load")
    };
    Batcher::new(config, load)
}

// === impl Begin ===

impl Flush for Begin {
    type Item = Intent;
    type Output = Option<Begun>;
    type Error = DbError;

    fn weight(&self, _: &Intent) -> usize {
        96
    }

    async fn flush(&self, intents: &[Intent]) -> Result<Vec<Option<Begun>>, FlushError<DbError>> {
        let rows: Vec<_> = intents
            .iter()
            .map(|intent| store::Intent {
                number: &intent.number,
                message: intent.message,
                epoch: intent.epoch,
                nonce: intent.nonce,
            })
            .collect();
        let begun = match run!(self.db, "intent.begin", |conn| store::begin(conn, self.worker, &rows)) {
            Ok(begun) => begun,
            // The answer was lost. On another connection, a row that carries this very intent's nonce says that it is durable; what says nothing is left to the sweep.
            Err(lost) if !lost.left_nothing() => {
                metrics::counter!("messaging_intents_reread_total").increment(1);
                let found = run!(self.db, "intent.begun", |conn| store::begun(conn, &rows));
                found.map_err(|_| FlushError::Whole(lost))?
            }
            Err(cause) => return Err(FlushError::Whole(cause)),
        };
        let mut begun: HashMap<Uuid, Begun> = begun.into_iter().map(|begun| (begun.nonce, begun)).collect();
        Ok(intents.iter().map(|intent| begun.remove(&intent.nonce)).collect())
    }
}

// === impl Load ===

impl Flush for Load {
    type Item = Uuid;
    type Output = Option<Loaded>;
    type Error = DbError;

    fn weight(&self, _: &Uuid) -> usize {
        16
    }

    async fn flush(&self, messages: &[Uuid]) -> Result<Vec<Option<Loaded>>, FlushError<DbError>> {
        let rows = run!(self.db, "queue.load", |conn| queue::load(conn, messages)).map_err(FlushError::Whole)?;
        let rows: HashMap<Uuid, Loaded> = rows.into_iter().map(|row| (row.message, Arc::new(row))).collect();
        Ok(messages.iter().map(|message| rows.get(message).cloned()).collect())
    }
}
