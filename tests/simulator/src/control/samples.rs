use serde_json::{Map, Value, json};

/// Kinds of messages that users send, as `Inbound.sample` names them.
pub const SAMPLES: [&str; 23] = [
    "text",
    "image",
    "video",
    "audio",
    "voice",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "reaction_removal",
    "button",
    "button_reply",
    "list_reply",
    "flow",
    "call_permission",
    "order",
    "identity",
    "edit",
    "revoke",
    "forwarded",
    "referral",
    "unsupported",
];

/// A message of this kind as Meta writes it: type, content and what stands beside them. `about`: the message it refers to, where its kind refers to one. Media have made-up ids: there is
/// nothing behind them to fetch.
pub fn sample(kind: &str, about: &str) -> Option<Map<String, Value>> {
    let medium = |mime: &str| json!({"id": "1003383421387256", "mime_type": mime, "sha256": "1mLZ/FKzqTzWV3VxCLLzV+g0mWHJ7JUyVzaUDp0j0yE="});
    let with = |mut value: Value, key: &str, more: Value| {
        value[key] = more;
        value
    };
    let (kind, content) = match kind {
        "text" => ("text", json!({"body": "Hello"})),
        "image" => ("image", with(medium("image/jpeg"), "caption", json!("Look"))),
        "video" => ("video", medium("video/mp4")),
        "audio" => ("audio", medium("audio/mpeg")),
        "voice" => ("audio", with(medium("audio/ogg; codecs=opus"), "voice", json!(true))),
        "document" => (
            "document",
            with(medium("application/pdf"), "filename", json!("invoice.pdf")),
        ),
        "sticker" => ("sticker", with(medium("image/webp"), "animated", json!(false))),
        "location" => (
            "location",
            json!({"latitude": 52.5163, "longitude": 13.3777, "name": "Brandenburg Gate", "address": "Pariser Platz, Berlin"}),
        ),
        "contacts" => (
            "contacts",
            json!([{"name": {"formatted_name": "Ada Example", "first_name": "Ada"}, "phones": [{"phone": "+1 415 555 0100", "wa_id": "14155550100", "type": "CELL"}]}]),
        ),
        "reaction" => ("reaction", json!({"message_id": about, "emoji": "👍"})),
        "reaction_removal" => ("reaction", json!({"message_id": about})),
        "button" => ("button", json!({"payload": "yes", "text": "Yes"})),
        "button_reply" => interactive("button_reply", json!({"id": "yes", "title": "Yes"})),
        "list_reply" => interactive(
            "list_reply",
            json!({"id": "row1", "title": "First", "description": "The first row"}),
        ),
        "flow" => interactive(
            "nfm_reply",
            json!({"name": "flow", "body": "Sent", "response_json": "{\"flow_token\":\"t\",\"size\":\"M\"}"}),
        ),
        "call_permission" => interactive(
            "call_permission_reply",
            json!({"response": "accept", "expiration_timestamp": "1795600000", "response_source": "user_action"}),
        ),
        "order" => (
            "order",
            json!({"catalog_id": "194836987003835", "text": "", "product_items": [{"product_retailer_id": "sku1", "quantity": 2, "item_price": 30.5, "currency": "EUR"}]}),
        ),
        "identity" => (
            "system",
            json!({"type": "customer_identity_changed", "body": "The security code changed"}),
        ),
        "edit" => (
            "edit",
            json!({"original_message_id": about, "message": {"type": "text", "text": {"body": "Hello, edited"}}}),
        ),
        "revoke" => ("revoke", json!({"original_message_id": about})),
        "forwarded" | "referral" => return Some(beside(kind)),
        "unsupported" => {
            let errors = json!([{"code": 131_051, "title": "Message type unknown", "error_data": {"details": "Message type is currently not supported."}}]);
            let mut message = message("unsupported", json!({"type": "poll"}));
            message.insert("errors".to_owned(), errors);
            return Some(message);
        }
        _ => return None,
    };
    let mut message = message(kind, content);
    if kind == "system" {
        let identity = json!({"acknowledged": false, "created_timestamp": 1_795_427_000, "hash": "DF2lS5v2W6x="});
        message.insert("identity".to_owned(), identity);
    }
    Some(message)
}

/// A text with something beside it.
fn beside(kind: &str) -> Map<String, Value> {
    let mut message = message("text", json!({"body": "Hello"}));
    let (key, more) = if kind == "forwarded" {
        ("context", json!({"forwarded": true}))
    } else {
        (
            "referral",
            json!({"source_url": "https://fb.me/ad", "source_id": "120208", "source_type": "ad", "headline": "Chat with us", "body": "Summer sale",
            "media_type": "image", "image_url": "https://scontent.example/ad.jpg", "ctwa_clid": "ARAk", "welcome_message": {"text": "Hi!"}}),
        )
    };
    message.insert(key.to_owned(), more);
    message
}

fn interactive(kind: &str, reply: Value) -> (&'static str, Value) {
    let mut content = json!({"type": kind});
    content[kind] = reply;
    ("interactive", content)
}

fn message(kind: &str, content: Value) -> Map<String, Value> {
    let mut message = Map::new();
    message.insert("type".to_owned(), json!(kind));
    message.insert(kind.to_owned(), content);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_type_and_content_of_that_name() {
        for kind in SAMPLES {
            let sample = sample(kind, "wamid.A").unwrap_or_else(|| panic!("{kind}"));
            let name = sample["type"].as_str().unwrap_or_default();
            assert!(sample.contains_key(name), "{kind}");
        }
        assert!(sample("hologram", "").is_none());
    }
}
