//! Marking users' messages as read by themselves, where the application wants that. A row per conversation waits until Meta took it: it survives any process. Every process takes what is
//! due; what is taken and not settled within a minute is due again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use outeract_domain::ConnectionId;
use outeract_runtime::{Context, OnExit, Stop};
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::dispatch::Reader;
use crate::projection::Projection;
use crate::seldom::Seldom;
use crate::store::receipt::{self as store, Due, Taken};
use crate::store::{DbError, run};
use crate::vault::Vault;

/// Rings when there is something to mark. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Receipts {
    bell: Arc<Notify>,
}

/// Marks messages.
struct Drain {
    db: PgPool,
    vault: Vault,
    projection: Projection,
    reader: Reader,
}

/// What became of one message.
enum Fate {
    /// It is marked, or never will be.
    Settled,
    /// It is tried again later.
    PutOff(Duration),
}

/// Messages that are taken at a time, and calls that are made at a time.
const BATCH: i64 = 64;
const CALLS: usize = 16;
/// For a call: one number's trouble holds the others up no longer.
const CALL: Duration = Duration::from_secs(5);
/// Between looks without a ring: others ring elsewhere, and what was put off is due by itself.
const POLL: Duration = Duration::from_secs(1);
/// Tries, and the waits between them: each four times the one before.
const TRIES: i16 = 3;
const FIRST: Duration = Duration::from_secs(5);

// === impl Receipts ===

impl Receipts {
    /// The bell, and a task in `context` that follows it.
    pub(crate) fn start(context: &Context, vault: Vault, projection: Projection, reader: Reader) -> Self {
        let bell = Arc::new(Notify::new());
        let drain = Drain {
            db: context.db.clone(),
            vault,
            projection,
            reader,
        };
        context.tasks.spawn(
            "receipts",
            OnExit::StopProcess,
            drain.run(Arc::clone(&bell), context.stop.clone()),
        );
        Self { bell }
    }

    /// Something was noted.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }
}

// === impl Drain ===

impl Drain {
    async fn run(self, bell: Arc<Notify>, stop: Stop) {
        let away = Seldom::default();
        loop {
            tokio::select! {
                () = stop.soft().cancelled() => return,
                () = bell.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            loop {
                let round = tokio::select! {
                    // What is on its way is marked again elsewhere: that changes nothing.
                    () = stop.soft().cancelled() => return,
                    round = self.round() => round,
                };
                match round {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(cause) => {
                        if away.again() {
                            tracing::warn!(%cause, "Messages that are to be marked as read could not be looked up");
                        }
                        break;
                    }
                }
            }
        }
    }

    /// Marks what is due. True: there may be more.
    async fn round(&self) -> Result<bool, DbError> {
        let due = run!(self.db, "receipt.take", |conn| store::take(conn, BATCH))?;
        let more = due.len() as i64 == BATCH;
        let mut fates: Vec<_> = futures_util::stream::iter(due.into_iter().map(|due| self.mark(due)))
            .buffer_unordered(CALLS)
            .collect()
            .await;
        // In their own order, so that overlapping statements cannot wait for each other in a circle.
        fates.sort_unstable_by(|(one, _), (other, _)| (&one.number, one.contact).cmp(&(&other.number, other.contact)));
        let (mut settled, mut late, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        for (taken, fate) in fates {
            match fate {
                Fate::Settled => settled.push(taken),
                Fate::PutOff(wait) => {
                    late.push(taken);
                    waits.push(wait.as_secs_f64());
                }
            }
        }
        if !settled.is_empty() {
            run!(self.db, "receipt.forget", |conn| store::forget(conn, &settled))?;
        }
        if !late.is_empty() {
            run!(self.db, "receipt.put_off", |conn| store::put_off(conn, &late, &waits))?;
        }
        Ok(more)
    }

    async fn mark(&self, due: Due) -> (Taken, Fate) {
        let fate = self.fate(&due).await;
        let taken = Taken {
            number: due.number,
            contact: due.contact,
            at: due.at,
        };
        (taken, fate)
    }

    async fn fate(&self, due: &Due) -> Fate {
        let last = due.tries >= TRIES;
        // Whether it is wanted was decided when it was received: this process may not know that yet.
        let connection = match self.projection.get(ConnectionId::from_uuid(due.connection)).await {
            Ok(Some(connection)) if !due.stale => connection,
            Ok(_) => return told("dropped", Fate::Settled),
            Err(_) if last => return told("dropped", Fate::Settled),
            Err(_) => return told("put_off", Fate::PutOff(wait(due.tries))),
        };
        let opened = self
            .vault
            .open_receipt_wamid(connection.application, due.contact, &due.wamid_sealed);
        let wamid = match opened {
            Ok(wamid) => wamid,
            Err(cause) => {
                tracing::error!(connection.id = %connection.id, %cause, "A message that is to be marked as read cannot be read");
                return told("dropped", Fate::Settled);
            }
        };
        match tokio::time::timeout(CALL, self.reader.read(&connection, &wamid, false)).await {
            Ok(Ok(())) => told("marked", Fate::Settled),
            Ok(Err(cause)) if last || !cause.passes() => {
                tracing::debug!(connection.id = %connection.id, %cause, "A message is not marked as read");
                told("dropped", Fate::Settled)
            }
            Err(_) if last => told("dropped", Fate::Settled),
            Ok(Err(_)) | Err(_) => told("put_off", Fate::PutOff(wait(due.tries))),
        }
    }
}

fn told(outcome: &'static str, fate: Fate) -> Fate {
    metrics::counter!("messaging_receipts_total", "outcome" => outcome).increment(1);
    fate
}

fn wait(tries: i16) -> Duration {
    FIRST * 4_u32.pow(u32::from(tries.clamp(1, TRIES).unsigned_abs()) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_four_times_the_one_before() {
        assert_eq!([1, 2].map(|tries| wait(tries).as_secs()), [5, 20]);
    }
}
