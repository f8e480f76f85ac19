//! The client and the webhook parser against the simulator, which knows nothing of either.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod support;

use std::time::Duration;

use outeract_egress::{Client as Http, Config as HttpConfig};
use outeract_graph::fault::{self, Class};
use outeract_graph::signature::Verifier;
use outeract_graph::webhook::{Item, Kind, parse};
use outeract_graph::{CallError, Client, Outcome, Token};
use outeract_seal::Secret;
use outeract_simulator::control::{
    ChangeTemplate, ChangeToken, Client as Control, Inbound, NewWorld, ReceiptQuery, WorldCreated,
};
use outeract_simulator::{Config, Effect, Handle, Match, Simulator, StatusDelays, Switches};
use serde_json::{Value, json};
use support::{Sink, USER, number, text};
use time::OffsetDateTime;

struct Stage {
    meta: Handle,
    control: Control,
    world: WorldCreated,
    client: Client,
    token: Token,
    app: Token,
    sink: Sink,
}

impl Stage {
    async fn new(new: NewWorld) -> Self {
        let sink = Sink::start().await;
        let config = Config {
            webhook_url: Some(sink.url.clone()),
            statuses: StatusDelays::NONE,
            ..Config::default()
        };
        let (secret, app_id) = (Secret::from(config.app_secret.as_str()), config.app_id.clone());
        let meta = Simulator::start(config).await.expect("starts");
        let control = meta.client().expect("control");
        let world = control.create_world(&new).await.expect("world");
        let http = Http::new(&HttpConfig::default()).expect("client");
        Self {
            client: Client::new(http, &meta.url(), "v25.0"),
            token: Token::with_app_secret(Secret::from(world.token.as_str()), &secret),
            app: Token::of_app(&app_id, &secret),
            meta,
            control,
            world,
            sink,
        }
    }

    fn number(&self) -> &str {
        &self.world.wabas[0].numbers[0].phone_number_id
    }

    async fn send(&self, callback: &str) -> Outcome {
        let body = text("hello", None, callback);
        self.client
            .send_message(&self.token, &number(self.number()), body)
            .await
    }

    async fn items(&self) -> Vec<Item> {
        assert!(self.control.idle(Duration::from_secs(20)).await.expect("idle"));
        let secret = Secret::from(Config::default().app_secret.as_str());
        let verifier = Verifier::new([&secret]);
        let mut items = Vec::new();
        for (signature, body) in self.sink.posts() {
            assert!(verifier.verify(&body, signature.as_bytes()), "{signature}");
            items.extend(parse(&body, later()).expect("webhook"));
        }
        items
    }
}

/// After everything in these tests: times of webhooks are not held against a clock here.
fn later() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(4_000_000_000).expect("time")
}

fn subscribed() -> NewWorld {
    NewWorld {
        subscribed: true,
        ..NewWorld::default()
    }
}

