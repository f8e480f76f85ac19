//! One lane, decoded in the order of its posts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outeract_runtime::trace;
use tracing::Instrument as _;

use super::account;
use super::reader::{self, Batch};
use super::route::{BehindParked, Routes};
use super::{Backoff, Decoder, MAX_BYTES, MAX_POSTS, Patience, Rounds, Waiting};
use crate::park;
use crate::store::{cursor, post};

/// How long a lease holds. It spares two processes the same work; what is right rests on the cursor.
const LEASE_SECONDS: f64 = 10.0;
/// A lease is renewed when it is this old.
const RENEW: Duration = Duration::from_secs(4);
/// How long to leave alone a lane that another process decodes.
const LEAVE: Duration = Duration::from_secs(2);
/// Between batches of a lane while each holds few posts: a batch costs about the same for one post as for ten. What comes after a rest is decoded at once.
const PACE: Duration = Duration::from_millis(40);
const FEW: usize = 16;
/// A lane is looked at so often without being told.
const LOOK: Duration = Duration::from_secs(1);

/// What this process knows of its lease of a lane.
#[derive(Debug, Clone, Copy)]
enum Lease {
    /// To be asked for.
    None,
    /// Ours since then; the lane is decoded up to here.
    Ours { since: Instant, decoded: i64 },
    /// Another's, as of then.
    Others { since: Instant },
}

/// Posts that were read, to be decoded when those before them have been.
struct Ahead {
    /// The position that they follow.
    from: i64,
    /// The position of the last of them.
    to: i64,
    batch: Batch,
}

/// Where this process is with a lane.
struct Progress {
    lease: Lease,
    ahead: Option<Ahead>,
}

impl Decoder {
    /// Decodes a lane whenever this process holds its lease, until the process stops.
    pub(crate) async fn lane(self: Arc<Self>, lane: usize) {
        let mut progress = Progress {
            lease: Lease::None,
            ahead: None,
        };
        let (mut backoff, mut rounds) = (Backoff::new(), Rounds::default());
        while !self.stop.is_stopping() {
            tokio::select! {
                () = self.stop.soft().cancelled() => break,
                () = self.board.grown(lane) => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            while self.goes_on() {
                let begun = Instant::now();
                match self.step(lane, &mut progress, rounds.patience()).await {
                    Ok(Some(posts)) => {
                        (backoff, rounds) = (Backoff::new(), Rounds::default());
                        if posts < FEW {
                            self.pause(PACE.saturating_sub(begun.elapsed())).await;
                        }
                    }
                    Ok(None) => break,
                    Err(waiting) => {
                        waiting.report("lane");
                        rounds.failed(&waiting);
                        // Whether the last statement was committed may be unknown: ask for the cursor.
                        progress.lease = Lease::None;
                        self.pause(backoff.next()).await;
                    }
                }
            }
        }
        // Another process need not wait for the lease to run out; if this fails, it does.
        let _ = cursor::release(&self.db, lane as i16, self.holder).await;
    }

    /// Decodes one batch, and gives the number of its posts. None when there is nothing to do here. The last of the patience is for one post alone.
    async fn step(&self, lane: usize, progress: &mut Progress, patience: Patience) -> Result<Option<usize>, Waiting> {
        let Progress { lease, ahead } = progress;
        let ahead = ahead.take();
        let head = self.board.head(lane);
        match *lease {
            Lease::Others { since } if since.elapsed() < LEAVE => return Ok(None),
            Lease::Ours { since, decoded } if since.elapsed() < RENEW => {
                if decoded >= head {
                    return Ok(None);
                }
            }
            Lease::None | Lease::Ours { .. } | Lease::Others { .. } => {
                let leased = cursor::lease(&self.db, lane as i16, self.holder, LEASE_SECONDS).await?;
                let since = Instant::now();
                *lease = leased.map_or(Lease::Others { since }, |decoded| Lease::Ours { since, decoded });
            }
        }
        let Lease::Ours { since, decoded } = *lease else {
            return Ok(None);
        };
        let most = if patience == Patience::Last { 1 } else { MAX_POSTS };
        let posts = match ahead {
            Some(ahead) if ahead.from == decoded => Some(ahead),
            _ if decoded < head => self.read(lane, decoded, most).await?,
            _ => None,
        };
        let Some(Ahead { from, to, batch }) = posts else {
            return Ok(None);
        };
        let count = batch.posts.len();
        let span = trace::root_span("webhook.decode");
        let decoding = self.batch(lane, (from, to), batch, patience).instrument(span);
        // Where posts come faster than one batch after the other, the next is read meanwhile. Where they do not, it is better to wait for more of them.
        let behind = count as i64 == MAX_POSTS && to < head;
        let (advanced, next) = if behind {
            tokio::join!(decoding, self.read(lane, to, MAX_POSTS))
        } else {
            (decoding.await, Ok(None))
        };
        *lease = if advanced? {
            Lease::Ours { since, decoded: to }
        } else {
            Lease::None
        };
        // What could not be read now is read again when its turn comes.
        progress.ahead = next.ok().flatten();
        Ok(Some(count))
    }

    /// Reads the posts after a position. None: there are none.
    async fn read(&self, lane: usize, from: i64, most: i64) -> Result<Option<Ahead>, Waiting> {
        let posts = post::after(&self.db, lane as i16, from, most, MAX_BYTES).await?;
        let Some(to) = posts.last().map(|post| post.position) else {
            return Ok(None);
        };
        let batch = reader::read(posts, &self.keyring).await?;
        Ok(Some(Ahead { from, to, batch }))
    }

    /// Takes a batch to its end. `false` when another decoder has been here first.
    async fn batch(
        &self,
        lane: usize,
        (from, to): (i64, i64),
        batch: Batch,
        patience: Patience,
    ) -> Result<bool, Waiting> {
        let routes = Routes::load(&self.db, &batch.items, &self.keyring).await?;
        let targets = batch
            .items
            .iter()
            .map(|item| routes.of_item(item, BehindParked::Wait))
            .collect();
        let fates = self.apply(&batch, targets, patience).await?;
        let (decoded, items) = (batch.posts.len(), batch.items.len() as u64);
        let end = park::End {
            lane: lane as i16,
            from,
            to,
            posts: batch.posts,
            places: batch.items.into_iter().map(|item| item.place).collect(),
        };
        let committed = end.commit(&self.db, fates).await?;
        if let Some(fates) = &committed {
            metrics::counter!("webhook_items_in_total").increment(items);
            account::count(None, fates.iter());
            metrics::counter!("webhook_posts_decoded_total").increment(decoded as u64);
        }
        Ok(committed.is_some())
    }
}
