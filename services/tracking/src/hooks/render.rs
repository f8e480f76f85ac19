//! The JSON that subscribers receive, made from the event as the log has it.

use std::sync::LazyLock;

use outeract_domain::{ApplicationId, DeliveryId, SubscriptionId};
use outeract_events::timestamp;
use outeract_proto::FILE_DESCRIPTOR_SET;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{Event, MessagePayload, Party, StatusPayload};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, SerializeOptions};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;

/// Where the words of a message stand in its kinds.
const WORDS: [&str; 4] = ["body", "caption", "title", "text"];
/// Where a message says what it says: as what can be sent, or as what can only be received.
const CONTENTS: [&str; 2] = ["content", "received"];

static EVENT: LazyLock<Option<MessageDescriptor>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok()?;
    pool.get_message_by_name("outeract.tracking.v1.Event")
});

/// The body of a delivery.
#[derive(Serialize)]
struct Envelope<'a> {
    id: String,
    subscription_id: String,
    event_id: &'a str,
    event_type: &'a str,
    app_id: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    connection_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    origin_event_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at: Option<String>,
    late: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
    payload: Value,
    edges: Map<String, Value>,
}

/// The contract's descriptors do not fit its code.
#[derive(Debug, thiserror::Error)]
#[error("the event cannot be rendered")]
pub(crate) struct Unrenderable;

/// The body of the delivery `id`, the same for each of its attempts.
pub(crate) fn render(
    id: DeliveryId,
    subscription: SubscriptionId,
    application: ApplicationId,
    event: &Event,
) -> Result<Vec<u8>, Unrenderable> {
    let occurred_at = moment(event.occur_time.as_ref());
    let envelope = Envelope {
        id: id.to_string(),
        subscription_id: subscription.to_string(),
        event_id: &event.id,
        event_type: &event.event_type,
        app_id: application.to_string(),
        connection_id: &event.connection_id,
        origin_event_id: &event.origin_event_id,
        payload: payload(event, occurred_at.as_deref())?,
        edges: edges(event),
        received_at: moment(event.receive_time.as_ref()),
        occurred_at,
        late: event.late,
        erased: event.erased,
    };
    serde_json::to_vec(&envelope).map_err(|_| Unrenderable)
}

fn payload(event: &Event, occurred_at: Option<&str>) -> Result<Value, Unrenderable> {
    let Some(payload) = &event.payload else {
        return Ok(json!({}));
    };
    let fields = fields(event)?;
    Ok(match payload {
        Payload::Message(message) => message_payload(message, &fields)?,
        Payload::Status(status) => status_payload(status, &fields, occurred_at)?,
        // Whatever else there is and will be: its fields as the contract names them.
        _ => json_of(&fields)?,
    })
}

/// The message in the oneof `payload`, as the contract describes it.
fn fields(event: &Event) -> Result<DynamicMessage, Unrenderable> {
    let descriptor = EVENT.clone().ok_or(Unrenderable)?;
    // Only what is looked at is read again.
    let bare = Event {
        payload: event.payload.clone(),
        ..Event::default()
    };
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(&bare).map_err(|_| Unrenderable)?;
    set_of(&dynamic, "payload")
        .map(|(_, fields)| fields)
        .ok_or(Unrenderable)
}

/// The field of a oneof that is set, and the message in it.
fn set_of(message: &DynamicMessage, oneof: &str) -> Option<(String, DynamicMessage)> {
    let oneof = message.descriptor().oneofs().find(|found| found.name() == oneof)?;
    let field = oneof.fields().find(|field| message.has_field(field))?;
    let value = message.get_field(&field).as_message()?.clone();
    Some((field.name().to_owned(), value))
}

fn message_payload(message: &MessagePayload, fields: &DynamicMessage) -> Result<Value, Unrenderable> {
    let content = CONTENTS.iter().find_map(|name| {
        let value = fields.get_field_by_name(name)?;
        let content = value.as_message()?.clone();
        set_of(&content, "kind").map(|kind| (kind, content))
    });
    let kind = content.as_ref().map(|(kind, _)| kind);
    let mut said = Map::new();
    let text = kind.map(|(_, kind)| words(kind)).unwrap_or_default();
    said.insert("text".to_owned(), text.into());
    said.insert("role".to_owned(), message.role.clone().into());
    if let Some(((name, kind), content)) = &content {
        said.insert("type".to_owned(), name.clone().into());
        said.insert("content".to_owned(), json_of(content)?);
        if let Some(vcard) = string(kind, "vcard") {
            said.insert("vcard".to_owned(), vcard.into());
        }
    }
    let mut payload = Map::new();
    payload.insert("message".to_owned(), said.into());
    payload.insert("platform".to_owned(), message.platform.clone().into());
    put(&mut payload, "external_message_id", &message.external_message_id);
    put(
        &mut payload,
        "reply_to_external_message_id",
        &message.reply_to_external_message_id,
    );
    // What the contract has gained since: kept as it names it.
    let Value::Object(all) = json_of(fields)? else {
        return Err(Unrenderable);
    };
    for (name, value) in all {
        if name != "role" && !CONTENTS.contains(&name.as_str()) {
            payload.entry(name).or_insert(value);
        }
    }
    Ok(payload.into())
}

fn status_payload(
    status: &StatusPayload,
    fields: &DynamicMessage,
    occurred_at: Option<&str>,
) -> Result<Value, Unrenderable> {
    let Value::Object(mut payload) = json_of(fields)? else {
        return Err(Unrenderable);
    };
    if let Some(at) = occurred_at {
        payload.insert(format!("{}_at", status.status), at.into());
    }
    Ok(payload.into())
}

/// The words of a message, as far as its kind has some.
fn words(kind: &DynamicMessage) -> String {
    WORDS.iter().find_map(|name| string(kind, name)).unwrap_or_default()
}

fn string(message: &DynamicMessage, name: &str) -> Option<String> {
    let value = message.get_field_by_name(name)?;
    value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

fn json_of(message: &DynamicMessage) -> Result<Value, Unrenderable> {
    let options = SerializeOptions::new().use_proto_field_name(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|_| Unrenderable)
}

fn edges(event: &Event) -> Map<String, Value> {
    let mut edges = Map::new();
    let Some(found) = &event.edges else { return edges };
    for (name, party) in [("sent_by", &found.sent_by), ("sent_to", &found.sent_to)] {
        if let Some(party) = party {
            edges.insert(name.to_owned(), edge(party));
        }
    }
    edges
}

fn edge(party: &Party) -> Value {
    let mut edge = Map::new();
    put(&mut edge, "platform_user_id", &party.platform_user_id);
    edge.insert("external_id".to_owned(), party.external_id.clone().into());
    put(&mut edge, "name", &party.name);
    if party.system {
        edge.insert("system".to_owned(), true.into());
    }
    edge.into()
}

/// Puts a text that is there.
fn put(map: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        map.insert(name.to_owned(), text.into());
    }
}

fn moment(at: Option<&prost_types::Timestamp>) -> Option<String> {
    timestamp::from_proto(at?)?.format(&Rfc3339).ok()
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
