//! Connection first, where there is news of accounts, then messaging, then tracking: whoever sees `message.inbound` can already reply.

use std::sync::Arc;

use outeract_domain::{ContactId, E164, EventId, FileId};
use outeract_events::{Inbound, Status as StatusEvent, timestamp};
use outeract_graph::webhook::{Account, Kind, Medium, Message, Said, Sender, Status, acts};
use outeract_graph::{GraphError, fault};
use outeract_proto::connection::internal::v1::AccountNews;
use outeract_proto::messaging::internal::v1::item::Kind as WireKind;
use outeract_proto::messaging::internal::v1::{AccountItem, InboundItem, InboundMedia, Item as WireItem, StatusItem};
use outeract_proto::messaging::v1::SendError;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordResult};
use outeract_proto::tracking::v1::StatusPayload;
use time::OffsetDateTime;

use super::account::{Fate, Owner};
use super::bisect::{Patience, Stalled};
use super::reader::{Batch, Item};
use super::route::{Destination, Target};
use super::siblings::{Applied, Siblings};
use super::standing::Reports;
use super::{content, news};
use crate::reason;
use crate::store::Outcome;

/// An item on its way.
struct Routed<'a> {
    /// Which item of the batch.
    index: usize,
    item: &'a Item,
    to: &'a Destination,
    /// Whose the item is if it is not applied.
    owner: Owner,
    received: OffsetDateTime,
}

/// An event on its way into the log.
struct Recorded {
    /// Which item of the batch it tells of.
    index: usize,
    owner: Owner,
    /// What becomes of the item once its event is there, where that is not simply applied.
    listed: Option<Fate>,
}

/// Callback data of ours is far shorter; longer data is another app's.
const MAX_CALLBACK: usize = 128;
/// Characters of a text that messaging looks at.
const MAX_TEXT: usize = 256;

/// Applies the items that have a destination, and says what became of every item, in order.
pub(crate) async fn apply(
    siblings: &Siblings,
    batch: &Batch,
    targets: Vec<Target>,
    patience: Patience,
) -> Result<Vec<Fate>, Stalled> {
    let reports = Reports::of(batch, |item| received(batch, item));
    let mut unreported = report(siblings, reports.first, patience).await?;
    let mut fates = apply_items(siblings, batch, &targets, patience).await?;
    unreported.extend(report(siblings, reports.last, patience).await?);
    for index in unreported {
        let owner = targets[index]
            .as_ref()
            .map_or_else(|_| Owner::default(), |to| common_owner(to));
        fates[index] = Fate::Listed(Outcome::Quarantined, reason::REPORT_REFUSED.into(), owner);
    }
    Ok(fates)
}

/// Tells the connection service; gives the items that it cannot take.
async fn report(
    siblings: &Siblings,
    reports: Vec<(usize, AccountNews)>,
    patience: Patience,
) -> Result<Vec<usize>, Stalled> {
    if reports.is_empty() {
        return Ok(Vec::new());
    }
    let (indexes, news): (Vec<_>, Vec<_>) = reports.into_iter().unzip();
    let outcomes = siblings.report(&news, patience).await?;
    let refused = indexes
        .into_iter()
        .zip(outcomes)
        .filter(|(_, outcome)| outcome.is_err());
    Ok(refused.map(|(index, _)| index).collect())
}

/// Messaging, then tracking.
async fn apply_items(
    siblings: &Siblings,
    batch: &Batch,
    targets: &[Target],
    patience: Patience,
) -> Result<Vec<Fate>, Stalled> {
    let mut routed = Vec::new();
    let mut wire = Vec::new();
    // Whatever is not said otherwise below was applied.
    let mut fates = vec![Fate::Applied; targets.len()];
    for (index, (item, target)) in batch.items.iter().zip(targets).enumerate() {
        let received = received(batch, item);
        match target {
            // Of these only events are made.
            Ok(_) if matches!(&item.kind, Kind::Account(account) if !acts(&account.field)) => {}
            Ok(destinations) => {
                let owner = common_owner(destinations);
                for to in destinations {
                    let one = Routed {
                        index,
                        item,
                        to,
                        owner,
                        received,
                    };
                    match one.wire() {
                        Some(item) => {
                            routed.push(one);
                            wire.push(item);
                        }
                        None => fates[index] = one.senderless(),
                    }
                }
            }
            Err(fate) => fates[index] = fate.clone(),
        }
    }
    let applied = if wire.is_empty() {
        Vec::new()
    } else {
        siblings.apply(&wire, patience).await?
    };
    let mut events = Vec::new();
    let mut recorded = Vec::new();
    for (one, applied) in routed.iter().zip(applied) {
        match one.event(applied) {
            Ok(Some(event)) => {
                events.push(event);
                recorded.push(Recorded {
                    index: one.index,
                    owner: one.owner,
                    // The event shows it as Meta wrote it; the item stays for a version that understands it.
                    listed: one.unknown().map(|what| one.not_understood(what)),
                });
            }
            Ok(None) => {}
            Err(fate) => fates[one.index] = fate,
        }
    }
    for (index, (item, target)) in batch.items.iter().zip(targets).enumerate() {
        let (Kind::Account(account), Ok(destinations), Fate::Applied) = (&item.kind, target, &fates[index]) else {
            continue;
        };
        let owner = common_owner(destinations);
        match news::events(account, item, destinations, received(batch, item)) {
            Ok(news) if news.is_empty() && !acts(&account.field) => {
                fates[index] = Fate::Listed(Outcome::Unsupported, reason::NO_CONNECTION.into(), owner);
            }
            Ok(news) => {
                recorded.extend(news.iter().map(|_| Recorded {
                    index,
                    owner,
                    listed: None,
                }));
                events.extend(news);
            }
            Err(why) => fates[index] = Fate::Listed(Outcome::Quarantined, why.into(), owner),
        }
    }
    let results = if events.is_empty() {
        Vec::new()
    } else {
        siblings.record(&events, patience).await?
    };
    settle(&mut fates, recorded, results);
    Ok(fates)
}

