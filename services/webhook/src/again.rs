//! Posts that are decoded already, through the decoder again: what is understood or can be routed now is applied, what was applied stays so, and the accounts add up.

mod plan;

use std::collections::{BTreeMap, HashMap, HashSet};

use outeract_graph::webhook::Kind;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::decode::account::{Fate, Head, Owner, Place, text};
use crate::decode::{Batch, BehindParked, Decoder, Item, Patience, Routes, Target, Waiting, read};
use crate::reason;
use crate::store::Outcome;
use crate::store::again::{self, PostAccount, Row};
use crate::store::item::NewItems;
use crate::store::post::Post;
use crate::store::replay::Met;
pub(crate) use plan::Index;
use plan::{Now, Verdict, plan};

/// What came of posts that were decoded again, to be written down.
#[derive(Debug, Clone)]
pub(crate) struct Again {
    posts: Vec<(Head, Vec<Now>)>,
}

/// What was written down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settled {
    /// Items that were asked for, by what came of them.
    pub met: Met,
    /// How each item that was asked for stands now.
    pub stand: Vec<Stand>,
}

/// How an item stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stand {
    /// Its post.
    pub post_id: Uuid,
    /// Where it is in the JSON; of one that was listed, where it was listed.
    pub pointer: String,
    /// What became of it: the contract's number.
    pub outcome: i16,
    /// Why, where it was not applied.
    pub reason: String,
    /// It was left as it was.
    pub kept: bool,
}

/// An item that is given to the decoder.
struct Given {
    post: usize,
    index: usize,
    item: Item,
    /// Whose it is as far as it is listed.
    owner: Owner,
    /// It is not listed: it was applied before.
    settled: bool,
}

// === impl Decoder ===

impl Decoder {
    /// Decodes posts again and applies the items that are `asked` for, by post, item and how it is listed (`None`: it was applied before). Posts that are not decoded are left to
    /// whoever decodes them.
    pub(crate) async fn again(
        &self,
        posts: Vec<Post>,
        asked: impl Fn(Uuid, &Item, Option<&Row>) -> bool,
    ) -> Result<Again, Waiting> {
        let ids: Vec<Uuid> = posts.iter().map(|post| post.id).collect();
        let decoded = again::decoded(&self.db, &ids).await?;
        let listed = by_post(again::rows(&self.db, &ids).await?);
        let posts = posts.into_iter().filter(|post| decoded.contains(&post.id)).collect();
        let batch = read(posts, &self.keyring).await?;
        let heads = batch.posts.clone();
        let (mut again, given) = sort(batch, &listed, asked);
        if given.is_empty() {
            return Ok(again);
        }
        let owners: Vec<(Owner, bool)> = given.iter().map(|one| (one.owner, one.settled)).collect();
        let places: Vec<(usize, usize)> = given.iter().map(|one| (one.post, one.index)).collect();
        let batch = Batch {
            posts: heads,
            items: given.into_iter().map(|one| one.item).collect(),
        };
        let routes = Routes::load(&self.db, &batch.items, &self.keyring).await?;
        let route = |(item, (owner, _)): (&Item, &(Owner, bool))| {
            let received = batch.posts.get(item.place.post).map(|post| post.received_at);
            let target = routes.of_item(item, BehindParked::Go);
            keep_apart(target, &routes, item, *owner, received)
        };
        let targets: Vec<Target> = batch.items.iter().zip(&owners).map(route).collect();
        let proven: Vec<bool> = targets.iter().map(Result::is_ok).collect();
        let fates = self.apply(&batch, targets, Patience::Waits).await?;
        for ((((post, index), fate), proven), (item, (_, settled))) in places
            .into_iter()
            .zip(fates)
            .zip(proven)
            .zip(batch.items.iter().zip(owners))
        {
            again.posts[post].1[index].verdict = Verdict::Fate(verdict(fate, item, proven, settled));
        }
        Ok(again)
    }
}

fn by_post(rows: Vec<Row>) -> HashMap<Uuid, Vec<Row>> {
    let mut posts: HashMap<Uuid, Vec<Row>> = HashMap::new();
    for row in rows {
        posts.entry(row.post_id).or_default().push(row);
    }
    posts
}

