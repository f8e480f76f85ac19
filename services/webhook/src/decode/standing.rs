//! News of accounts that the connection service keeps, or acts on. It hears of them also where no connection is known here: it knows its connections best.

use outeract_events::timestamp;
use outeract_graph::webhook::{Account, Kind, News, stands};
use outeract_proto::connection::internal::v1::{AccountNews, AccountRestriction};
use time::OffsetDateTime;

use super::reader::{Batch, Item};

/// What the connection service is to hear, each with its item's place in the batch.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Before anything else is done: whoever sees the event sees what followed from it.
    pub(super) first: Vec<(usize, AccountNews)>,
    /// Once their events are recorded: they end connections, and with them the way of the event if it has to be tried again.
    pub(super) last: Vec<(usize, AccountNews)>,
}

/// Events that end connections.
const ENDING: &[&str] = &["ACCOUNT_DELETED", "PARTNER_APP_UNINSTALLED", "PARTNER_REMOVED"];
/// Meta's ids are far shorter; longer ones are no connection's.
const MAX_ID: usize = 64;

// === impl Reports ===

impl Reports {
    /// Those of a batch. Mostly there are none.
    pub(super) fn of(batch: &Batch, received: impl Fn(&Item) -> OffsetDateTime) -> Self {
        let mut reports = Self::default();
        for (index, item) in batch.items.iter().enumerate() {
            let Kind::Account(account) = &item.kind else { continue };
            if !stands(&account.field) {
                continue;
            }
            let Some(news) = news(account, item, received(item)) else {
                continue;
            };
            if ENDING.contains(&news.event.as_str()) {
                reports.last.push((index, news));
            } else {
                reports.first.push((index, news));
            }
        }
        reports
    }
}

/// `None`: it cannot be read, which is said where its event would be made.
fn news(account: &Account, item: &Item, received: OffsetDateTime) -> Option<AccountNews> {
    let news = News::read(&account.field, &account.value, received).ok()??;
    let id = |id: &str| {
        if id.len() <= MAX_ID {
            id.to_owned()
        } else {
            String::new()
        }
    };
    Some(AccountNews {
        waba_id: id(&item.waba_id),
        phone_number_id: id(&item.place.phone_number_id),
        phone_number: news.number,
        field: account.field.clone(),
        event: news.event,
        current: news.current,
        status: news.username_status,
        ban_state: news.ban_state,
        restrictions: news
            .restrictions
            .into_iter()
            .map(|one| AccountRestriction {
                r#type: one.kind,
                expire_time: OffsetDateTime::from_unix_timestamp(one.expires)
                    .ok()
                    .filter(|_| one.expires > 0)
                    .map(timestamp::to_proto),
            })
            .collect(),
        partner_app_id: news.partner_app_id,
        occur_time: Some(timestamp::to_proto(account.occurred.unwrap_or(received))),
    })
}