#[tokio::test]
async fn a_connection_is_made() {
    let world = NewWorld {
        wabas: 2,
        numbers_per_waba: 130,
        ..NewWorld::default()
    };
    let stage = Stage::new(world).await;
    let access_token = Secret::from(stage.world.token.as_str());
    let info = stage
        .client
        .debug_token(&stage.app, &access_token)
        .await
        .expect("answer");
    assert!(info.is_valid && info.expires_at.is_none());
    assert_eq!((info.app_id, info.waba_ids.len()), (Config::default().app_id, 2));
    assert!(info.scopes.iter().any(|scope| scope == "whatsapp_business_messaging"));

    let waba = stage.world.wabas[0].waba_id.parse().expect("digits");
    let numbers = stage
        .client
        .list_phone_numbers(&stage.token, &waba)
        .await
        .expect("numbers");
    let ids: Vec<_> = numbers.iter().map(|number| number.id.as_str().to_owned()).collect();
    let made: Vec<_> = stage.world.wabas[0]
        .numbers
        .iter()
        .map(|number| number.phone_number_id.clone())
        .collect();
    assert_eq!(ids, made, "all pages, in order");
    assert!(numbers[0].display_phone_number.starts_with("+1 555-"));
    assert_eq!(
        (numbers[0].quality_rating.as_str(), numbers[0].throughput_level.as_str()),
        ("GREEN", "STANDARD")
    );

    let owner = stage.client.owner_business(&stage.token, &waba).await.expect("answer");
    assert_eq!(owner.as_ref(), Some(&stage.world.portfolio_id));
    let limit = stage
        .client
        .messaging_limit(&stage.token, &numbers[0].id)
        .await
        .expect("answer");
    assert_eq!(limit.as_deref(), Some("TIER_250"));

    stage
        .client
        .subscribe_waba(&stage.token, &waba)
        .await
        .expect("subscribed");
    stage.client.subscribe_waba(&stage.token, &waba).await.expect("again");

    let foreign = "999999999999999".parse().expect("digits");
    let refused = stage
        .client
        .subscribe_waba(&stage.token, &foreign)
        .await
        .expect_err("refused");
    assert!(matches!(refused, CallError::Refused(error) if error.code == 100 && error.subcode == 33));
    let unknown = stage
        .client
        .debug_token(&stage.app, &Secret::from("EAAnone"))
        .await
        .expect("answer");
    assert!(!unknown.is_valid);
}

#[tokio::test]
async fn one_messages_life() {
    let stage = Stage::new(subscribed()).await;
    let Outcome::Rejected(error) = stage.send("evt_a.1").await else {
        panic!("the window is closed");
    };
    assert_eq!((error.code, fault::classify(&error).class), (131_047, Class::Template));

    let hi = Inbound {
        phone_number_id: stage.number().to_owned(),
        from: USER.to_owned(),
        text: "grüße 😀 a/b".to_owned(),
        name: Some("Änn".to_owned()),
        reply_to: Some("wamid.B".to_owned()),
        ..Inbound::default()
    };
    let injected = stage.control.inbound(&[hi]).await.expect("injected");
    let Outcome::Accepted {
        wamid,
        wa_id,
        user_id,
        pacing,
    } = stage.send("evt_a.1").await
    else {
        panic!("the window is open");
    };
    assert_eq!((wa_id.as_deref(), pacing), (Some("16505551234"), None));
    assert!(user_id.is_some_and(|id| id.starts_with("US.")));

    let items = stage.items().await;
    assert!(items.iter().all(|item| item.waba_id == stage.world.wabas[0].waba_id));
    assert!(
        items
            .iter()
            .all(|item| item.phone_number_id.as_deref() == Some(stage.number()))
    );
    let mut words = Vec::new();
    for item in &items {
        match &item.kind {
            Kind::Message(text) => {
                assert_eq!(text.wamid.as_str(), injected[0].wamid);
                assert_eq!(
                    (text.said.words(), text.user.name.as_deref()),
                    (Some("grüße 😀 a/b"), Some("Änn"))
                );
                assert_eq!(
                    (text.user.wa_id.as_deref(), text.context.reply_to.as_deref()),
                    (Some("16505551234"), Some("wamid.B"))
                );
            }
            Kind::Status(status) => {
                assert_eq!(
                    (status.wamid.as_str(), status.callback.as_deref()),
                    (wamid.as_str(), Some("evt_a.1"))
                );
                words.push(status.word.as_str());
            }
            other => panic!("{other:?}"),
        }
    }
    words.sort_unstable();
    assert_eq!((items.len(), words), (4, vec!["delivered", "read", "sent"]));
}

