//! Replays: stored webhooks through the decoder again, from old to new, behind what comes in. A replay stands in Postgres: whoever holds the lease goes on where it stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outeract_postgres::run_tx;
use outeract_runtime::trace;
use tonic::Code;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::decode::{Backoff, Decoder, Item, Stalled, Waiting};
use crate::reason;
use crate::store::again::Row;
use crate::store::replay::{self as store, Met, Replay};
use crate::store::{Outcome, cursor, post, task};

/// The task's name, as its lease has it.
const TASK: &str = "replay";
/// How long the lease holds: after a death another process goes on so much later.
const LEASE_SECONDS: f64 = 10.0;
/// Replays are looked for so often.
const LOOK: Duration = Duration::from_secs(1);
/// Posts, and bytes of bodies, of one step.
const MAX_POSTS: i64 = 32;
/// As [`MAX_POSTS`].
const MAX_BYTES: i64 = 1 << 20;
/// Decoding that is further behind goes first.
const BEHIND_SECONDS: f64 = 2.0;
/// Between looks at decoding that is behind.
const REST: Duration = Duration::from_secs(1);
/// After a step it rests for so many times as long as the step took.
const SHARE: u32 = 2;
/// The longest rest after a step.
const MAX_REST: Duration = Duration::from_secs(5);
/// A post that a sibling fails over as often, alone, is passed over.
const TRIES: u32 = 5;

/// What a step came to.
enum Step {
    /// There is nothing to do here.
    Idle,
    /// On with the next one, after a rest.
    Next(Duration),
}

/// What makes a step smaller: failures of a sibling that is not away.
#[derive(Debug, Clone, Copy, Default)]
struct Trouble {
    tries: u32,
}

impl Decoder {
    /// Replays whatever is asked for, until the process stops.
    pub(crate) async fn replay(self: Arc<Self>) {
        let mut backoff = Backoff::new();
        let mut trouble = Trouble::default();
        while !self.stop.is_stopping() {
            self.pause(LOOK).await;
            while self.goes_on() {
                match self.replay_step(&mut trouble).await {
                    Ok(Step::Idle) => break,
                    Ok(Step::Next(rest)) => {
                        backoff.reset();
                        self.pause(rest).await;
                    }
                    Err(waiting) => {
                        waiting.report(TASK);
                        trouble.note(&waiting);
                        self.pause(backoff.next()).await;
                    }
                }
            }
        }
        // Another process need not wait for the lease to run out; if this fails, it does.
        let _ = task::release(&self.db, TASK, self.holder).await;
    }

    async fn replay_step(&self, trouble: &mut Trouble) -> Result<Step, Waiting> {
        metrics::gauge!("webhook_replays_running").set(store::running(&self.db).await? as f64);
        let Some(replay) = store::next(&self.db).await? else {
            return Ok(Step::Idle);
        };
        if !task::lease(&self.db, TASK, self.holder, LEASE_SECONDS).await? {
            return Ok(Step::Idle);
        }
        let backlog = cursor::backlog(&self.db).await?;
        if backlog.lag_seconds.is_some_and(|lag| lag > BEHIND_SECONDS) {
            return Ok(Step::Next(REST));
        }
        let begun = Instant::now();
        let ids = self.replay_posts(&replay, trouble.most()).await?;
        let Some(last) = ids.last().copied() else {
            self.replay_done(replay.id).await?;
            return Ok(Step::Next(Duration::ZERO));
        };
        if trouble.gives_up() {
            tracing::warn!("A replay passes over a webhook that a sibling service fails over");
            self.replay_moves(&replay, last).await?;
            *trouble = Trouble::default();
            return Ok(Step::Next(REST));
        }
        let span = trace::root_span("webhook.replay");
        self.replay_chunk(&replay, &ids, last).instrument(span).await?;
        *trouble = Trouble::default();
        Ok(Step::Next((begun.elapsed() * SHARE).min(MAX_REST)))
    }

    /// The posts of the next step, in order.
    async fn replay_posts(&self, replay: &Replay, most: i64) -> sqlx::Result<Vec<Uuid>> {
        if !replay.post_ids.is_empty() {
            store::posts_named(&self.db, replay, most, MAX_BYTES).await
        } else if replay.takes_applied() {
            // Those that are not decoded yet are passed by: whoever decodes them does it as it is done today.
            store::posts(&self.db, replay, most, MAX_BYTES).await
        } else {
            store::posts_listed(&self.db, replay, &replay.outcomes, most as i32, MAX_BYTES).await
        }
    }

    async fn replay_chunk(&self, replay: &Replay, ids: &[Uuid], last: Uuid) -> Result<(), Waiting> {
        let mut posts = post::by_ids(&self.db, ids).await?;
        posts.sort_unstable_by_key(|post| post.id);
        let again = self.again(posts, |_, item, row| replay.takes(item, row)).await?;
        let (id, from) = (replay.id, replay.reached);
        let written = run_tx(&self.db, "replay.step", async move |connection| {
            let settled = again.settle(&mut *connection).await?;
            let moved = store::advance(connection, id, from, last, again.posts() as i64, settled.met).await?;
            // What is settled is settled, whether or not the replay was ended meanwhile.
            Ok::<_, sqlx::Error>((settled, moved))
        });
        let (settled, moved) = written.await?;
        if moved {
            settled.count(TASK);
        }
        Ok(())
    }

    async fn replay_moves(&self, replay: &Replay, to: Uuid) -> sqlx::Result<()> {
        let mut connection = self.db.acquire().await?;
        store::advance(&mut connection, replay.id, replay.reached, to, 1, Met::default()).await?;
        Ok(())
    }

    async fn replay_done(&self, id: Uuid) -> sqlx::Result<()> {
        let mut connection = self.db.acquire().await?;
        if store::end(&mut connection, id, store::DONE).await? {
            tracing::info!("A replay has taken everything");
        }
        Ok(())
    }
}

// === impl Replay ===

impl Replay {
    /// Items that were applied are among those it takes.
    fn takes_applied(&self) -> bool {
        self.outcomes.is_empty() || self.outcomes.iter().any(|outcome| matches!(outcome, 1 | 2))
    }

    /// Whether it takes this item, which is listed so.
    fn takes(&self, item: &Item, row: Option<&Row>) -> bool {
        let stands = match row {
            None => self.takes_applied(),
            Some(row) if row.outcome == Outcome::Parked.code() || row.reason == reason::ERASED => false,
            Some(row) if self.outcomes.is_empty() => row.outcome != Outcome::Discarded.code(),
            Some(row) => self.outcomes.contains(&row.outcome),
        };
        let one_of = |list: &[String], text: &String| list.is_empty() || list.contains(text);
        stands && one_of(&self.fields, &item.place.field) && one_of(&self.phone_number_ids, &item.place.phone_number_id)
    }
}

// === impl Trouble ===

impl Trouble {
    fn note(&mut self, waiting: &Waiting) {
        let away = [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Cancelled,
            Code::Aborted,
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Unimplemented,
        ];
        if let Waiting::Sibling(Stalled(code)) = waiting
            && !away.contains(code)
        {
            self.tries += 1;
        }
    }

    /// Posts of the next step: one by one once something fails, to find what it is.
    const fn most(self) -> i64 {
        if self.tries == 0 { MAX_POSTS } else { 1 }
    }

    const fn gives_up(self) -> bool {
        self.tries > TRIES
    }
}
