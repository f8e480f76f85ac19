//! What we send, and what the simulator answers and posts, held against Meta's own `OpenAPI` file.
//!
//! The file is not ours to ship: `META_OPENAPI` names it, and without it this check says that it was left out. Where the file is behind Meta's pages, or is damaged by the way it was merged,
//! `EXCEPTIONS` says so one by one; an exception that nothing needs any more fails.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod schema;
mod support;

use std::time::Duration;

use outeract_egress::{Client as Http, Config as HttpConfig};
use outeract_graph::{Client, Token};
use outeract_seal::Secret;
use outeract_simulator::control::{Inbound, NewWorld};
use outeract_simulator::{Config, Effect, Match, Simulator, StatusDelays, Switches};
use schema::{Exception, Schemas};
use serde_json::Value;
use support::{Sink, USER, number, text};

const EXCEPTIONS: &[Exception] = &[
    Exception::Instead {
        schema: "IncomingMessage",
        of: "TextMessage",
        use_instead: "TextMessage_2",
        why: "the merge gave the webhook's text message the name of the request's",
    },
    Exception::Instead {
        schema: "TextMessage_2",
        of: "BaseMessageProperties",
        use_instead: "BaseMessageProperties_1",
        why: "the merge gave the webhook's base the name of the request's",
    },
    Exception::MayHave {
        schema: "TextMessage",
        property: "biz_opaque_callback_data",
        why: "documented for every message; the file has it for calls only",
    },
    Exception::MayBe {
        schema: "WhatsAppPhoneNumberStatus",
        value: "CONNECTED",
        why: "what the phone number page shows",
    },
    Exception::MayLack {
        schema: "ContextObject",
        property: "referred_product",
        why: "a plain reply has none",
    },
];

fn schemas() -> Option<Schemas> {
    let Some(path) = std::env::var_os("META_OPENAPI").filter(|path| !path.is_empty()) else {
        #[expect(
            clippy::print_stderr,
            reason = "whoever reads the run must know what it did not check"
        )]
        {
            eprintln!("LEFT OUT: META_OPENAPI is not set, nothing was held against Meta's OpenAPI file");
        }
        return None;
    };
    // A relative path is meant from the root of the tree, where `.ci/run` starts.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(path)).expect("META_OPENAPI names a file that can be read");
    Some(Schemas::read(&text, EXCEPTIONS))
}

#[tokio::test]
async fn requests_answers_and_webhooks_are_metas() {
    let Some(schemas) = schemas() else { return };
    requests(&schemas);
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
