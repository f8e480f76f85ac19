//! Items in, items accounted: what became of every item of a batch, as rows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::Outcome;
use crate::store::account::Accounts;
use crate::store::item::NewItems;

/// A post of a batch, without its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// Its id.
    pub id: Uuid,
    /// Its place in its lane.
    pub position: i64,
    /// When it was received.
    pub received_at: OffsetDateTime,
}

/// Where an item stands.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Which post of the batch.
    pub post: usize,
    /// Its number among the post's items.
    pub ordinal: i32,
    /// Where it stands in the JSON.
    pub pointer: String,
    /// Meta's name of the field.
    pub field: String,
    /// The number it names; empty when it names none.
    pub phone_number_id: String,
}

/// What became of an item. Every item has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It became an event, or messaging keeps it until it can.
    Applied,
    /// It had been applied before.
    Duplicate,
    /// It was not applied.
    Listed(Outcome, Cow<'static, str>, Owner),
}

/// Whose an item is, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owner {
    /// The application.
    pub application_id: Option<Uuid>,
    /// The connection.
    pub connection_id: Option<Uuid>,
}

/// Longest pointer, field and reason that a row keeps, in bytes. Meta's are far shorter.
const MAX_TEXT: usize = 256;

/// The rows of a batch: one account per post, in the posts' order, and one item per item that was not applied. What came in is counted by places, what became of it by fates: where one
/// is missing the account does not add up, and is refused.
pub(crate) fn rows(posts: &[Head], places: &[Place], fates: &[Fate]) -> (Accounts, NewItems) {
    let mut accounts = Accounts::of(posts);
    let mut rows = NewItems::default();
    for place in places {
        if let Some(items) = accounts.items.get_mut(place.post) {
            *items += 1;
        }
    }
    for (place, fate) in places.iter().zip(fates) {
        // Proof: places are made from the same posts.
        let Some(post) = posts.get(place.post) else { continue };
        let counts = match fate {
            Fate::Applied => &mut accounts.applied,
            Fate::Duplicate => &mut accounts.duplicate,
            Fate::Listed(Outcome::Parked, ..) => &mut accounts.parked,
            Fate::Listed(Outcome::Unsupported, ..) => &mut accounts.unsupported,
            // Nobody has decided anything yet: what comes new is not discarded.
            Fate::Listed(Outcome::Quarantined | Outcome::Discarded, ..) => &mut accounts.quarantined,
        };
        counts[place.post] += 1;
        if let Fate::Listed(outcome, reason, owner) = fate {
            rows.post_ids.push(post.id);
            rows.ordinals.push(place.ordinal);
            rows.received_at.push(post.received_at);
            rows.positions.push(post.position);
            rows.pointers.push(text(&place.pointer));
            rows.fields.push(text(&place.field));
            rows.outcomes.push(outcome.code());
            rows.reasons.push(text(reason));
            rows.application_ids.push(owner.application_id);
            rows.connection_ids.push(owner.connection_id);
            rows.phone_number_ids.push(text(&place.phone_number_id));
        }
    }
    (accounts, rows)
}

/// Counts what became of items, and says in the log when some were quarantined. Of items that were accounted before, `again` says by what; they do not count as having come in.
pub(crate) fn count<'a>(again: Option<&'static str>, fates: impl Iterator<Item = &'a Fate>) {
    let (mut applied, mut duplicate) = (0, 0);
    let mut listed: BTreeMap<(&'static str, &str), u64> = BTreeMap::new();
    for fate in fates {
        match fate {
            Fate::Applied => applied += 1,
            Fate::Duplicate => duplicate += 1,
            Fate::Listed(outcome, reason, _) => *listed.entry((outcome.word(), reason)).or_default() += 1,
        }
    }
    let counter = |outcome| match again {
        None => metrics::counter!("webhook_items_total", "outcome" => outcome),
        Some(by) => metrics::counter!("webhook_items_again_total", "by" => by, "outcome" => outcome),
    };
    counter("applied").increment(applied);
    counter("duplicate").increment(duplicate);
    for ((outcome, reason), items) in listed {
        counter(outcome).increment(items);
        if outcome == Outcome::Quarantined.word() {
            tracing::warn!(reason, items, "{items} items of webhooks were quarantined: {reason}");
        }
    }
}

/// Text as a row can keep it: bounded, and without the one character that Postgres refuses.
pub(crate) fn text(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].replace('\0', "")
}

// === impl Accounts ===

impl Accounts {
    fn of(posts: &[Head]) -> Self {
        let none = || vec![0; posts.len()];
        Self {
            post_ids: posts.iter().map(|post| post.id).collect(),
            items: none(),
            applied: none(),
            duplicate: none(),
            parked: none(),
            unsupported: none(),
            quarantined: none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fates() -> impl Strategy<Value = Fate> {
        let listed = |outcome| Fate::Listed(outcome, "WHY".into(), Owner::default());
        prop_oneof![
            Just(Fate::Applied),
            Just(Fate::Duplicate),
            Just(listed(Outcome::Parked)),
            Just(listed(Outcome::Unsupported)),
            Just(listed(Outcome::Quarantined)),
        ]
    }

    proptest! {
        #[test]
        fn every_item_is_counted_once_and_listed_unless_applied(items in prop::collection::vec((0..5_usize, fates()), 0..50)) {
            let posts: Vec<Head> = (0..5)
                .map(|n| Head { id: Uuid::from_u128(n), position: n as i64, received_at: OffsetDateTime::UNIX_EPOCH })
                .collect();
            let places: Vec<Place> = items
                .iter()
                .enumerate()
                .map(|(n, (post, _))| Place { post: *post, ordinal: n as i32, pointer: "/\0é".repeat(200), field: String::new(), phone_number_id: String::new() })
                .collect();
            let fates: Vec<Fate> = items.iter().map(|(_, fate)| fate.clone()).collect();
            let (accounts, rows) = rows(&posts, &places, &fates);
            for post in 0..5 {
                let sum = accounts.applied[post] + accounts.duplicate[post] + accounts.parked[post] + accounts.unsupported[post] + accounts.quarantined[post];
                prop_assert_eq!(sum, accounts.items[post]);
                prop_assert_eq!(accounts.items[post] as usize, items.iter().filter(|(of, _)| *of == post).count());
            }
            let listed = items.iter().filter(|(_, fate)| matches!(fate, Fate::Listed(..))).count();
            prop_assert_eq!(rows.post_ids.len(), listed);
            prop_assert!(rows.pointers.iter().all(|pointer| pointer.len() <= MAX_TEXT && !pointer.contains('\0')));
        }
    }
}
