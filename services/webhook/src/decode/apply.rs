//! Messaging first, then tracking: whoever sees `message.inbound` can already reply.

use outeract_domain::{ContactId, E164, EventId};
use outeract_events::{Inbound, Status as StatusEvent, timestamp};
use outeract_graph::webhook::{InboundText, Kind, Status};
use outeract_graph::{GraphError, fault};
use outeract_proto::messaging::internal::v1::item::Kind as WireKind;
use outeract_proto::messaging::internal::v1::{InboundItem, Item as WireItem, StatusItem};
use outeract_proto::messaging::v1::message_content::Kind as ContentKind;
use outeract_proto::messaging::v1::{MessageContent, SendError, TextContent};
use outeract_proto::tracking::internal::v1::{EventRecord, RecordResult};
use time::OffsetDateTime;

use super::account::{Fate, Owner};
use super::bisect::Stalled;
use super::reader::{Batch, Item};
use super::route::{Destination, Target};
use super::siblings::{Applied, Siblings};
use crate::reason;
use crate::store::Outcome;

/// An item on its way.
struct Routed<'a> {
    /// Which item of the batch.
    index: usize,
    item: &'a Item,
    to: &'a Destination,
    received: OffsetDateTime,
}

/// Callback data of ours is far shorter; longer data is another app's.
const MAX_CALLBACK: usize = 128;

/// Applies the items that have a destination, and says what became of every item, in order.
pub(crate) async fn apply(siblings: &Siblings, batch: &Batch, targets: Vec<Target>) -> Result<Vec<Fate>, Stalled> {
    let mut routed = Vec::new();
    let mut wire = Vec::new();
    // Whatever is not said otherwise below was applied.
    let mut fates = vec![Fate::Applied; targets.len()];
    for (index, (item, target)) in batch.items.iter().zip(&targets).enumerate() {
        let received = batch
            .posts
            .get(item.place.post)
            .map_or(OffsetDateTime::UNIX_EPOCH, |post| post.received_at);
        match target {
            Ok(to) => {
                let one = Routed {
                    index,
                    item,
                    to,
                    received,
                };
                match one.wire() {
                    Some(item) => {
                        routed.push(one);
                        wire.push(item);
                    }
                    None => fates[index] = quarantined(reason::SENDER_UNREADABLE, to),
                }
            }
            Err(fate) => fates[index] = fate.clone(),
        }
    }
    let applied = if wire.is_empty() {
        Vec::new()
    } else {
        siblings.apply(&wire).await?
    };
    let mut events = Vec::new();
    let mut recorded = Vec::new();
    for (one, applied) in routed.iter().zip(applied) {
        match one.event(applied) {
            Ok(Some(event)) => {
                events.push(event);
                recorded.push(one);
            }
            Ok(None) => {}
            Err(fate) => fates[one.index] = fate,
        }
    }
    let results = if events.is_empty() {
        Vec::new()
    } else {
        siblings.record(&events).await?
    };
    for (one, result) in recorded.into_iter().zip(results) {
        fates[one.index] = match result {
            Ok(RecordResult::Recorded) => Fate::Applied,
            Ok(RecordResult::Duplicate) => Fate::Duplicate,
            Ok(RecordResult::Refused | RecordResult::Unspecified) | Err(_) => {
                quarantined(reason::EVENT_REFUSED, one.to)
            }
        };
    }
    Ok(fates)
}

fn quarantined(reason: impl Into<std::borrow::Cow<'static, str>>, to: &Destination) -> Fate {
    let owner = Owner {
        application_id: Some(to.application.uuid()),
        connection_id: Some(to.connection.uuid()),
    };
    Fate::Listed(Outcome::Quarantined, reason.into(), owner)
}

// === impl Routed ===

impl Routed<'_> {
    /// As messaging reads it; `None` for a message whose sender cannot be named.
    fn wire(&self) -> Option<WireItem> {
        let kind = match &self.item.kind {
            Kind::Text(text) => WireKind::Inbound(inbound(text)?),
            Kind::Status(status) => WireKind::Status(self.status(status)),
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
            ..StatusItem::default()
        }
    }

    /// The event of an item that messaging has applied, or what became of it without one.
    fn event(&self, applied: Result<Applied, tonic::Code>) -> Result<Option<EventRecord>, Fate> {
        match (&self.item.kind, applied) {
            (Kind::Text(text), Ok(Applied::Inbound(contact))) => Ok(Some(self.inbound_event(text, contact))),
            (Kind::Status(status), Ok(Applied::Status(message))) => Ok(Some(self.status_event(status, message))),
            (_, Ok(Applied::Kept)) => Ok(None),
            (_, Ok(Applied::Refused(why))) if is_reason(&why) => Err(quarantined(why, self.to)),
            // A refusal without a reason, a code, or an answer to something else.
            (_, Ok(_) | Err(_)) => Err(quarantined(reason::APPLY_REFUSED, self.to)),
        }
    }

    fn inbound_event(&self, text: &InboundText, contact: ContactId) -> EventRecord {
        let content = MessageContent {
            kind: Some(ContentKind::Text(TextContent {
                body: text.body.clone(),
                preview_url: None,
            })),
        };
        let inbound = Inbound {
            application: self.to.application,
            connection: self.to.connection,
            number: &self.to.number,
            wamid: &text.wamid,
            occurred: text.occurred,
            received: self.received,
            business: &self.to.business,
            from: &sender(text).unwrap_or_default(),
            contact,
            name: text.name.as_deref().unwrap_or_default(),
            content: &content,
            reply_to: text.reply_to.as_deref(),
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
        };
        event.record()
    }
}

fn inbound(text: &InboundText) -> Option<InboundItem> {
    sender(text)?;
    let wa_id = text.wa_id.clone().filter(|wa_id| E164::from_wa_id(wa_id).is_ok());
    Some(InboundItem {
        wamid: text.wamid.as_str().to_owned(),
        wa_id: wa_id.unwrap_or_default(),
        user_id: text.user_id.clone().unwrap_or_default(),
        occur_time: Some(timestamp::to_proto(text.occurred)),
        // A text of a user always does.
        opens_window: true,
        ..InboundItem::default()
    })
}

/// The user: E.164, or the business-scoped user id.
fn sender(text: &InboundText) -> Option<String> {
    let number = text.wa_id.as_deref().and_then(|wa_id| E164::from_wa_id(wa_id).ok());
    number
        .map(|number| number.as_str().to_owned())
        .or_else(|| text.user_id.clone())
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
