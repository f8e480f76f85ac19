//! Group commit of webhooks: what many requests hold is appended to one lane in one statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outeract_batch::{BatchConfig, Batcher, Flush, FlushError, Flusher};
use outeract_domain::WebhookId;
use outeract_postgres::{Class, Summary, classify};
use sqlx::PgPool;
use tokio::time::timeout;
use uuid::Uuid;

use crate::board::{Board, LANES};
use crate::store::post;

/// A webhook to store.
#[derive(Debug)]
pub(crate) struct NewPost {
    /// Its id.
    pub id: WebhookId,
    /// Bytes of the body as Meta sent it.
    pub size: usize,
    /// The sealed body.
    pub body: Vec<u8>,
}

/// Longer than Postgres lets a statement run: it only ends when the network keeps the answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Takes webhooks from requests.
pub(crate) type Ingest = Batcher<Append>;

/// Appends batches to lanes.
pub(crate) struct Append {
    db: PgPool,
    board: Arc<Board>,
    slots: Slots,
}

/// Lanes that flushes of this process write to. A flush takes the first free one: with one flush at a time a process stays in one lane, and its webhooks
/// are decoded in the order they came.
struct Slots {
    first: usize,
    busy: [AtomicBool; LANES],
}

/// A lane in use by one flush.
struct Slot<'a> {
    lane: usize,
    busy: &'a AtomicBool,
}

/// Starts ingest: its handle, and the flushers to spawn. `first` spreads processes over lanes.
pub(crate) fn new(db: PgPool, board: Arc<Board>, first: usize) -> (Ingest, Vec<Flusher<Append>>) {
    let append = Append {
        db,
        board,
        slots: Slots {
            first,
            busy: Default::default(),
        },
    };
    Batcher::new(BatchConfig::new("post"), append)
}

// === impl Append ===

impl Flush for Append {
    type Item = NewPost;
    type Output = ();
    type Error = sqlx::Error;

    fn weight(&self, post: &NewPost) -> usize {
        post.body.len()
    }

    async fn flush(&self, posts: &[NewPost]) -> Result<Vec<()>, FlushError<sqlx::Error>> {
        let ids: Vec<Uuid> = posts.iter().map(|post| post.id.uuid()).collect();
        let sizes: Vec<i32> = posts.iter().map(|post| post.size as i32).collect();
        let bodies: Vec<&[u8]> = posts.iter().map(|post| post.body.as_slice()).collect();
        let slot = self.slots.take();
        let lane = slot.lane;
        let head = self
            .append(lane, &ids, &sizes, &bodies)
            .await
            .map_err(|error| failure(error, posts.len()))?;
        self.board.reached(lane, head);
        Ok(vec![(); posts.len()])
    }
}

impl Append {
    /// One statement, once: nothing that it can meet goes away by itself, and Meta tries again.
    async fn append(&self, lane: usize, ids: &[Uuid], sizes: &[i32], bodies: &[&[u8]]) -> sqlx::Result<i64> {
        let mut connection = self.db.acquire().await?;
        let appended = timeout(PATIENCE, post::append(&mut connection, lane as i16, ids, sizes, bodies)).await;
        let appended = appended.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
        if let Err(error) = &appended
            && classify(error) == Class::CommitUnknown
        {
            // Its answer may still come: nobody else is to read it.
            connection.close_on_drop();
        }
        appended
    }
}

fn failure(error: sqlx::Error, posts: usize) -> FlushError<sqlx::Error> {
    tracing::warn!(posts, error = %Summary(&error), "{posts} webhooks were not stored and are answered 503; Meta sends them again");
    match classify(&error) {
        Class::Data => FlushError::Poison(error),
        // After a commit of unknown outcome Meta sends again, and the items meet themselves.
        Class::Conflict | Class::Unavailable | Class::CommitUnknown | Class::Bug => FlushError::Whole(error),
    }
}

// === impl Slots ===

impl Slots {
    fn take(&self) -> Slot<'_> {
        let free = self.busy.iter().position(|busy| !busy.swap(true, Ordering::AcqRel));
        // More flushes than lanes: they share, in turn, by the lane's row lock.
        let index = free.unwrap_or(0);
        Slot {
            lane: (self.first + index) % LANES,
            busy: &self.busy[index],
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.busy.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flush_at_a_time_stays_in_one_lane() {
        let slots = Slots {
            first: 3,
            busy: Default::default(),
        };
        for _ in 0..3 {
            assert_eq!(slots.take().lane, 3);
        }
        let held = slots.take();
        let other = slots.take();
        assert_eq!((held.lane, other.lane), (3, 0));
        drop(held);
        assert_eq!(slots.take().lane, 3);
    }
}
