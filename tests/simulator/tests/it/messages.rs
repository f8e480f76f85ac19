//! Messages of every type, and receipts.

use std::time::Duration;

use outeract_simulator::Config;
use outeract_simulator::control::{ChangeNumber, Inbound, LedgerQuery, NewWorld, ReceiptQuery};
use reqwest::Method;
use serde_json::{Value, json};

use crate::stage::{Stage, USER, code, details};

const LINK: &str = "https://example.com/file";
const MONTH: Duration = Duration::from_hours(24 * 30);

/// One of every type.
fn every_type() -> Vec<(&'static str, Value)> {
    let body = json!({"text": "Choose"});
    vec![
        ("text", json!({"body": "hi", "preview_url": true})),
        ("image", json!({"link": LINK, "caption": "a picture"})),
        ("video", json!({"link": LINK})),
        ("audio", json!({"link": LINK})),
        ("document", json!({"link": LINK, "filename": "invoice.pdf"})),
        ("sticker", json!({"link": LINK})),
        (
            "location",
            json!({"latitude": 48.2, "longitude": 16.4, "name": "Vienna"}),
        ),
        (
            "contacts",
            json!([{"name": {"formatted_name": "Ann B", "first_name": "Ann"}, "phones": [{"phone": "+1 650 555 0000"}]}]),
        ),
        (
            "interactive",
            json!({"type": "button", "body": body, "action": {"buttons": [{"type": "reply", "reply": {"id": "y", "title": "Yes"}}]}}),
        ),
        (
            "template",
            json!({"name": "hello_world", "language": {"code": "en_US"}}),
        ),
    ]
}

#[tokio::test]
async fn every_type_is_accepted_and_written_down() {
    let stage = Stage::new().await;
    let inbound = stage.open_window().await;
    for (kind, content) in every_type() {
        let answer = stage.message(kind, content.clone()).await;
        assert_eq!(answer.0, 200, "{kind}: {answer:?}");
        let status = &answer.1["messages"][0]["message_status"];
        assert_eq!(status.as_str(), (kind == "template").then_some("accepted"), "{kind}");
        let wamid = answer.1["messages"][0]["id"].as_str().expect("id");
        let body = stage.control.body(wamid).await.expect("answer").expect("kept");
        assert_eq!(body[kind], content);
        assert_eq!(stage.statuses(&answer).await.len(), 3, "{kind}");
    }
    let reply = json!({"to": USER, "context": {"message_id": inbound}});
    assert_eq!(stage.message_with("text", json!({"body": "re"}), &reply).await.0, 200);

    let of = async |query: LedgerQuery| stage.control.ledger(&query).await.expect("ledger");
    let all = of(LedgerQuery::default()).await;
    let kinds: Vec<_> = all.iter().map(|accepted| accepted.r#type.as_str()).collect();
    let expected: Vec<_> = every_type().iter().map(|(kind, _)| *kind).chain(["text"]).collect();
    assert_eq!(kinds, expected);
    assert_eq!(all[10].context.as_deref(), Some(inbound.as_str()));
    let template = LedgerQuery {
        template: Some("hello_world".to_owned()),
        ..LedgerQuery::default()
    };
    let found = of(template).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].template, Some(("hello_world".to_owned(), "en_US".to_owned())));
    let media = LedgerQuery {
        media: Some(LINK.to_owned()),
        ..LedgerQuery::default()
    };
    assert_eq!(of(media).await.len(), 5);
    let summary = stage.control.summary().await.expect("summary");
    assert_eq!((summary.by_type["text"], summary.users), (2, (1, 0)));
}

#[tokio::test]
async fn outside_the_window_only_a_template_passes() {
    let stage = Stage::new().await;
    for (kind, content) in every_type() {
        let expected = if kind == "template" { 0 } else { 131_047 };
        assert_eq!(code(&stage.message(kind, content).await), expected, "{kind}");
    }
    stage.open_window().await;
    assert_eq!(code(&stage.send(USER, "a.1").await), 0);
    let day = Duration::from_hours(24);
    stage.control.advance(day).await.expect("advanced");
    assert_eq!(code(&stage.send(USER, "a.2").await), 131_047);
}

