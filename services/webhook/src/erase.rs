//! Erasure of users from stored webhooks. Bodies are sealed and say nothing of their users from outside, so every body that is kept is opened and looked through, once for all erasures
//! that stand at the same place. What was applied stays accounted: accounts are numbers, and name nobody.

mod blank;
mod whom;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outeract_clock::SharedRandom;
use outeract_postgres::run_tx;
use outeract_seal::OpenError;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::decode::account::text;
use crate::decode::{Backoff, Decoder, KeyMissing, Waiting};
use crate::store::again::{self, Row};
use crate::store::erasure::{self as store, Erasure, Scanned, Step};
use crate::store::{Outcome, post, task};
use crate::{reason, sealed};
pub(crate) use blank::Whom;
use blank::{Blanked, blank};
pub(crate) use whom::{Identities, Unreadable};

/// The task's name, as its lease has it.
const TASK: &str = "erase";
/// How long the lease holds.
const LEASE_SECONDS: f64 = 10.0;
/// Erasures are looked for so often.
const LOOK: Duration = Duration::from_secs(1);
/// Erasures that are taken together.
const TOGETHER: i64 = 64;
/// Posts, and bytes of bodies, of one step.
const MAX_POSTS: i64 = 256;
/// As [`MAX_POSTS`].
const MAX_BYTES: i64 = 2 << 20;
/// The longest rest after a step; otherwise it rests as long as it worked.
const MAX_REST: Duration = Duration::from_secs(2);

/// A post that changes.
#[derive(Debug)]
struct Changed {
    id: Uuid,
    size: i32,
    body: Vec<u8>,
    pointers: Vec<String>,
    /// Whose erasures changed it: their places among those taken together.
    by: Vec<(usize, i64)>,
    applications: Vec<Uuid>,
}

impl Decoder {
    /// Erases whomever it is asked to, until the process stops.
    pub(crate) async fn erase(self: Arc<Self>, random: SharedRandom) {
        let mut backoff = Backoff::new();
        while !self.stop.is_stopping() {
            self.pause(LOOK).await;
            while !self.stop.is_stopping() {
                let begun = Instant::now();
                match self.erase_step(&random).await {
                    Ok(false) => break,
                    Ok(true) => {
                        backoff.reset();
                        self.pause(begun.elapsed().min(MAX_REST)).await;
                    }
                    Err(waiting) => {
                        waiting.report(TASK);
                        self.pause(backoff.next()).await;
                    }
                }
            }
        }
        let _ = task::release(&self.db, TASK, self.holder).await;
    }

    /// Looks through the next posts for the hindmost erasures. `false` when there is nothing to do here.
    async fn erase_step(&self, random: &SharedRandom) -> Result<bool, Waiting> {
        let (group, next) = store::hindmost(&self.db, TOGETHER).await?;
        let Some(first) = group.first() else {
            return Ok(false);
        };
        if !task::lease(&self.db, TASK, self.holder, LEASE_SECONDS).await? {
            return Ok(false);
        }
        let from = first.reached;
        let end = group.iter().map(|erasure| erasure.before).min().unwrap_or(from);
        let to = next.map_or(end, |next| next.min(end));
        let posts = store::posts(&self.db, from, to, MAX_POSTS, MAX_BYTES).await?;
        let Some(last) = posts.last().map(|scanned| scanned.post.id) else {
            self.erased_all(&group, from, to).await?;
            return Ok(true);
        };
        let count = posts.len() as i64;
        let whom = self.whom(&group).await?;
        let changed = self.look_through(&group, &whom, posts, random).await?;
        run_tx(&self.db, "erase.step", async move |connection| {
            let discarded = write(&mut *connection, &changed).await?;
            let steps = steps(&group, &changed, &discarded);
            store::advance(connection, &steps, last, count).await
        })
        .await?;
        metrics::counter!("webhook_erasure_posts_total").increment(count as u64);
        Ok(true)
    }

    /// Nothing is left before `to`: erasures that end there are done, others go on beside those that stand there.
    async fn erased_all(&self, group: &[Erasure], from: Uuid, to: Uuid) -> sqlx::Result<()> {
        let (done, others): (Vec<&Erasure>, Vec<&Erasure>) = group.iter().partition(|erasure| erasure.before <= to);
        if !done.is_empty() {
            let ids: Vec<Uuid> = done.iter().map(|erasure| erasure.id).collect();
            store::end(&self.db, &ids, from).await?;
            tracing::info!(erasures = ids.len(), "Users were erased from stored webhooks");
        }
        if !others.is_empty() {
            let steps: Vec<Step> = others.iter().map(|erasure| Step::nothing(erasure)).collect();
            let mut connection = self.db.acquire().await?;
            store::advance(&mut connection, &steps, to, 0).await?;
        }
        Ok(())
    }

