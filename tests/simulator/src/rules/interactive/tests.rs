use serde_json::json;

use super::super::check;
use super::*;

fn refusal(interactive: &Value) -> Option<Refusal> {
    let body = json!({"messaging_product": "whatsapp", "to": "+16505551234", "type": "interactive",
        "interactive": interactive});
    check(body.to_string().as_bytes(), "1").err()
}

/// Every kind at its least, each with what Meta's page shows.
fn kinds() -> Vec<Value> {
    let body = json!({"text": "hi"});
    let button = json!({"type": "reply", "reply": {"id": "yes", "title": "Yes"}});
    let card = |index: usize, action: &Value| {
        json!({"card_index": index, "type": "cta_url",
            "header": {"type": "image", "image": {"link": "https://example.com/a.png"}},
            "body": {"text": "one"}, "action": action})
    };
    let open = json!({"name": "cta_url", "parameters": {"display_text": "Open", "url": "https://example.com"}});
    let quick = json!({"buttons": [{"type": "quick_reply", "quick_reply": {"id": "a", "title": "A"}}]});
    vec![
        json!({"type": "button", "body": body, "action": {"buttons": [button]}}),
        json!({"type": "list", "body": body, "action": {"button": "Choose",
            "sections": [{"rows": [{"id": "1", "title": "One", "description": "first"}]}]}}),
        json!({"type": "cta_url", "body": body, "action": open}),
        json!({"type": "location_request_message", "body": body, "action": {"name": "send_location"}}),
        json!({"type": "contact_request", "body": body, "action": {"name": "request_contact_info"}}),
        json!({"type": "flow", "body": body, "action": {"name": "flow", "parameters": {"flow_message_version": "3",
            "flow_token": "t", "flow_id": "1", "flow_cta": "Book", "flow_action": "navigate", "mode": "published",
            "flow_action_payload": {"screen": "S1", "data": {"a": 1}}}}}),
        json!({"type": "product", "action": {"catalog_id": "1", "product_retailer_id": "p"}}),
        json!({"type": "product_list", "header": {"type": "text", "text": "H"}, "body": body, "action":
            {"catalog_id": "1", "sections": [{"title": "A", "product_items": [{"product_retailer_id": "p"}]}]}}),
        json!({"type": "catalog_message", "body": body, "action": {"name": "catalog_message",
            "parameters": {"thumbnail_product_retailer_id": "p"}}}),
        json!({"type": "carousel", "body": body, "action": {"cards": [card(0, &open), card(1, &open)]}}),
        json!({"type": "carousel", "body": body, "action": {"cards": [card(0, &quick), card(1, &quick)]}}),
    ]
}

#[test]
fn every_kind_passes() {
    for kind in kinds() {
        assert_eq!(refusal(&kind), None, "{kind}");
    }
}

#[test]
fn what_every_kind_needs_is_told_when_it_is_gone() {
    for kind in kinds() {
        let word = kind["type"].as_str().expect("type");
        for key in ["type", "action", "body"] {
            let mut without = kind.clone();
            without.as_object_mut().expect("object").remove(key);
            let expected = (key != "body" || word != "product").then_some(131_008);
            assert_eq!(
                refusal(&without).map(|refusal| refusal.code),
                expected,
                "{word} without {key}"
            );
        }
        let mut with = kind.clone();
        with["action"]["surprise"] = json!(1);
        assert_eq!(refusal(&with).map(|refusal| refusal.code), Some(100), "{word}");
    }
}

/// A change of one of the kinds: the code, and the field that `error_data.details` names.
fn changed(kind: usize, pointer: &str, value: Value) -> (i32, String) {
    let mut interactive = kinds()[kind].clone();
    match interactive.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/').expect("pointer");
            interactive.pointer_mut(parent).expect("parent")[key] = value;
        }
    }
    let Some(refusal) = refusal(&interactive) else {
        return (0, String::new());
    };
    let details = refusal.details.unwrap_or_default();
    (refusal.code, details.split(':').next().unwrap_or_default().to_owned())
}