/// What became of items by what became of their events. An item with several is applied if one of them is new, and quarantined if one was refused.
fn settle(fates: &mut [Fate], recorded: Vec<Recorded>, results: Vec<Result<RecordResult, tonic::Code>>) {
    let mut last = None;
    for (Recorded { index, owner, listed }, result) in recorded.into_iter().zip(results) {
        let again = last.replace(index) == Some(index);
        let fate = match result {
            Ok(RecordResult::Recorded | RecordResult::Duplicate) if let Some(listed) = listed => listed,
            Ok(RecordResult::Recorded) => Fate::Applied,
            Ok(RecordResult::Duplicate) => Fate::Duplicate,
            Ok(RecordResult::Refused | RecordResult::Unspecified) | Err(_) => {
                Fate::Listed(Outcome::Quarantined, reason::EVENT_REFUSED.into(), owner)
            }
        };
        fates[index] = match (&fates[index], fate) {
            (listed @ Fate::Listed(..), _) if again => listed.clone(),
            (Fate::Applied, Fate::Duplicate) if again => Fate::Applied,
            (_, fate) => fate,
        };
    }
}

/// When the item's webhook was received.
fn received(batch: &Batch, item: &Item) -> OffsetDateTime {
    batch
        .posts
        .get(item.place.post)
        .map_or(OffsetDateTime::UNIX_EPOCH, |post| post.received_at)
}

/// The application and the connection that these have in common.
fn common_owner(destinations: &[Arc<Destination>]) -> Owner {
    let first = destinations.first();
    let application = first.filter(|first| destinations.iter().all(|to| to.application == first.application));
    let connection = application.filter(|_| destinations.len() == 1);
    Owner {
        application_id: application.map(|to| to.application.uuid()),
        connection_id: connection.map(|to| to.connection.uuid()),
    }
}

// === impl Routed ===