#[tokio::test]
async fn every_message_but_some_opens_the_window() {
    let stage = Stage::new().await;
    for (kind, opens) in [("system", false), ("edit", false), ("revoke", false), ("image", true)] {
        let message = Inbound {
            phone_number_id: stage.number.clone(),
            from: USER.to_owned(),
            message: json!({"type": kind, kind: {"caption": "a"}}).as_object().cloned(),
            ..Inbound::default()
        };
        stage.control.inbound(&[message]).await.expect("injected");
        let refused = code(&stage.send(USER, "a.1").await);
        assert_eq!(refused, if opens { 0 } else { 131_047 }, "{kind}");
    }
    stage.idle().await;
    let items = stage.sink.items();
    let image = items.iter().find(|item| item["type"] == "image").expect("told");
    assert_eq!((&image["image"]["caption"], image.get("text")), (&json!("a"), None));
}

#[tokio::test]
async fn broken_bodies_name_the_field() {
    let stage = Stage::new().await;
    stage.open_window().await;
    for (kind, content, expected, field) in [
        ("text", json!({"body": "a".repeat(4_097)}), 100, "text['body']"),
        ("image", json!({"link": "http://example.com"}), 131_053, "image['link']"),
        ("location", json!({"longitude": 1}), 131_008, "location['latitude']"),
        (
            "location",
            json!({"latitude": 91, "longitude": 1}),
            131_009,
            "location['latitude']",
        ),
        (
            "contacts",
            json!([{"name": {"formatted_name": "A"}}]),
            131_009,
            "contacts[0]['name']",
        ),
        (
            "interactive",
            json!({"type": "button", "body": {"text": "a"}}),
            131_008,
            "interactive['action']",
        ),
        (
            "template",
            json!({"name": "hello_world"}),
            131_008,
            "template['language']",
        ),
    ] {
        let answer = stage.message(kind, content).await;
        assert_eq!(code(&answer), expected, "{answer:?}");
        assert!(details(&answer).contains(field), "{answer:?}");
    }
    let group = json!({"to": "Y2FwaV9ncm91cA==", "recipient_type": "group"});
    assert_eq!(
        code(&stage.message_with("text", json!({"body": "a"}), &group).await),
        131_020
    );
    assert_eq!(stage.control.summary().await.expect("summary").accepted, 0);
}

#[tokio::test]
async fn reactions_reach_messages_of_their_chat() {
    let stage = Stage::new().await;
    let inbound = stage.open_window().await;
    let sent = stage.send(USER, "a.1").await;
    let outbound = sent.1["messages"][0]["id"].as_str().expect("id").to_owned();
    let react = async |target: &str, emoji: &str| {
        let answer = stage
            .message("reaction", json!({"message_id": target, "emoji": emoji}))
            .await;
        let statuses = stage.statuses(&answer).await;
        assert_eq!(statuses.len(), 1, "only one status follows a reaction: {statuses:?}");
        let wamid = answer.1["messages"][0]["id"].as_str().expect("id").to_owned();
        let code = statuses[0]["errors"][0]["code"].as_i64().unwrap_or(0);
        (statuses[0]["status"].as_str().expect("status").to_owned(), code, wamid)
    };
    let (status, _, reaction) = react(&inbound, "👍").await;
    assert_eq!(status, "sent");
    assert_eq!(react(&inbound, "").await.0, "sent");
    assert_eq!(react(&outbound, "❤️").await.0, "sent");
    for target in [reaction.as_str(), "wamid.unknown"] {
        let (status, code, _) = react(target, "👍").await;
        assert_eq!((status.as_str(), code), ("failed", 131_009), "{target}");
    }
    let ledger = stage.control.ledger(&LedgerQuery::default()).await.expect("ledger");
    assert_eq!(ledger[1].reacts_to.as_deref(), Some(inbound.as_str()));

    stage
        .control
        .advance(MONTH + Duration::from_secs(1))
        .await
        .expect("advanced");
    stage.open_window().await;
    assert_eq!(react(&inbound, "👍").await.1, 131_009);
}

