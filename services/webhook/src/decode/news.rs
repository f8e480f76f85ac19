//! News of accounts, numbers and templates become events: one for each application concerned.

use std::sync::Arc;

use outeract_events::{AccountNews, timestamp};
use outeract_graph::webhook::{Account, News};
use outeract_proto::tracking::internal::v1::EventRecord;
use outeract_proto::tracking::v1::{AccountAlert, AccountPayload, AccountRestriction, TemplateReference};
use time::OffsetDateTime;

use super::reader::Item;
use super::route::Destination;
use crate::reason;

/// The events of news. None of users' affairs, of which messaging writes the events, and none where the number they name is no connection's; `Err` has the reason of a value that cannot be
/// read.
pub(super) fn events(
    account: &Account,
    item: &Item,
    destinations: &[Arc<Destination>],
    received: OffsetDateTime,
) -> Result<Vec<EventRecord>, &'static str> {
    if account.field == "system" {
        return Ok(Vec::new());
    }
    let news = News::read(&account.field, &account.value, received).map_err(|_| reason::VALUE_UNREADABLE)?;
    let Some(news) = news else { return Ok(Vec::new()) };
    // Meta's id of the number has led to its connection already.
    let by_id = !item.place.phone_number_id.is_empty();
    let own = destinations
        .windows(2)
        .all(|two| two[0].application == two[1].application);
    let mut concerned: Vec<_> = destinations
        .iter()
        .filter(|to| by_id || concerns(&news, to, own))
        .collect();
    concerned.sort_by_key(|to| to.application.uuid());
    let payload = payload(&account.field, &item.waba_id, &news);
    let events = concerned.chunk_by(|one, other| one.application == other.application);
    Ok(events
        .filter_map(|group| {
            let first = group.first()?;
            let event = AccountNews {
                application: first.application,
                connection: (group.len() == 1).then_some(first.connection),
                event_type: news.event_type,
                payload: &payload,
                value: &account.value,
                occurred: account.occurred.unwrap_or(received),
                received,
            };
            Some(event.record())
        })
        .collect())
}

/// News that name a number concern its connection alone. Of a connection whose number is not known, it is not known whether they do: they may as long as all connections are one application's
/// `own`, for no application hears of another's number.
fn concerns(news: &News, to: &Destination, own: bool) -> bool {
    let digits = to.business.trim_start_matches('+');
    news.number.is_empty() || digits == news.number || (own && digits.is_empty())
}

fn payload(field: &str, waba_id: &str, news: &News) -> AccountPayload {
    let news = news.clone();
    AccountPayload {
        field: field.to_owned(),
        event: news.event,
        waba_id: waba_id.to_owned(),
        phone_number: if news.number.is_empty() {
            String::new()
        } else {
            format!("+{}", news.number)
        },
        reason: news.reason,
        previous: news.previous,
        current: news.current,
        template: news.template.map(|template| TemplateReference {
            external_id: template.id,
            name: template.name,
            language: template.language,
        }),
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
        alert: news.alert.map(|alert| AccountAlert {
            entity_type: alert.entity_type,
            entity_id: alert.entity_id,
            severity: alert.severity,
            status: alert.status,
        }),
        owner_business_id: news.owner_business_id,
        // The builder adds it.
        value_json: String::new(),
        value_omitted: false,
    }
}