/// Every item as it is read today, and those that are given to the decoder.
fn sort(
    batch: Batch,
    listed: &HashMap<Uuid, Vec<Row>>,
    asked: impl Fn(Uuid, &Item, Option<&Row>) -> bool,
) -> (Again, Vec<Given>) {
    let mut posts: Vec<(Head, Vec<Now>)> = batch.posts.into_iter().map(|head| (head, Vec::new())).collect();
    let pointers: Vec<String> = batch.items.iter().map(|item| text(&item.place.pointer)).collect();
    let mut today: Vec<HashSet<&str>> = vec![HashSet::new(); posts.len()];
    for (item, pointer) in batch.items.iter().zip(&pointers) {
        today[item.place.post].insert(pointer);
    }
    let rows = |head: &Head| listed.get(&head.id).map_or(&[][..], Vec::as_slice);
    let indexes = posts.iter().zip(&today);
    let indexes: Vec<Index<'_>> = indexes.map(|((head, _), today)| Index::of(rows(head), today)).collect();
    let mut given = Vec::new();
    for (item, pointer) in batch.items.into_iter().zip(&pointers) {
        let post = item.place.post;
        let (head, now) = &mut posts[post];
        let row = indexes[post].first(pointer);
        let is_asked = asked(head.id, &item, row);
        // News of accounts say how things are. What was heeded then would be heeded again, over what came since.
        let heeded = row.is_none() && matches!(item.kind, Kind::Account(_));
        now.push(Now {
            place: Place {
                pointer: pointer.clone(),
                ..item.place.clone()
            },
            seen: row.map(|row| row.outcome),
            verdict: match (is_asked, heeded) {
                (false, _) => Verdict::NotAsked,
                (true, true) => Verdict::Fate(Fate::Duplicate),
                (true, false) => Verdict::Kept,
            },
        });
        if is_asked && !heeded {
            given.push(Given {
                post,
                index: now.len() - 1,
                owner: row.map_or_else(Owner::default, |row| Owner {
                    application_id: row.application_id,
                    connection_id: row.connection_id,
                }),
                settled: row.is_none(),
                item,
            });
        }
    }
    (Again { posts }, given)
}

/// What came for one application is never given to another: the one that an item is listed for, or else the one that had the number when it came.
fn keep_apart(target: Target, routes: &Routes, item: &Item, owner: Owner, received: Option<OffsetDateTime>) -> Target {
    let mut destinations = target?;
    destinations.retain(|to| match owner.application_id {
        Some(application) => to.application.uuid() == application,
        None => received.is_some_and(|received| routes.had(to, item, received)),
    });
    if destinations.is_empty() {
        // Parked is what stays as it is.
        return Err(Fate::Listed(Outcome::Parked, reason::ROUTE_MISMATCH.into(), owner));
    }
    Ok(destinations)
}

/// What came of an item that was given to the decoder. Only where its route is proven says the decoder whose it is.
fn verdict(fate: Fate, item: &Item, proven: bool, settled: bool) -> Fate {
    match fate {
        // A status whose message is not known yet is kept as often as it is given: nothing new came of it.
        Fate::Applied if settled && matches!(item.kind, Kind::Status(_)) => Fate::Duplicate,
        Fate::Listed(outcome, reason, _) if !proven => Fate::Listed(outcome, reason, Owner::default()),
        fate => fate,
    }
}

// === impl Again ===

impl Again {
    /// Writes down what came of the items, in the caller's transaction. Items that somebody else has settled meanwhile are left as they are.
    pub(crate) async fn settle(&self, connection: &mut PgConnection) -> sqlx::Result<Settled> {
        let ids: Vec<Uuid> = self.posts.iter().map(|(head, _)| head.id).collect();
        let mut listed = by_post(again::lock_rows(&mut *connection, &ids).await?);
        let accounts: BTreeMap<Uuid, PostAccount> = again::lock_accounts(&mut *connection, &ids)
            .await?
            .into_iter()
            .map(|one| (one.post_id, one))
            .collect();
        let mut settled = Settled::default();
        let (mut changed, mut items) = (Vec::new(), NewItems::default());
        for (head, now) in &self.posts {
            // Retention may have dropped it.
            let Some(before) = accounts.get(&head.id) else { continue };
            let rows = listed.remove(&head.id).unwrap_or_default();
            let planned = plan(head, before.account, &rows, now);
            settled.add(planned.met, planned.stand);
            if let Some(rows) = planned.rows {
                for row in rows {
                    items.push(row);
                }
                changed.push(PostAccount {
                    post_id: head.id,
                    account: planned.account,
                });
            }
        }
        if !changed.is_empty() {
            again::rewrite(connection, &changed, &items).await?;
        }
        Ok(settled)
    }

    /// How many posts there are.
    pub(crate) fn posts(&self) -> usize {
        self.posts.len()
    }
}

// === impl Settled ===

impl Settled {
    fn add(&mut self, met: Met, stand: Vec<Stand>) {
        self.met.applied += met.applied;
        self.met.duplicate += met.duplicate;
        self.met.unsupported += met.unsupported;
        self.met.quarantined += met.quarantined;
        self.met.kept += met.kept;
        self.stand.extend(stand);
    }

    /// Counts it, by what asked for it.
    pub(crate) fn count(&self, by: &'static str) {
        let counts = [
            ("applied", self.met.applied),
            ("duplicate", self.met.duplicate),
            ("unsupported", self.met.unsupported),
            ("quarantined", self.met.quarantined),
            ("kept", self.met.kept),
        ];
        for (outcome, items) in counts {
            metrics::counter!("webhook_items_again_total", "by" => by, "outcome" => outcome).increment(items as u64);
        }
    }
}
