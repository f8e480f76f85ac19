//! What we send, and what the simulator answers and posts, held against Meta's own `OpenAPI` file.
//!
//! The file is not ours to ship: `META_OPENAPI` names it, and without it this check says that it was left out. Where the file is behind Meta's pages, or is damaged by the way it was merged,
//! `schema/exceptions.rs` says so one by one; an exception that nothing needs any more fails.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod golden;
mod schema;
mod support;

use std::time::Duration;

use outeract_domain::Wamid;
use outeract_egress::{Client as Http, Config as HttpConfig};
use outeract_graph::{Client, Token, wire};
use outeract_seal::Secret;
use outeract_simulator::control::{Inbound, NewWorld};
use outeract_simulator::{Config, Effect, Match, Simulator, StatusDelays, Switches};
use schema::{Schemas, schemas};
use serde_json::Value;
use support::{Sink, USER, number, text};

#[tokio::test]
async fn requests_answers_and_webhooks_are_metas() {
    let Some(schemas) = schemas() else { return };
    requests(&schemas);
    pairs(&schemas);
    read_receipts(&schemas);
    simulator(&schemas).await;
    assert_eq!(schemas.unused(), Vec::<String>::new(), "exceptions that nothing needs");
}

fn requests(schemas: &Schemas) {
    for preview in [None, Some(true), Some(false)] {
        let body = serde_json::from_slice(&text("Hello! ☺ https://example.com", preview, "evt_1.1")).expect("JSON");
        schemas.hold("TextMessage", &body, "send");
    }
    let body: Value = serde_json::from_slice(&text("hi", None, "evt_1.1")).expect("JSON");
    for damage in ["text", "to", "messaging_product"] {
        let mut damaged = body.clone();
        damaged.as_object_mut().expect("object").remove(damage);
        assert!(
            !schemas.faults("TextMessage", &damaged).is_empty(),
            "the check sees that {damage} is gone"
        );
    }
    let mut damaged = body;
    damaged["text"]["bodi"] = Value::from("x");
    assert!(
        !schemas.faults("TextMessage", &damaged).is_empty(),
        "the check sees a key that is too many"
    );
}

/// Every kind of content. Each key of what a kind holds counts: without it, or with another beside it, the check fails wherever the file says what must be there.
fn pairs(schemas: &Schemas) {
    let mut noticed = 0;
    for pair in golden::pairs() {
        let body = pair.written();
        schemas.hold_message(&body, &pair.name);
        let kind = pair.content.kind();
        let mut damaged = body.clone();
        damaged.as_object_mut().expect("object").remove(kind);
        assert!(
            !schemas.message_faults(&damaged).is_empty(),
            "{}: the check sees that {kind} is gone",
            pair.name
        );
        for key in body[kind].as_object().into_iter().flat_map(|value| value.keys()) {
            let mut damaged = body.clone();
            let value = damaged[kind].as_object_mut().expect("object");
            let taken = value.remove(key).expect("it was there");
            value.insert(format!("{key}x"), taken);
            noticed += usize::from(!schemas.message_faults(&damaged).is_empty());
        }
    }
    // Objects that the file leaves open, and keys that it does not require, hide some.
    assert!(noticed >= 40, "the check sees {noticed} misspelt keys");
}

/// The file has no schema for read receipts, but an example.
fn read_receipts(schemas: &Schemas) {
    let example = schemas.example("Send typing indicator and read receipt");
    let wamid = Wamid::new(example["message_id"].as_str().expect("an id")).expect("valid");
    let written: Value = serde_json::from_slice(&wire::Read::and_typing(&wamid).to_json()).expect("JSON");
    assert_eq!(written, example);
}

