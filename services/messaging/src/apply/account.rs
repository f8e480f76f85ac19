//! News of accounts and of their users, by Meta's name of the field.

use std::collections::BTreeMap;

use outeract_events::timestamp;
use outeract_graph::webhook::{self, Moved, Preference, Switch};
use outeract_proto::messaging::internal::v1::{AccountItem, ItemOutcome, ItemResult};
use outeract_rpc::Fault;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Applier, Routed, reason, refused};
use crate::contacts::{Move, Sighting, Wish, Wished, is_id, is_wa_id};
use crate::limits::Limits;
use crate::templates::HearError;

/// Fields that tell of templates.
const TEMPLATE_FIELDS: [&str; 4] = [
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update",
    "template_category_update",
];

/// Entries of one statement: one item can hold as many as a call holds items.
pub(super) const MOST: usize = 1_000;

/// What came of an item.
pub(super) type Applied = Result<(), &'static str>;

// === impl Applier ===

impl Applier {
    pub(super) async fn apply_accounts(
        &self,
        items: &[Routed<AccountItem>],
        results: &mut [ItemResult],
    ) -> Result<(), Fault> {
        let mut fields: BTreeMap<&str, Vec<&Routed<AccountItem>>> = BTreeMap::new();
        for routed in items {
            fields.entry(routed.item.field.as_str()).or_default().push(routed);
        }
        for (field, items) in fields {
            let applied = match field {
                "user_preferences" => self.preferences(&items).await?,
                "calls" => self.calls(&items).await?,
                "user_id_update" | "system" => self.moves(&items).await?,
                field if Limits::concerns(field) => self.limits(&items).await?,
                field if TEMPLATE_FIELDS.contains(&field) => self.templates(&items).await?,
                // Nothing acts on these.
                _ => vec![Err(reason::FIELD_UNSUPPORTED); items.len()],
            };
            for (routed, applied) in items.iter().zip(applied) {
                results[routed.index] = match applied {
                    Ok(()) => ItemResult {
                        outcome: ItemOutcome::Applied.into(),
                        ..ItemResult::default()
                    },
                    Err(reason) => refused(reason),
                };
            }
        }
        Ok(())
    }

    /// Users who switched marketing off, or on again. Of a value of which an entry cannot be read, the others are heeded all the same.
    async fn preferences(&self, items: &[&Routed<AccountItem>]) -> Result<Vec<Applied>, Fault> {
        let mut applied = Vec::with_capacity(items.len());
        let mut preferences: Vec<(&Routed<AccountItem>, Preference)> = Vec::new();
        for routed in items {
            let read = webhook::preferences(&routed.item.value_json, self.received(&routed.item));
            let entries = read.unwrap_or_else(|cause| vec![Err(cause)]);
            let count = entries.len();
            let good = entries
                .into_iter()
                .flatten()
                .filter(|one| named(one.wa_id.as_deref(), one.user_id.as_deref()));
            let before = preferences.len();
            preferences.extend(good.map(|one| (*routed, one)));
            applied.push(whole(preferences.len() - before == count));
        }
        for some in preferences.chunks(MOST) {
            let sightings: Vec<_> = some
                .iter()
                .map(|(routed, one)| Sighting {
                    application: routed.application.uuid(),
                    wa_id: one.wa_id.as_deref(),
                    user: one.user_id.as_deref(),
                    create: true,
                    ..Sighting::default()
                })
                .collect();
            let contacts = self.registry.meet(&sightings).await?;
            let wishes: Vec<_> = some
                .iter()
                .zip(contacts)
                .filter_map(|((routed, one), contact)| Some(wished(routed, one, contact?)))
                .collect();
            self.consent.heed(&wishes).await?;
        }
        Ok(applied)
    }

    /// Users who have new ids.
    async fn moves(&self, items: &[&Routed<AccountItem>]) -> Result<Vec<Applied>, Fault> {
        let mut applied = Vec::with_capacity(items.len());
        let mut moves = Vec::new();
        for routed in items {
            let item = &routed.item;
            let read = webhook::moved(&item.field, &item.value_json, self.received(item));
            let entries = read.unwrap_or_else(|cause| vec![Err(cause)]);
            let count = entries.len();
            let before = moves.len();
            moves.extend(
                entries
                    .into_iter()
                    .flatten()
                    .filter_map(|moved| movement(routed, moved)),
            );
            applied.push(whole(moves.len() - before == count));
        }
        for some in moves.chunks(MOST) {
            self.registry.move_ids(some).await?;
        }
        Ok(applied)
    }

    /// What Meta says of templates. An account has several connections; its templates hear of it once for each, which changes nothing.
    async fn templates(&self, items: &[&Routed<AccountItem>]) -> Result<Vec<Applied>, Fault> {
        let mut applied = Vec::with_capacity(items.len());
        for routed in items {
            let (waba, item) = (&routed.connection.waba, &routed.item);
            applied.push(
                match self.templates.on_webhook(waba, &item.field, &item.value_json).await {
                    Ok(()) => Ok(()),
                    Err(HearError::Unreadable) => Err(reason::MALFORMED),
                    Err(HearError::Database(cause)) => return Err(cause.into()),
                },
            );
        }
        Ok(applied)
    }

    /// What Meta says of portfolios' limits.
    async fn limits(&self, items: &[&Routed<AccountItem>]) -> Result<Vec<Applied>, Fault> {
        let mut applied = Vec::with_capacity(items.len());
        let mut news = Vec::new();
        for routed in items {
            let item = &routed.item;
            let at = self.received(item);
            let read = self
                .limits
                .read(&routed.connection.waba, &item.field, &item.value_json, at);
            applied.push(whole(read.is_ok()));
            news.extend(read.ok().into_iter().flatten());
        }
        self.limits.take_over(news).await?;
        Ok(applied)
    }

    pub(super) fn received(&self, item: &AccountItem) -> OffsetDateTime {
        let at = item.receive_time.as_ref().and_then(timestamp::from_proto);
        at.unwrap_or_else(|| self.clock.now())
    }
}

pub(super) fn whole(whole: bool) -> Applied {
    if whole { Ok(()) } else { Err(reason::MALFORMED) }
}

/// Somebody is named, by ids that can be kept.
pub(super) fn named(wa_id: Option<&str>, user_id: Option<&str>) -> bool {
    (wa_id.is_some() || user_id.is_some()) && wa_id.is_none_or(is_wa_id) && user_id.is_none_or(is_id)
}

fn wished(routed: &Routed<AccountItem>, preference: &Preference, contact: Uuid) -> Wished {
    Wished {
        application: routed.application.uuid(),
        contact,
        connection: Some(routed.connection.id.uuid()),
        wish: match preference.switch {
            Switch::Stop => Wish::Stopped,
            Switch::Resume => Wish::Resumed,
        },
        at: Some(preference.occurred),
    }
}

fn movement(routed: &Routed<AccountItem>, moved: Moved) -> Option<Move> {
    let numbers = [&moved.wa_id_before, &moved.wa_id];
    let ids = [
        &moved.user_id_before,
        &moved.user_id,
        &moved.parent_before,
        &moved.parent,
    ];
    let good = numbers.into_iter().flatten().all(|id| is_wa_id(id)) && ids.into_iter().flatten().all(|id| is_id(id));
    good.then(|| Move {
        application: routed.application.uuid(),
        moved,
    })
}