#[tokio::test]
async fn every_fault_ends_in_its_class() {
    let stage = Stage::new(subscribed()).await;
    stage.control.set_switches(Switches::OFF).await.expect("off");
    let respond = |status, body: &str| Effect::Respond {
        status,
        content_type: None,
        body: body.to_owned(),
        execute: false,
    };
    let refuse = |code| Effect::Error {
        code,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    let cases = [
        (refuse(131_056), "rejected 131056", 0),
        (refuse(190), "rejected 190", 0),
        (refuse(131_016), "rejected 131016", 0),
        (Effect::ResetBefore, "unknown", 0),
        (respond(502, "<html>"), "unknown", 0),
        (respond(503, ""), "unknown", 0),
        (Effect::ResponseLost, "unknown", 1),
        (Effect::ResetAfter, "unknown", 1),
        (Effect::Truncated, "unknown", 1),
        (Effect::NonJson, "unknown", 1),
        (Effect::NoId, "unknown", 1),
        (Effect::EarlyStatus, "accepted", 1),
        (Effect::DropCallback, "accepted", 1),
    ];
    for (index, (effect, expected, accepted)) in cases.into_iter().enumerate() {
        let shown = format!("{effect:?}");
        let once = Match {
            count: Some(1),
            ..Match::default()
        };
        let before = stage.control.summary().await.expect("summary").accepted;
        stage.control.fault(once, effect).await.expect("rule");
        let word = match stage.send(&format!("evt_{index}.1")).await {
            Outcome::Accepted { .. } => "accepted".to_owned(),
            Outcome::Rejected(error) => format!("rejected {}", error.code),
            Outcome::NeverSent(_) => "never sent".to_owned(),
            Outcome::Unknown { .. } => "unknown".to_owned(),
        };
        assert_eq!(word, expected, "{shown}");
        let after = stage.control.summary().await.expect("summary");
        assert_eq!(after.accepted - before, accepted, "{shown}");
        assert!(after.duplicates.is_empty(), "{shown}: sent once");
    }
    stage.meta.stop().await;
    assert!(matches!(
        stage.send("evt_gone.1").await,
        Outcome::NeverSent(_) | Outcome::Unknown { .. }
    ));
}

#[tokio::test]
async fn limits_are_told_by_their_codes() {
    let stage = Stage::new(subscribed()).await;
    stage
        .control
        .set_switches(Switches {
            pair: true,
            ..Switches::OFF
        })
        .await
        .expect("pair only");
    let mut refused = None;
    for index in 0..46 {
        if let Outcome::Rejected(error) = stage.send(&format!("evt_{index}.1")).await {
            refused = Some((index, fault::classify(&error).reason));
        }
    }
    assert_eq!(refused, Some((45, "RECIPIENT_RATE_LIMITED")));

    let expired = ChangeToken {
        token: stage.world.token.clone(),
        revoked: None,
        expires_in_seconds: Some(-1),
    };
    stage.control.change_token(&expired).await.expect("changed");
    let Outcome::Rejected(error) = stage.send("evt_x.1").await else {
        panic!("the token has expired");
    };
    assert_eq!(fault::classify(&error).class, Class::Authorisation);
}

#[tokio::test]
async fn a_token_without_its_proof_is_refused() {
    let stage = Stage::new(subscribed()).await;
    stage.control.set_switches(Switches::OFF).await.expect("off");
    let wrong = Token::with_app_secret(
        Secret::from(stage.world.token.as_str()),
        &Secret::from("another secret"),
    );
    let outcome = stage
        .client
        .send_message(&wrong, &number(stage.number()), text("hi", None, "evt_1.1"))
        .await;
    assert!(matches!(outcome, Outcome::Rejected(error) if error.code == 100));
    assert_eq!(stage.control.summary().await.expect("summary").accepted, 0);
}

#[tokio::test]
async fn answers_of_templates_and_of_users_without_numbers_are_read() {
    let stage = Stage::new(subscribed()).await;
    let send = async |body: Value| {
        let body = serde_json::to_vec(&body).expect("JSON");
        stage
            .client
            .send_message(&stage.token, &number(stage.number()), body)
            .await
    };
    let hello = json!({"messaging_product": "whatsapp", "to": USER, "type": "template",
        "template": {"name": "hello_world", "language": {"code": "en_US"}}});
    let Outcome::Accepted { pacing, .. } = send(hello.clone()).await else {
        panic!("a template needs no window");
    };
    assert_eq!(pacing, None, "it was accepted at once");
    let waba = &stage.world.wabas[0].waba_id;
    let path = format!("{waba}/message_templates");
    let query = [("name", "hello_world"), ("fields", "id")];
    let reply = stage.client.get(&stage.token, &path, &query).await.expect("templates");
    let page: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let template = page["data"][0]["id"].as_str().expect("id");
    let paced = ChangeTemplate {
        paced: Some(true),
        ..ChangeTemplate::default()
    };
    stage.control.change_template(template, &paced).await.expect("paced");
    let Outcome::Accepted { pacing, .. } = send(hello.clone()).await else {
        panic!("it is held, not refused");
    };
    assert_eq!(pacing.as_deref(), Some("held_for_quality_assessment"));
    stage
        .control
        .set_template_status(template, "PAUSED")
        .await
        .expect("paused");
    let Outcome::Rejected(error) = send(hello).await else {
        panic!("it is paused");
    };
    assert_eq!(
        (error.code, fault::classify(&error).reason),
        (132_015, "TEMPLATE_PAUSED")
    );

    let ann = Inbound {
        phone_number_id: stage.number().to_owned(),
        user_id: Some("US.13491208655302741918".to_owned()),
        text: "hi".to_owned(),
        ..Inbound::default()
    };
    stage.control.inbound(&[ann]).await.expect("injected");
    let to_ann = json!({"messaging_product": "whatsapp", "recipient": "US.13491208655302741918", "type": "text",
        "text": {"body": "hello"}});
    let Outcome::Accepted { wa_id, user_id, .. } = send(to_ann).await else {
        panic!("the window is open");
    };
    assert_eq!((wa_id, user_id.as_deref()), (None, Some("US.13491208655302741918")));

    let items = stage.items().await;
    assert!(items.iter().all(|item| item.waba_id == *waba));
    let held = items.iter().filter_map(|item| match &item.kind {
        Kind::Status(status) if status.error_code == 132_015 => Some(status.word.as_str()),
        _ => None,
    });
    assert_eq!(
        held.collect::<Vec<_>>(),
        ["failed"],
        "what was held fails with its template"
    );
    let told = |field: &str| items.iter().filter(|item| item.field == field).count();
    assert_eq!(told("message_template_status_update"), 1);
}

#[tokio::test]
async fn a_users_message_is_marked_as_read_and_typing_shown() {
    let stage = Stage::new(subscribed()).await;
    let user = Inbound {
        phone_number_id: stage.number().to_owned(),
        from: USER.to_owned(),
        text: "Hello!".to_owned(),
        ..Inbound::default()
    };
    let written = stage.control.inbound(&[user]).await.expect("written").remove(0).wamid;
    let read = async |wamid: &str, typing| {
        let wamid = outeract_domain::Wamid::new(wamid).expect("an id");
        let number = number(stage.number());
        stage.client.mark_read(&stage.token, &number, &wamid, typing).await
    };
    read(&written, false).await.expect("marked");
    read(&written, true).await.expect("marked and shown");
    let receipts = stage
        .control
        .receipts(&ReceiptQuery::default())
        .await
        .expect("receipts");
    let told: Vec<_> = receipts
        .iter()
        .map(|receipt| (&*receipt.wamid, receipt.typing))
        .collect();
    assert_eq!(told, [(&*written, false), (&*written, true)]);
    let unknown = read("wamid.HBgLMTQxNTU1NTEyMzQVAgASGBQ", false).await;
    assert!(matches!(unknown, Err(CallError::Refused(error)) if error.code == 131_009));
    for body in [r#"{"success":false}"#, "{}", "<html>"] {
        let matches = Match {
            endpoint: Some("receipts".to_owned()),
            count: Some(1),
            ..Match::default()
        };
        let effect = Effect::Respond {
            status: 200,
            content_type: None,
            body: body.to_owned(),
            execute: false,
        };
        stage.control.fault(matches, effect).await.expect("added");
        let unclear = read(&written, false).await;
        assert!(matches!(unclear, Err(CallError::Unintelligible { .. })), "{body}");
    }
}
