//! Numbers that can be routed now: their parked items are applied in the order they arrived, from their webhooks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use outeract_postgres::run_tx;
use outeract_runtime::trace;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::decode::account::{self, Fate, Owner};
use crate::decode::{
    Backoff, Batch, BehindParked, Decoder, Item, MAX_BYTES, Patience, Rounds, Routes, Target, Waiting, read,
};
use crate::reason;
use crate::store::park::{self, Fates, Parked};
use crate::store::{Outcome, post};

/// Items of one turn.
const MAX_ITEMS: i64 = 256;
/// How long a claim holds.
const CLAIM_SECONDS: f64 = 30.0;
/// Numbers are looked for so often without being told.
const LOOK: Duration = Duration::from_secs(2);

/// Numbers whose items a sibling fails over, and how often it did.
type Stuck = HashMap<String, Rounds>;

/// So many of them are remembered.
const MOST_STUCK: usize = 1_000;

/// What one turn of a number has done.
struct Turn {
    /// Some items are no longer parked.
    progress: bool,
    /// Nothing is left to do for the number.
    finished: bool,
}

impl Decoder {
    /// Applies parked items, number by number and turn by turn, until the process stops.
    pub(crate) async fn unpark(self: Arc<Self>) {
        let (mut backoff, mut stuck) = (Backoff::new(), Stuck::default());
        while !self.stop.is_stopping() {
            tokio::select! {
                () = self.stop.soft().cancelled() => return,
                () = self.board.unpark() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            while self.goes_on() {
                match self.next_number(&mut stuck).await {
                    Ok(true) => backoff.reset(),
                    Ok(false) => break,
                    Err(waiting) => {
                        waiting.report("unpark");
                        self.pause(backoff.next()).await;
                    }
                }
            }
        }
    }

    /// One turn of the number that waits longest. `false` when none does.
    async fn next_number(&self, stuck: &mut Stuck) -> Result<bool, Waiting> {
        let Some(number) = park::claim(&self.db, self.holder, CLAIM_SECONDS).await? else {
            return Ok(false);
        };
        let patience = stuck.get(&number).copied().unwrap_or_default().patience();
        let span = trace::root_span("webhook.unpark");
        let turn = self.turn(&number, patience).instrument(span).await;
        match &turn {
            Ok(_) => drop(stuck.remove(&number)),
            Err(waiting) if stuck.len() < MOST_STUCK || stuck.contains_key(&number) => {
                stuck.entry(number.clone()).or_default().failed(waiting);
            }
            Err(_) => stuck.clear(),
        }
        // The others first; a number that has to wait lets them pass for a while.
        let rest = match &turn {
            Ok(turn) if turn.finished => return Ok(true),
            Ok(turn) if turn.progress => 0.0,
            Ok(_) | Err(_) => 1.0,
        };
        park::give_back(&self.db, self.holder, &number, rest).await?;
        turn.map(|_| true)
    }

    /// The last of the patience is for one item alone.
    async fn turn(&self, number: &str, patience: Patience) -> Result<Turn, Waiting> {
        let most = if patience == Patience::Last { 1 } else { MAX_ITEMS };
        let parked = within(park::oldest(&self.db, number, most).await?);
        let batch = self.parked_batch(&parked).await?;
        let routes = Routes::load(&self.db, &batch.items, &self.keyring).await?;
        let of_item = |(item, parked)| keep_apart(routes.of_item(item, BehindParked::Go), parked);
        let targets = batch.items.iter().zip(&parked).map(of_item).collect();
        let fates = self.apply(&batch, targets, patience).await?;
        let columns = columns(&parked, &fates);
        let progress = !columns.post_ids.is_empty();
        let number = [number.to_owned()];
        let finished = run_tx(&self.db, "unpark.settle", async move |connection| {
            park::lock_numbers(&mut *connection, &number).await?;
            park::settle(&mut *connection, &columns).await?;
            park::finish(connection, &number[0]).await
        })
        .await?;
        account::count(Some("unpark"), fates.iter().filter(|fate| !super::is_parked(fate)));
        Ok(Turn { progress, finished })
    }

    /// The items, read again from their posts.
    async fn parked_batch(&self, parked: &[Parked]) -> Result<Batch, Waiting> {
        let mut ids: Vec<Uuid> = parked.iter().map(|item| item.post_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let whole = read(post::by_ids(&self.db, &ids).await?, &self.keyring).await?;
        let posts: HashMap<Uuid, usize> = whole
            .posts
            .iter()
            .enumerate()
            .map(|(index, post)| (post.id, index))
            .collect();
        let mut items: HashMap<(usize, String), Item> = whole
            .items
            .into_iter()
            .map(|item| ((item.place.post, item.place.pointer.clone()), item))
            .collect();
        let items = parked.iter().map(|parked| {
            let index = posts.get(&parked.post_id).copied().unwrap_or(usize::MAX);
            items
                .remove(&(index, parked.pointer.clone()))
                .unwrap_or_else(|| Item::lost(index, parked))
        });
        Ok(Batch {
            items: items.collect(),
            posts: whole.posts,
        })
    }
}

impl Item {
    /// Parked by a version that read the webhook otherwise.
    fn lost(post: usize, parked: &Parked) -> Self {
        Self {
            place: account::Place {
                post,
                ordinal: parked.ordinal,
                pointer: parked.pointer.clone(),
                field: String::new(),
                phone_number_id: String::new(),
            },
            waba_id: String::new(),
            kind: outeract_graph::webhook::Kind::Broken {
                reason: reason::ITEM_LOST,
            },
        }
    }
}

/// An item that came while one application had the number is never shown to another.
fn keep_apart(target: Target, parked: &Parked) -> Target {
    match (&target, parked.application_id) {
        (Ok(to), Some(then)) if to.iter().any(|to| to.application.uuid() != then) => {
            let owner = Owner {
                application_id: Some(then),
                connection_id: None,
            };
            Err(Fate::Listed(Outcome::Quarantined, reason::ROUTE_MISMATCH.into(), owner))
        }
        _ => target,
    }
}

/// As many items, from the first, as their posts' bodies fit one batch.
fn within(mut parked: Vec<Parked>) -> Vec<Parked> {
    let mut bytes = 0;
    let mut seen = std::collections::HashSet::new();
    let fits = parked.iter().take_while(|item| {
        if seen.insert(item.post_id) {
            bytes += i64::from(item.size);
        }
        seen.len() == 1 || bytes <= MAX_BYTES
    });
    let count = fits.count();
    parked.truncate(count);
    parked
}

fn columns(parked: &[Parked], fates: &[Fate]) -> Fates {
    let mut columns = Fates::default();
    for (item, fate) in parked.iter().zip(fates) {
        let (outcome, reason, owner) = match fate {
            Fate::Applied => (1, "", Owner::default()),
            Fate::Duplicate => (2, "", Owner::default()),
            // The number was deactivated meanwhile: it stays where it is.
            Fate::Listed(Outcome::Parked, ..) => continue,
            Fate::Listed(outcome, reason, owner) => (outcome.code(), &**reason, *owner),
        };
        columns.post_ids.push(item.post_id);
        columns.ordinals.push(item.ordinal);
        columns.pointers.push(item.pointer.clone());
        columns.outcomes.push(outcome);
        columns.reasons.push(reason.to_owned());
        columns.application_ids.push(owner.application_id);
        columns.connection_ids.push(owner.connection_id);
    }
    columns
}
