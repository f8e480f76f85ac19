//! Every kind of message that the simulator writes is read as that kind.

#![expect(clippy::expect_used, reason = "what is not as expected fails the test")]
#![expect(dead_code, reason = "what several tests share is not used whole by each")]

mod support;

use std::time::Duration;

use outeract_graph::webhook::{Item, Kind, parse};
use outeract_simulator::control::{Client as Control, Echo, Inbound, NewWorld, SAMPLES};
use outeract_simulator::{Config, Simulator};
use support::{Sink, USER};
use time::OffsetDateTime;

const ABOUT: &str = "wamid.HBgLMTQxNTU1NTEyMzQVAgASGBQ";

async fn items(control: &Control, sink: &Sink) -> Vec<Item> {
    assert!(control.idle(Duration::from_secs(20)).await.expect("idle"));
    // After everything in these tests.
    let at = OffsetDateTime::from_unix_timestamp(4_000_000_000).expect("time");
    let posts = sink.posts();
    posts
        .iter()
        .flat_map(|(_, body)| parse(body, at).expect("an object"))
        .collect()
}

#[tokio::test]
async fn every_sample_is_read_as_what_it_is() {
    let sink = Sink::start().await;
    let config = Config {
        webhook_url: Some(sink.url.clone()),
        ..Config::default()
    };
    let meta = Simulator::start(config).await.expect("starts");
    let control = meta.client().expect("control");
    let new = NewWorld {
        subscribed: true,
        ..NewWorld::default()
    };
    let world = control.create_world(&new).await.expect("world");
    let number = world.wabas[0].numbers[0].phone_number_id.clone();
    let messages: Vec<_> = SAMPLES
        .into_iter()
        .map(|kind| Inbound {
            phone_number_id: number.clone(),
            from: USER.to_owned(),
            sample: Some(kind.to_owned()),
            reply_to: Some(ABOUT.to_owned()),
            ..Inbound::default()
        })
        .collect();
    let accepted = control.inbound(&messages).await.expect("injected");
    let found = items(&control, &sink).await;
    let expected = [
        "Text",
        "Image",
        "Video",
        "Audio",
        "Audio",
        "Document",
        "Sticker",
        "Location",
        "Contacts",
        "Reaction",
        "Reaction",
        "Button",
        "ButtonReply",
        "ListReply",
        "Flow",
        "CallPermission",
        "Order",
        "System",
        "Edit",
        "Revoke",
        "Text",
        "Text",
        "Unsupported",
    ];
    for ((kind, accepted), expected) in SAMPLES.into_iter().zip(accepted).zip(expected) {
        let message = found.iter().find_map(|item| match &item.kind {
            Kind::Message(message) if message.wamid.as_str() == accepted.wamid => Some(message),
            _ => None,
        });
        let message = message.unwrap_or_else(|| panic!("{kind}"));
        assert_eq!(format!("{:?}", message.said), expected, "{kind}");
        assert_eq!(message.user.wa_id.as_deref(), Some(USER.trim_start_matches('+')));
        assert_eq!(message.context.forwarded, kind == "forwarded");
        assert_eq!(message.referral.is_some(), kind == "referral");
        assert_eq!(message.identity.is_some(), kind == "identity");
    }
    let echo = Echo {
        phone_number_id: number.clone(),
        to: USER.to_owned(),
        text: "From the app".to_owned(),
        ..Echo::default()
    };
    let echoed = control.echoes(&[echo]).await.expect("injected").remove(0).wamid;
    let found = items(&control, &sink).await;
    let echo = found.iter().find_map(|item| match &item.kind {
        Kind::Echo(message) if message.wamid.as_str() == echoed => Some((message, &item.field)),
        _ => None,
    });
    let (echo, field) = echo.expect("the echo");
    assert_eq!(
        (echo.said.words(), field.as_str()),
        (Some("From the app"), "smb_message_echoes")
    );
    assert_eq!(echo.user.wa_id.as_deref(), Some(USER.trim_start_matches('+')));

    let wrong = Inbound {
        phone_number_id: number,
        from: USER.to_owned(),
        sample: Some("hologram".to_owned()),
        ..Inbound::default()
    };
    assert!(control.inbound(&[wrong]).await.is_err());
}
