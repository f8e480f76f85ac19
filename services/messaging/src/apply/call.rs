//! Calls from users: like their messages they open the window.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use outeract_graph::webhook::{self, Call};
use outeract_proto::messaging::internal::v1::AccountItem;
use outeract_rpc::Fault;
use time::OffsetDateTime;
use uuid::Uuid;

use super::account::{Applied, MOST, named, whole};
use super::{Applier, Routed};
use crate::contacts::Sighting;
use crate::store::apply::{self as store, Opening};
use crate::store::run;

/// A call is no message that could be marked as read: that of the last message stays.
const NO_MESSAGE: &[u8] = &[];

// === impl Applier ===

impl Applier {
    /// Of a value of which an entry cannot be read, the others are heeded all the same.
    pub(super) async fn calls(&self, items: &[&Routed<AccountItem>]) -> Result<Vec<Applied>, Fault> {
        let mut applied = Vec::with_capacity(items.len());
        let mut calls: Vec<(&Routed<AccountItem>, Call)> = Vec::new();
        for routed in items {
            let read = webhook::calls(&routed.item.value_json, self.received(&routed.item));
            let entries = read.unwrap_or_else(|cause| vec![Err(cause)]);
            let (count, before) = (entries.len(), calls.len());
            let good = entries
                .into_iter()
                .flatten()
                .filter(|call| named(call.wa_id.as_deref(), call.user_id.as_deref()));
            calls.extend(good.map(|call| (*routed, call)));
            applied.push(whole(calls.len() - before == count));
        }
        for some in calls.chunks(MOST) {
            self.called(some).await?;
        }
        Ok(applied)
    }

    async fn called(&self, calls: &[(&Routed<AccountItem>, Call)]) -> Result<(), Fault> {
        let sightings: Vec<_> = calls
            .iter()
            .map(|(routed, call)| Sighting {
                application: routed.application.uuid(),
                wa_id: call.wa_id.as_deref(),
                user: call.user_id.as_deref(),
                create: true,
                ..Sighting::default()
            })
            .collect();
        let contacts = self.registry.meet(&sightings).await?;
        let mut latest: BTreeMap<(&str, Uuid), OffsetDateTime> = BTreeMap::new();
        for ((routed, call), contact) in calls.iter().zip(contacts) {
            let Some(contact) = contact else { continue };
            let at = latest
                .entry((routed.connection.number.as_str(), contact))
                .or_insert(call.occurred);
            *at = call.occurred.max(*at);
        }
        let openings: Vec<_> = latest
            .iter()
            .map(|((number, contact), at)| Opening {
                number,
                contact: *contact,
                at: *at,
                wamid_sealed: NO_MESSAGE,
            })
            .collect();
        if openings.is_empty() {
            return Ok(());
        }
        let asked = Instant::now();
        for opened in run!(self.db, "window.open", |conn| store::open_windows(conn, &openings))? {
            self.windows
                .learn(&Arc::from(opened.number), opened.contact, opened.window_left, asked);
        }
        // A contact that was merged in this very moment: its window must not stay behind.
        let opened: Vec<Uuid> = openings.iter().map(|opening| opening.contact).collect();
        Ok(self.registry.carry_what_was_merged(&opened).await?)
    }
}