impl Routed<'_> {
    /// As messaging reads it; `None` for a message whose sender cannot be named.
    fn wire(&self) -> Option<WireItem> {
        let kind = match &self.item.kind {
            Kind::Message(message) => WireKind::Inbound(inbound(message, false)?),
            Kind::Echo(message) => WireKind::Inbound(inbound(message, true)?),
            Kind::Status(status) => WireKind::Status(self.status(status)),
            Kind::Account(account) => WireKind::Account(self.account(account)),
            Kind::Unsupported { .. } | Kind::Broken { .. } => return None,
        };
        Some(WireItem {
            application_id: self.to.application.bytes(),
            connection_id: self.to.connection.bytes(),
            phone_number_id: self.to.number.as_str().to_owned(),
            kind: Some(kind),
        })
    }

    fn status(&self, status: &Status) -> StatusItem {
        let callback = status.callback.as_deref().filter(|data| data.len() <= MAX_CALLBACK);
        StatusItem {
            wamid: status.wamid.as_str().to_owned(),
            status: status.word.clone(),
            occur_time: Some(timestamp::to_proto(status.occurred)),
            callback_data: callback.unwrap_or_default().to_owned(),
            recipient_wa_id: status.recipient.clone().unwrap_or_default(),
            error_code: status.error_code,
            receive_time: Some(timestamp::to_proto(self.received)),
            recipient_user_id: status.recipient_user_id.clone().unwrap_or_default(),
            recipient_parent_user_id: status.recipient_parent_user_id.clone().unwrap_or_default(),
            told: Some(content::told(status)).filter(|told| *told != StatusPayload::default()),
        }
    }

    fn account(&self, account: &Account) -> AccountItem {
        AccountItem {
            field: account.field.clone(),
            value_json: account.value.clone().into_bytes(),
            receive_time: Some(timestamp::to_proto(self.received)),
        }
    }

    /// A message whose sender cannot be named.
    fn senderless(&self) -> Fate {
        self.unknown().map_or_else(
            || self.quarantined(reason::SENDER_UNREADABLE),
            |what| self.not_understood(what),
        )
    }

    /// What it is, if it is a message of a type that this version does not know.
    fn unknown(&self) -> Option<&str> {
        match &self.item.kind {
            Kind::Message(message) | Kind::Echo(message) if matches!(message.said, Said::Unknown(_)) => {
                Some(&message.what)
            }
            _ => None,
        }
    }

    fn not_understood(&self, what: &str) -> Fate {
        Fate::Listed(Outcome::Unsupported, reason::unsupported(what).into(), self.owner)
    }

    fn quarantined(&self, reason: impl Into<std::borrow::Cow<'static, str>>) -> Fate {
        Fate::Listed(Outcome::Quarantined, reason.into(), self.owner)
    }

    /// The event of an item that messaging has applied, or what became of it without one.
    fn event(&self, applied: Result<Applied, tonic::Code>) -> Result<Option<EventRecord>, Fate> {
        match (&self.item.kind, applied) {
            (Kind::Message(message), Ok(Applied::Inbound { contact, file })) => {
                Ok(Some(self.message_event(message, false, contact, file)))
            }
            (Kind::Echo(message), Ok(Applied::Inbound { contact, file })) => {
                Ok(Some(self.message_event(message, true, contact, file)))
            }
            (Kind::Status(status), Ok(Applied::Status(message))) => Ok(Some(self.status_event(status, message))),
            (Kind::Account(_), Ok(Applied::News)) | (Kind::Status(_), Ok(Applied::Kept)) => Ok(None),
            (Kind::Account(account), Ok(Applied::Refused(why))) if why == reason::FIELD_UNSUPPORTED => {
                Err(self.not_understood(&format!("field.{}", account.field)))
            }
            (_, Ok(Applied::Refused(why))) if is_reason(&why) => Err(self.quarantined(why)),
            // A refusal without a reason, a code, or an answer to something else.
            (_, Ok(_) | Err(_)) => Err(self.quarantined(reason::APPLY_REFUSED)),
        }
    }

    fn message_event(&self, message: &Message, echo: bool, contact: ContactId, file: Option<FileId>) -> EventRecord {
        let file = file.map(|file| file.to_string());
        let inbound = Inbound {
            application: self.to.application,
            connection: self.to.connection,
            number: &self.to.number,
            wamid: &message.wamid,
            occurred: message.occurred,
            received: self.received,
            business: &self.to.business,
            from: &external_id(&message.user).unwrap_or_default(),
            contact,
            name: message.user.name.as_deref().unwrap_or_default(),
            echo,
            payload: content::payload(message, file.as_deref()),
        };
        inbound.record()
    }

    fn status_event(&self, status: &Status, message: EventId) -> EventRecord {
        let event = StatusEvent {
            application: self.to.application,
            connection: self.to.connection,
            message,
            wamid: &status.wamid,
            word: &status.word,
            occurred: status.occurred,
            received: self.received,
            error: (status.error_code != 0).then(|| error(status.error_code)),
            told: content::told(status),
        };
        event.record()
    }
}

/// As messaging reads it; none: the user cannot be named.
fn inbound(message: &Message, echo: bool) -> Option<InboundItem> {
    let user = &message.user;
    external_id(user)?;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let wa_id = user.wa_id.clone().filter(|wa_id| E164::from_wa_id(wa_id).is_ok());
    let words = message.said.words().filter(|_| !echo && message.group.is_none());
    Some(InboundItem {
        wamid: message.wamid.as_str().to_owned(),
        wa_id: wa_id.unwrap_or_default(),
        user_id: text(&user.user_id),
        parent_user_id: text(&user.parent_user_id),
        username: text(&user.username),
        profile_name: text(&user.name),
        occur_time: Some(timestamp::to_proto(message.occurred)),
        opens_window: message.opens_window() && !echo,
        text: words.map(beginning).unwrap_or_default(),
        media: message.said.medium().map(medium),
        echo,
    })
}

fn medium(medium: &Medium) -> InboundMedia {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    InboundMedia {
        media_id: medium.id.clone(),
        mime_type: text(&medium.mime_type),
        sha256: text(&medium.sha256),
        file_name: text(&medium.filename),
        voice: medium.voice,
        url: text(&medium.url),
    }
}

/// As much of a text as is looked at for words such as STOP.
fn beginning(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// The user: E.164, or the business-scoped user id.
fn external_id(sender: &Sender) -> Option<String> {
    let number = sender.wa_id.as_deref().and_then(|wa_id| E164::from_wa_id(wa_id).ok());
    number
        .map(|number| number.as_str().to_owned())
        .or_else(|| sender.user_id.clone())
}

fn error(code: i32) -> SendError {
    let verdict = fault::classify(&GraphError::from_code(code));
    SendError {
        reason: verdict.reason.to_owned(),
        meta_code: code,
        retryable: false,
        message: verdict.message.to_owned(),
    }
}

/// A stable reason, as another service gave it.
fn is_reason(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}