async fn simulator(schemas: &Schemas) {
    let sink = Sink::start().await;
    let config = Config {
        webhook_url: Some(sink.url.clone()),
        statuses: StatusDelays::NONE,
        ..Config::default()
    };
    let secret = Secret::from(config.app_secret.as_str());
    let meta = Simulator::start(config).await.expect("starts");
    let control = meta.client().expect("control");
    let new = NewWorld {
        numbers_per_waba: 3,
        subscribed: true,
        ..NewWorld::default()
    };
    let world = control.create_world(&new).await.expect("world");
    let token = Token::with_app_secret(Secret::from(world.token.as_str()), &secret);
    let graph = Client::new(Http::new(&HttpConfig::default()).expect("client"), &meta.url(), "v25.0");
    let (waba, from) = (&world.wabas[0].waba_id, &world.wabas[0].numbers[0].phone_number_id);
    let messages = format!("{from}/messages");

    let refused = raw_refusal(&meta.url(), &messages).await;
    schemas.hold("ErrorResponse", &refused, "a call without a token");
    schemas.hold("GraphAPIError", &refused, "a call without a token");

    let hi = |reply_to: Option<&str>| Inbound {
        phone_number_id: from.clone(),
        from: USER.to_owned(),
        text: "hi ☺".to_owned(),
        reply_to: reply_to.map(str::to_owned),
        ..Inbound::default()
    };
    control
        .inbound(&[hi(None), hi(Some("wamid.A"))])
        .await
        .expect("injected");
    let fail = Effect::FailStatus {
        code: 131_026,
        title: None,
    };
    let second = Match {
        skip: 1,
        ..Match::default()
    };
    control.fault(second, fail).await.expect("rule");
    control
        .set_switches(Switches {
            window: true,
            ..Switches::OFF
        })
        .await
        .expect("window only");
    for callback in ["evt_1.1", "evt_2.1"] {
        let reply = graph
            .post(&token, &messages, &[], text("hello", None, callback))
            .await
            .expect("accepted");
        schemas.hold("MessageResponsePayload", &json(&reply.body), "an acceptance");
    }
    assert_eq!(number(from).as_str(), from);

    let fields = "id,display_phone_number,verified_name,status,quality_rating,code_verification_status,host_platform";
    let query = [("fields", fields), ("limit", "2")];
    let reply = graph
        .get(&token, &format!("{waba}/phone_numbers"), &query)
        .await
        .expect("numbers");
    schemas.hold(
        "WhatsAppBusinessAccountPhoneNumbersConnection",
        &json(&reply.body),
        "phone_numbers",
    );
    let apps = format!("{waba}/subscribed_apps");
    let reply = graph
        .post(&token, &apps, &[], b"{}".to_vec())
        .await
        .expect("subscribed");
    schemas.hold("SubscriptionResponse", &json(&reply.body), "subscribed_apps");
    let reply = graph.get(&token, &apps, &[]).await.expect("apps");
    schemas.hold("SubscribedAppsResponse", &json(&reply.body), "subscribed_apps");

    assert!(control.idle(Duration::from_secs(20)).await.expect("idle"));
    let posts = sink.posts();
    let held = posts
        .iter()
        .filter(|(_, body)| hold_webhook(schemas, &json(body)))
        .count();
    assert!(held == posts.len() && held > 0, "{held} of {}", posts.len());
}

/// A whole envelope, and by name each value in it, so that a fault is told where it is.
fn hold_webhook(schemas: &Schemas, body: &Value) -> bool {
    let changes = body["entry"]
        .as_array()
        .expect("entries")
        .iter()
        .flat_map(|entry| entry["changes"].as_array().expect("changes"));
    for change in changes {
        let value = &change["value"];
        let schema = if value.get("statuses").is_some() {
            "StatusMessageValue"
        } else {
            "IncomingMessageValueGeneral"
        };
        schemas.hold(schema, value, "a webhook's value");
    }
    schemas.hold("WebhookPayload", body, "a webhook");
    true
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

/// The body of a refusal, which the client does not hand out.
async fn raw_refusal(base: &str, path: &str) -> Value {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = base.strip_prefix("http://").expect("http");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let request = format!("POST /v25.0/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    let (_, body) = answer.split_once("\r\n\r\n").expect("head and body");
    json(body.as_bytes())
}
