use serde_json::{Value, json};

use super::super::{Templates, defaults};
use crate::rules::{Request, check};

/// What becomes of a default template with these components: 0, or the code, and the details.
fn sent(name: &str, components: &Value) -> (i32, String) {
    let body = json!({"messaging_product": "whatsapp", "to": "+16505551234", "type": "template",
        "template": {"name": name, "language": {"code": "en_US"}, "components": components}});
    let mut templates = Templates::default();
    for (index, new) in defaults().into_iter().enumerate() {
        templates.add(index.to_string(), new).expect("added");
    }
    let result = check(body.to_string().as_bytes(), "1").and_then(|request| match request {
        Request::Message(checked) => {
            let used = checked.template.expect("template");
            let template = templates.find(&used.name, &used.language).expect("template");
            template.definition.fit(&used, 1_000)
        }
        Request::Receipt(receipt) => panic!("{receipt:?}"),
    });
    match result {
        Ok(()) => (0, String::new()),
        Err(refusal) => (refusal.code, refusal.details.unwrap_or_default()),
    }
}

fn texts(texts: &[&str]) -> Value {
    let parameters: Vec<_> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
    json!({"type": "body", "parameters": parameters})
}

fn named(kind: &str, parameters: &[(&str, &str)]) -> Value {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, text)| json!({"type": "text", "parameter_name": name, "text": text}))
        .collect();
    json!({"type": kind, "parameters": parameters})
}

fn button(sub_type: &str, index: u32, parameter: &Value) -> Value {
    json!({"type": "button", "sub_type": sub_type, "index": index.to_string(), "parameters": [parameter]})
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn image() -> Value {
    json!({"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.com/a.jpg"}}]})
}

fn code(name: &str, components: &[Value]) -> i32 {
    sent(name, &json!(components)).0
}

#[test]
fn counts_are_held_against_the_body() {
    assert_eq!(code("hello_world", &[]), 0);
    assert_eq!(code("order_confirmation", &[texts(&["John", "#12345"])]), 0);
    let one = sent("order_confirmation", &json!([texts(&["John"])]));
    let said = "body: number of localizable_params (1) does not match the expected number of params (2)";
    assert_eq!(one, (132_000, said.to_owned()));
    assert_eq!(code("order_confirmation", &[]), 132_000);
    assert_eq!(code("hello_world", &[texts(&["a"])]), 132_000);
    assert_eq!(code("hello_world", &[image()]), 132_000);
    assert_eq!(code("order_confirmation", &[texts(&["a\nb", "c"])]), 132_018);
    assert_eq!(code("order_confirmation", &[texts(&["a     b", "c"])]), 132_018);
    assert_eq!(
        code("order_confirmation", &[texts(&[&"a".repeat(1_000), "c"])]),
        132_005
    );
    assert_eq!(
        code("order_confirmation", &[named("body", &[("1", "a"), ("2", "b")])]),
        132_012
    );
}

#[test]
fn named_places_are_told_by_their_names() {
    let header = named("header", &[("order_id", "#1")]);
    let body = named("body", &[("delivery_date", "Monday"), ("customer_name", "Ann")]);
    assert_eq!(code("delivery_update", &[header.clone(), body.clone()]), 0);
    assert_eq!(
        code("delivery_update", &[header.clone(), texts(&["Ann", "Monday"])]),
        132_012
    );
    let wrong = named("body", &[("delivery_date", "Monday"), ("customer", "Ann")]);
    assert_eq!(code("delivery_update", &[header, wrong]), 132_012);
    let long = named("header", &[("order_id", &"1".repeat(60))]);
    assert_eq!(code("delivery_update", &[long, body.clone()]), 132_005);
    assert_eq!(code("delivery_update", &[body]), 132_000);
}

#[test]
fn headers_and_buttons_are_of_the_templates_kind() {
    let body = texts(&["Ann", "20%"]);
    let (url, coupon) = (
        button("url", 1, &text("spring")),
        button(
            "copy_code",
            3,
            &json!({"type": "coupon_code", "coupon_code": "SPRING20"}),
        ),
    );
    let reply = button("quick_reply", 0, &json!({"type": "payload", "payload": "stop"}));
    let all = [image(), body.clone(), url.clone(), coupon.clone()];
    assert_eq!(code("spring_offer", &all), 0, "a payload may be left out");
    assert_eq!(code("spring_offer", &[all.as_slice(), &[reply]].concat()), 0);
    let (found, details) = sent("spring_offer", &json!([body, url, coupon]));
    assert_eq!(
        (found, details.as_str()),
        (132_012, "header: Format mismatch, expected IMAGE, received UNKNOWN")
    );
    let video = json!({"type": "header", "parameters": [{"type": "video", "video": {"id": "1"}}]});
    assert_eq!(
        code("spring_offer", &[video, body.clone(), url.clone(), coupon.clone()]),
        132_012
    );
    let (found, details) = sent("spring_offer", &json!([image(), body, coupon]));
    let said = "buttons: Button at index 1 of type url requires a parameter";
    assert_eq!((found, details.as_str()), (131_008, said));
    let misplaced = button("url", 0, &text("a"));
    assert_eq!(
        code("spring_offer", &[image(), body.clone(), url, coupon.clone(), misplaced]),
        132_018
    );
    let payload = button("url", 1, &json!({"type": "payload", "payload": "a"}));
    assert_eq!(code("spring_offer", &[image(), body, payload, coupon]), 132_018);
}

#[test]
fn a_one_time_code_stands_in_body_and_button() {
    assert_eq!(
        code(
            "verification_code",
            &[texts(&["123456"]), button("url", 0, &text("123456"))]
        ),
        0
    );
    assert_eq!(code("verification_code", &[texts(&["123456"])]), 131_008);
    assert_eq!(
        code(
            "verification_code",
            &[texts(&["123456"]), button("url", 0, &text("654321"))]
        ),
        132_018
    );
    let long = "1".repeat(16);
    assert_eq!(
        code("verification_code", &[texts(&[&long]), button("url", 0, &text(&long))]),
        132_018
    );
}

#[test]
fn every_card_and_the_end_of_an_offer_are_needed() {
    let card = |index: u32| json!({"card_index": index, "components": [image(), texts(&["Lemons", "$1"]), button("url", 1, &text("lemons"))]});
    let carousel = |cards: &[Value]| json!({"type": "carousel", "cards": cards});
    let arrivals = |cards: &[Value]| code("new_arrivals", &[texts(&["Ann"]), carousel(cards)]);
    assert_eq!(arrivals(&[card(0), card(1)]), 0);
    assert_eq!(arrivals(&[card(0)]), 132_000);
    assert_eq!(arrivals(&[card(0), card(0)]), 131_008);
    assert_eq!(code("new_arrivals", &[texts(&["Ann"])]), 132_000);
    assert_eq!(code("hello_world", &[carousel(&[card(0)])]), 132_000);

    let offer = |ends_ms: i64| {
        json!({"type": "limited_time_offer", "parameters": [{"type": "limited_time_offer", "limited_time_offer":
            {"expiration_time_ms": ends_ms}}]})
    };
    let rest = [
        image(),
        texts(&["Ann", "SALE25"]),
        button("copy_code", 0, &json!({"type": "coupon_code", "coupon_code": "SALE25"})),
        button("url", 1, &text("SALE25")),
    ];
    let sale = |offer: &[Value]| code("flash_sale", &[&rest, offer].concat());
    assert_eq!(sale(&[offer(1_001)]), 0);
    assert_eq!(sale(&[offer(1_000)]), 131_009);
    assert_eq!(sale(&[]), 131_008);
}