#[tokio::test]
async fn a_voice_message_is_played() {
    let stage = Stage::new().await;
    stage.open_window().await;
    let voice = stage.upload("audio/ogg; codecs=opus", b"OggS and so on").await;
    let answer = stage.message("audio", json!({"id": voice, "voice": true})).await;
    let statuses = stage.statuses(&answer).await;
    let words: Vec<_> = statuses.iter().map(|status| status["status"].as_str()).collect();
    assert_eq!(words, [Some("delivered"), Some("played"), Some("read"), Some("sent")]);
}

#[tokio::test]
async fn receipts_are_for_messages_that_the_number_received() {
    let world = NewWorld {
        numbers_per_waba: 2,
        ..NewWorld::default()
    };
    let stage = Stage::with(Config::default(), world).await;
    let inbound = stage.open_window().await;
    let read = async |number: &str, wamid: &str, typing: bool| {
        let mut body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
        if typing {
            body["typing_indicator"] = json!({"type": "text"});
        }
        stage
            .call(Method::POST, &format!("{number}/messages"), &[], Some(body))
            .await
    };
    let (status, answer) = read(&stage.number, &inbound, false).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)));
    assert_eq!(read(&stage.number, &inbound, true).await.0, 200);

    let sent = stage.send(USER, "a.1").await;
    let outbound = sent.1["messages"][0]["id"].as_str().expect("id").to_owned();
    let other = &stage.world.wabas[0].numbers[1].phone_number_id;
    assert_eq!(code(&read(&stage.number, &outbound, false).await), 131_009);
    assert_eq!(code(&read(other, &inbound, false).await), 131_009);
    assert_eq!(code(&read(&stage.number, "wamid.none", true).await), 131_009);
    assert_eq!(code(&read(&stage.number, "none", false).await), 100);
    assert_eq!(code(&read(&stage.number, "", false).await), 131_008);
    stage
        .control
        .advance(MONTH + Duration::from_secs(1))
        .await
        .expect("advanced");
    assert_eq!(code(&read(&stage.number, &inbound, false).await), 131_009);

    let receipts = stage
        .control
        .receipts(&ReceiptQuery::default())
        .await
        .expect("receipts");
    let found: Vec<_> = receipts
        .iter()
        .map(|receipt| (receipt.wamid.as_str(), receipt.typing))
        .collect();
    assert_eq!(found, [(inbound.as_str(), false), (inbound.as_str(), true)]);
    let summary = stage.control.summary().await.expect("summary");
    assert_eq!((summary.receipts, summary.accepted), ((2, 1), 1));
}

#[tokio::test]
async fn a_number_without_plus_goes_to_the_business_country() {
    let world = NewWorld {
        country: "44".to_owned(),
        ..NewWorld::default()
    };
    let stage = Stage::with(Config::default(), world).await;
    let injected = Inbound {
        phone_number_id: stage.number.clone(),
        from: "442071234567".to_owned(),
        ..Inbound::default()
    };
    stage.control.inbound(&[injected]).await.expect("injected");
    assert_eq!(code(&stage.send("+44 (20) 7123-4567", "a.1").await), 0);
    assert_eq!(code(&stage.send("442071234567", "b.1").await), 131_047, "another user");
    assert_eq!(code(&stage.send("2071234567", "c.1").await), 0);
    let ledger = stage.control.ledger(&LedgerQuery::default()).await.expect("ledger");
    assert!(ledger.iter().all(|accepted| accepted.wa_id == "442071234567"));
    assert!(stage.world.wabas[0].numbers[0].e164.starts_with("+44555"));
}

#[tokio::test]
async fn recipients_that_a_number_cannot_write_to_are_refused() {
    let stage = Stage::new().await;
    let own = stage.world.wabas[0].numbers[0].e164.clone();
    assert_eq!(code(&stage.send(&own, "a.1").await), 131_021);
    let test = ChangeNumber {
        test_recipients: Some(vec!["+16505550000".to_owned()]),
        ..ChangeNumber::default()
    };
    stage.open_window().await;
    stage
        .control
        .change_number(&stage.number, &test)
        .await
        .expect("changed");
    assert_eq!(code(&stage.send(USER, "a.1").await), 131_030);
    let live = ChangeNumber {
        live: Some(true),
        ..ChangeNumber::default()
    };
    stage
        .control
        .change_number(&stage.number, &live)
        .await
        .expect("changed");
    assert_eq!(code(&stage.send(USER, "a.1").await), 0);
}