    async fn whom(&self, group: &[Erasure]) -> Result<Vec<Whom>, Waiting> {
        let mut whom = Vec::with_capacity(group.len());
        for erasure in group {
            let opened = Identities::open(erasure, &self.keyring);
            let identities = match opened {
                Ok(identities) => identities,
                Err(Unreadable::Key(key)) => return Err(Waiting::Key(KeyMissing(key))),
                // It cannot have come from us. Nobody can be found by it.
                Err(Unreadable::Content) => Identities::default(),
            };
            let scope = store::scope(&self.db, erasure.application_id, &identities.numbers).await?;
            whom.push(identities.within(scope));
        }
        Ok(whom)
    }

    /// Opens posts and blanks what is of these users.
    async fn look_through(
        &self,
        group: &[Erasure],
        whom: &[Whom],
        posts: Vec<Scanned>,
        random: &SharedRandom,
    ) -> Result<Vec<Changed>, Waiting> {
        let mut changed = Vec::new();
        for Scanned { post, lane } in posts {
            // Opening is plain work: between posts, others have their turn.
            tokio::task::consume_budget().await;
            let place = sealed::body(post.id.as_bytes());
            let mut body = match self.keyring.open(&place, &post.body) {
                Ok(body) => body,
                Err(OpenError::UnknownKey(key)) => return Err(Waiting::Key(KeyMissing(key))),
                // Nobody can read it, so nobody is in it.
                Err(OpenError::Malformed | OpenError::Rejected) => continue,
            };
            let mut found = Changed::nothing(post.id);
            for (index, (erasure, whom)) in group.iter().zip(whom).enumerate() {
                let was_there = erasure
                    .heads
                    .get(lane as usize)
                    .is_some_and(|head| post.position <= *head);
                if !was_there || !whom.may_be_in(&body) {
                    continue;
                }
                if let Some(Blanked { body: left, pointers }) = blank(&body, whom) {
                    body = left;
                    found.by.push((index, pointers.len() as i64));
                    found.applications.push(erasure.application_id);
                    found.pointers.extend(pointers.iter().map(|pointer| text(pointer)));
                }
            }
            if !found.by.is_empty() {
                found.size = body.len() as i32;
                found.body = self.keyring.seal(&place, &body, &**random);
                changed.push(found);
            }
        }
        Ok(changed)
    }
}

/// Writes bodies and discards the items that are blank now. Returns how many items of each post.
async fn write(connection: &mut PgConnection, changed: &[Changed]) -> sqlx::Result<HashMap<Uuid, i64>> {
    if changed.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = changed.iter().map(|post| post.id).collect();
    let sizes: Vec<i32> = changed.iter().map(|post| post.size).collect();
    let bodies: Vec<Vec<u8>> = changed.iter().map(|post| post.body.clone()).collect();
    let by_id: HashMap<Uuid, &Changed> = changed.iter().map(|post| (post.id, post)).collect();
    let rows = again::lock_rows(&mut *connection, &ids).await?;
    let (mut post_ids, mut ordinals, mut discarded) = (Vec::new(), Vec::new(), HashMap::new());
    for row in rows {
        if by_id.get(&row.post_id).is_some_and(|post| post.erases(&row)) {
            *discarded.entry(row.post_id).or_default() += 1;
            post_ids.push(row.post_id);
            ordinals.push(row.ordinal);
        }
    }
    if !post_ids.is_empty() {
        again::discard(&mut *connection, &post_ids, &ordinals, Some(reason::ERASED)).await?;
    }
    post::replace_bodies(connection, &ids, &sizes, &bodies).await?;
    Ok(discarded)
}

/// What each erasure found. Items that were discarded are counted for the first of those that changed their post.
fn steps(group: &[Erasure], changed: &[Changed], discarded: &HashMap<Uuid, i64>) -> Vec<Step> {
    let mut steps: Vec<Step> = group.iter().map(Step::nothing).collect();
    for post in changed {
        let mut items = discarded.get(&post.id).copied().unwrap_or(0);
        for (index, parts) in &post.by {
            if let Some(step) = steps.get_mut(*index) {
                step.erased += parts + std::mem::take(&mut items);
            }
        }
    }
    steps
}

// === impl Step ===

impl Step {
    fn nothing(erasure: &Erasure) -> Self {
        Self {
            id: erasure.id,
            from: erasure.reached,
            erased: 0,
        }
    }
}

// === impl Changed ===

impl Changed {
    fn nothing(id: Uuid) -> Self {
        Self {
            id,
            size: 0,
            body: Vec::new(),
            pointers: Vec::new(),
            by: Vec::new(),
            applications: Vec::new(),
        }
    }

    /// The item is blank now. One that is known to be another application's is not: an application erases what is its own.
    fn erases(&self, row: &Row) -> bool {
        let own = row
            .application_id
            .is_none_or(|application| self.applications.contains(&application));
        let erased = row.outcome == Outcome::Discarded.code() && row.reason == reason::ERASED;
        let at = |pointer: &String| {
            row.pointer == *pointer
                || row
                    .pointer
                    .strip_prefix(pointer.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        own && !erased && self.pointers.iter().any(at)
    }
}
