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

/// A change of one of the kinds: the code, and what `error_data.details` says.
fn changed(kind: usize, pointer: &str, value: Value) -> (i32, String) {
    let mut interactive = kinds()[kind].clone();
    let (parent, key) = pointer.rsplit_once('/').expect("pointer");
    match interactive.pointer_mut(parent).expect("parent") {
        Value::Array(elements) => elements[key.parse::<usize>().expect("index")] = value,
        object => object[key] = value,
    }
    let refusal = refusal(&interactive);
    refusal.map_or((0, String::new()), |refusal| {
        (refusal.code, refusal.details.unwrap_or_default())
    })
}

/// A field as Meta writes it.
fn path(pointer: &str) -> String {
    let steps = pointer.split('/').skip(1).map(|step| match step.parse::<usize>() {
        Ok(index) => format!("[{index}]"),
        Err(_) => format!("['{step}']"),
    });
    format!("interactive{}", steps.collect::<String>())
}

fn hold(kind: usize, cases: Vec<(&str, Value, i32)>) {
    for (pointer, value, expected) in cases {
        let (code, details) = changed(kind, pointer, value);
        assert_eq!(code, expected, "{kind} {pointer}: {details}");
        assert!(
            code == 0 || details.contains(&path(pointer)),
            "{kind} {pointer}: {details}"
        );
    }
}

fn text(count: usize) -> Value {
    json!("a".repeat(count))
}

fn header_text(count: usize) -> Value {
    json!({"type": "text", "text": "a".repeat(count)})
}

fn media(kind: &str) -> Value {
    json!({"type": kind, kind: {"id": "1"}})
}

#[test]
fn buttons_are_held_to_their_limits() {
    let button = |id: &str, title: &str| json!({"type": "reply", "reply": {"id": id, "title": title}});
    let buttons = |count: usize| -> Value {
        let one = |index: usize| button(&index.to_string(), &index.to_string());
        (0..count).map(one).collect()
    };
    hold(
        0,
        vec![
            ("/action/buttons", buttons(3), 0),
            ("/action/buttons", buttons(4), 131_009),
            ("/action/buttons", json!([button("1", "a"), button("2", "a")]), 131_009),
            ("/action/buttons", json!([button("1", "a"), button("1", "b")]), 131_009),
            ("/action/buttons/0/reply/title", text(20), 0),
            ("/action/buttons/0/reply/title", text(21), 131_009),
            ("/action/buttons/0/reply/id", text(256), 0),
            ("/action/buttons/0/reply/id", text(257), 131_009),
            ("/action/buttons/0/reply/id", json!(" a"), 131_009),
            ("/body/text", text(1_025), 131_009),
            ("/footer", json!({"text": "a".repeat(60)}), 0),
            ("/footer", json!({"text": "a".repeat(61)}), 131_009),
            ("/header", media("document"), 0),
            ("/header", media("sticker"), 131_009),
            ("/header", header_text(60), 0),
            ("/header", header_text(61), 131_009),
        ],
    );
}

#[test]
fn lists_are_held_to_their_limits() {
    let rows = |from: usize, count: usize| -> Value {
        (from..from + count)
            .map(|index| json!({"id": index.to_string(), "title": "r"}))
            .collect()
    };
    let titled = |title: &str, rows: &Value| json!({"title": title, "rows": rows});
    hold(
        1,
        vec![
            ("/header", media("image"), 131_009),
            ("/header", header_text(60), 0),
            ("/body/text", text(4_096), 0),
            ("/body/text", text(4_097), 131_009),
            ("/action/button", text(20), 0),
            ("/action/button", text(21), 131_009),
            ("/action/sections/0/rows", rows(0, 10), 0),
            ("/action/sections/0/rows", rows(0, 11), 131_009),
            (
                "/action/sections",
                json!([titled("A", &rows(0, 5)), titled("B", &rows(5, 5))]),
                0,
            ),
            (
                "/action/sections",
                json!([titled("A", &rows(0, 6)), titled("B", &rows(6, 5))]),
                131_009,
            ),
            (
                "/action/sections",
                json!([titled("A", &rows(0, 2)), titled("B", &rows(1, 1))]),
                131_009,
            ),
            (
                "/action/sections",
                json!([titled("A", &rows(0, 1)), {"rows": rows(1, 1)}]),
                131_008,
            ),
            ("/action/sections", json!({}), 100),
            ("/action/sections/0/rows/0/title", text(25), 131_009),
            ("/action/sections/0/rows/0/description", text(73), 100),
        ],
    );
}

#[test]
fn the_other_kinds_are_held_to_their_limits() {
    hold(
        2,
        vec![
            ("/action/parameters/url", json!("ftp://a"), 131_009),
            ("/action/parameters/display_text", text(21), 131_009),
        ],
    );
    for kind in [3, 4] {
        hold(
            kind,
            vec![
                ("/header", header_text(1), 131_009),
                ("/footer", json!({"text": "a"}), 131_009),
                ("/action/name", json!("surprise"), 100),
            ],
        );
    }
    hold(
        5,
        vec![
            ("/action/parameters/flow_cta", json!("Book 📅"), 131_009),
            ("/action/parameters/flow_cta", text(31), 131_009),
            ("/action/parameters/flow_message_version", json!("2"), 100),
            ("/action/parameters/flow_id", Value::Null, 131_008),
        ],
    );
    let (code, details) = changed(5, "/action/parameters/flow_action", json!("data_exchange"));
    assert!(
        code == 131_009 && details.contains("['flow_action_payload']"),
        "{code} {details}"
    );
    hold(6, vec![("/header", header_text(1), 131_009)]);
    let items = |count: usize| -> Value { (0..count).map(|_| json!({"product_retailer_id": "p"})).collect() };
    hold(
        7,
        vec![
            ("/header", Value::Null, 131_008),
            ("/header", media("image"), 131_009),
            ("/action/sections/0/product_items", items(30), 0),
            ("/action/sections/0/product_items", items(31), 131_009),
        ],
    );
}

#[test]
fn cards_are_held_to_their_limits() {
    let cards = |count: usize| -> Value {
        let one = |index: usize| {
            let mut card = kinds()[9]["action"]["cards"][0].clone();
            card["card_index"] = json!(index);
            card
        };
        (0..count).map(one).collect()
    };
    hold(
        9,
        vec![
            ("/action/cards", cards(10), 0),
            ("/action/cards", cards(11), 131_009),
            ("/action/cards", cards(1), 131_009),
            ("/action/cards/1/card_index", json!(0), 131_009),
            ("/action/cards/1/body/text", json!("a\nb\nc"), 0),
            ("/action/cards/1/body/text", json!("a\nb\nc\nd"), 131_009),
            ("/action/cards/1/body/text", text(161), 131_009),
            ("/action/cards/0/header", media("video"), 0),
            ("/action/cards/0/header", media("document"), 131_009),
            ("/footer", json!({"text": "a"}), 131_009),
        ],
    );
    let quick = kinds()[10]["action"]["cards"][1]["action"].clone();
    let (code, details) = changed(9, "/action/cards/1/action", quick);
    assert!(code == 131_009 && details.contains("['cards'][1]"), "{code} {details}");
    hold(
        10,
        vec![("/action/cards/0/action/buttons/0/quick_reply/id", text(21), 131_009)],
    );
}