#[test]
fn limits_are_metas_and_name_the_field() {
    let rows = |count: usize| -> Value {
        (0..count)
            .map(|index| json!({"id": index.to_string(), "title": "r"}))
            .collect()
    };
    let buttons = |count: usize| -> Value {
        let one =
            |index: usize| json!({"type": "reply", "reply": {"id": format!("{index}"), "title": format!("{index}")}});
        (0..count).map(one).collect()
    };
    let twice = json!([{"type": "reply", "reply": {"id": "1", "title": "a"}},
        {"type": "reply", "reply": {"id": "2", "title": "a"}}]);
    let text = |count: usize| json!("a".repeat(count));
    let media = |kind: &str| json!({"type": kind, kind: {"id": "1"}});
    for (kind, pointer, value, code, field) in [
        (0, "/action/buttons", buttons(3), 0, ""),
        (
            0,
            "/action/buttons",
            buttons(4),
            131_009,
            "interactive['action']['buttons']",
        ),
        (
            0,
            "/action/buttons",
            twice,
            131_009,
            "interactive['action']['buttons'][1]['reply']['title']",
        ),
        (0, "/action/buttons/0/reply/title", text(20), 0, ""),
        (
            0,
            "/action/buttons/0/reply/title",
            text(21),
            131_009,
            "interactive['action']['buttons'][0]['reply']['title']",
        ),
        (
            0,
            "/action/buttons/0/reply/id",
            text(257),
            131_009,
            "interactive['action']['buttons'][0]['reply']['id']",
        ),
        (
            0,
            "/action/buttons/0/reply/id",
            json!(" a"),
            131_009,
            "interactive['action']['buttons'][0]['reply']['id']",
        ),
        (0, "/body/text", text(1_025), 131_009, "interactive['body']['text']"),
        (
            0,
            "/footer",
            json!({"text": "a".repeat(61)}),
            131_009,
            "interactive['footer']['text']",
        ),
        (0, "/header", media("document"), 0, ""),
        (0, "/header", media("sticker"), 131_009, "interactive['header']['type']"),
        (
            0,
            "/header",
            json!({"type": "text", "text": "a".repeat(61)}),
            131_009,
            "interactive['header']['text']",
        ),
        (1, "/header", media("image"), 131_009, "interactive['header']['type']"),
        (1, "/body/text", text(4_096), 0, ""),
        (1, "/body/text", text(4_097), 131_009, "interactive['body']['text']"),
        (
            1,
            "/action/button",
            text(21),
            131_009,
            "interactive['action']['button']",
        ),
        (1, "/action/sections/0/rows", rows(10), 0, ""),
        (
            1,
            "/action/sections/0/rows",
            rows(11),
            131_009,
            "interactive['action']['sections'][0]['rows'][10]",
        ),
        (
            1,
            "/action/sections",
            json!({}),
            100,
            "Param interactive['action']['sections'] must be an array.",
        ),
        (
            1,
            "/action/sections",
            json!([{"rows": rows(1)}, {"rows": rows(1)}]),
            131_008,
            "Required parameter is missing",
        ),
        (
            1,
            "/action/sections/0/rows/0/description",
            text(73),
            100,
            "Param interactive['action']['sections'][0]['rows'][0]['description'] must be at most 72 characters long.",
        ),
        (
            2,
            "/action/parameters/url",
            json!("ftp://a"),
            131_009,
            "interactive['action']['parameters']['url']",
        ),
        (
            2,
            "/action/parameters/display_text",
            text(21),
            131_009,
            "interactive['action']['parameters']['display_text']",
        ),
        (
            3,
            "/header",
            json!({"type": "text", "text": "a"}),
            131_009,
            "interactive['header']",
        ),
        (3, "/footer", json!({"text": "a"}), 131_009, "interactive['footer']"),
        (
            5,
            "/action/parameters/flow_cta",
            json!("Book 📅"),
            131_009,
            "interactive['action']['parameters']['flow_cta']",
        ),
        (
            5,
            "/action/parameters/flow_action",
            json!("data_exchange"),
            131_009,
            "interactive['action']['parameters']['flow_action_payload']",
        ),
        (
            6,
            "/header",
            json!({"type": "text", "text": "a"}),
            131_009,
            "interactive['header']",
        ),
        (7, "/header", Value::Null, 131_008, "Required parameter is missing"),
        (
            9,
            "/action/cards/1/card_index",
            json!(0),
            131_009,
            "interactive['action']['cards'][1]['card_index']",
        ),
        (
            9,
            "/action/cards/1/body/text",
            json!("a\nb\nc\nd"),
            131_009,
            "interactive['action']['cards'][1]['body']",
        ),
        (
            9,
            "/action/cards/1/action",
            kinds()[10]["action"]["cards"][1]["action"].clone(),
            131_009,
            "interactive['action']['cards'][1]",
        ),
        (
            9,
            "/action/cards/0/header",
            media("document"),
            131_009,
            "interactive['action']['cards'][0]['header']",
        ),
        (
            10,
            "/action/cards/0/action/buttons/0/quick_reply/id",
            text(21),
            131_009,
            "interactive['action']['cards'][0]['action']['buttons'][0]['quick_reply']['id']",
        ),
    ] {
        assert_eq!(
            changed(kind, pointer, value),
            (code, field.to_owned()),
            "{kind} {pointer}"
        );
    }
}
