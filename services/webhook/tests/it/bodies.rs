//! Webhooks as Meta writes them.

use outeract_domain::{Callback, EventId};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const AT: &str = "1795428000";

/// One number's change of the field `messages`.
pub(crate) fn change(number: &str, messages: Vec<Value>, statuses: Vec<Value>) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": number},
        "contacts": [{"profile": {"name": "Ann"}, "wa_id": "16505551234"}],
    });
    if !messages.is_empty() {
        value["messages"] = messages.into();
    }
    if !statuses.is_empty() {
        value["statuses"] = statuses.into();
    }
    json!({"field": "messages", "value": value})
}

pub(crate) fn entry(waba: &str, changes: &[Value]) -> Value {
    json!({"id": waba, "changes": changes})
}

pub(crate) fn post(entries: &[Value]) -> Vec<u8> {
    json!({"object": "whatsapp_business_account", "entry": entries})
        .to_string()
        .into_bytes()
}

pub(crate) fn text(wamid: &str, body: &str) -> Value {
    json!({"from": "16505551234", "id": wamid, "timestamp": AT, "type": "text", "text": {"body": body}})
}

pub(crate) fn image(wamid: &str) -> Value {
    json!({"from": "16505551234", "id": wamid, "timestamp": AT, "type": "image", "image": {"id": "5", "mime_type": "image/jpeg"}})
}

/// A message of a type that nobody knows.
pub(crate) fn unknown(wamid: &str) -> Value {
    json!({"from": "16505551234", "id": wamid, "timestamp": AT, "type": "hologram", "hologram": {"id": "5"}})
}

/// A status; `callback` names its message to the made-up messaging service.
pub(crate) fn status(wamid: &str, word: &str, callback: &str) -> Value {
    json!({"id": wamid, "status": word, "timestamp": AT, "recipient_id": "16505551234", "biz_opaque_callback_data": callback})
}

/// One text to one number.
pub(crate) fn one_text(waba: &str, number: &str, wamid: &str) -> Vec<u8> {
    post(&[entry(waba, &[change(number, vec![text(wamid, "hello")], vec![])])])
}

/// Callback data that names a message.
pub(crate) fn callback(message: u128) -> String {
    let message = EventId::from_uuid(Uuid::from_u128(message));
    Callback { message, attempt: 1 }.to_string()
}
