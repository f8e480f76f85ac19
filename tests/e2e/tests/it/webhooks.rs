//! Meta's side of the door: what is refused, what is kept, what is seen.

use std::time::Duration;

use outeract_e2e::{Options, World};
use outeract_proto::webhook::admin::v1::ListItemsRequest;
use outeract_proto::webhook::v1::ItemOutcome;
use outeract_seal::Secret;
use outeract_simulator::control::{Inbound, NewWorld, RawPost};
use outeract_testkit::eventually;

const ANN: &str = "+14155559999";

#[tokio::test(flavor = "multi_thread")]
async fn signatures_sizes_and_nonsense() {
    let world = World::start("webhooks", &Options::default()).expect("a world");
    let (_, meta, _) = world
        .connected("Webhooks", &NewWorld::default())
        .await
        .expect("a connection");
    let secret = Secret::from(world.urls.get("APP_SECRET").expect("set"));
    let post = async |body: &str, signature: Option<String>| {
        let post = RawPost {
            body: Some(body.to_owned()),
            signature,
            ..RawPost::default()
        };
        world.simulator.post(&post).await.expect("posted").status
    };

    let body = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"x","value":{"text":"gr\u00fc\u00dfe"}}]}]}"#;
    let good = outeract_graph::signature::sign(body.as_bytes(), &secret);
    let bad = [
        Some("none".to_owned()),
        Some(outeract_graph::signature::sign(body.as_bytes(), &Secret::from("other"))),
        Some(good[..60].to_owned()),
        Some(good.to_uppercase().replace("SHA256", "sha256")),
        Some(outeract_graph::signature::sign(
            body.replace("\\u00fc", "ü").as_bytes(),
            &secret,
        )),
    ];
    for signature in bad {
        assert_eq!(post(body, signature.clone()).await, Some(401), "{signature:?}");
    }
    assert_eq!(post(body, None).await, Some(200));
    assert_eq!(post(&"a".repeat(4 * 1024 * 1024 + 1), None).await, Some(413));
    assert_eq!(
        post("{ this is no JSON", None).await,
        Some(200),
        "kept, for Meta would repeat it for a week"
    );

    // What could not be read is seen by operators.
    eventually(Duration::from_secs(30), async || {
        let request = ListItemsRequest {
            outcome: ItemOutcome::Quarantined.into(),
            ..ListItemsRequest::default()
        };
        let items = world
            .admin
            .webhook
            .clone()
            .list_items(request)
            .await
            .expect("listed")
            .into_inner()
            .items;
        items
            .iter()
            .any(|item| item.reason == "MALFORMED_JSON" && item.pointer.is_empty())
    })
    .await;
    eventually(Duration::from_secs(30), async || {
        let request = ListItemsRequest {
            outcome: ItemOutcome::Unsupported.into(),
            ..ListItemsRequest::default()
        };
        let items = world
            .admin
            .webhook
            .clone()
            .list_items(request)
            .await
            .expect("listed")
            .into_inner()
            .items;
        items.iter().any(|item| item.field == "x")
    })
    .await;
    let _ = meta;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_before_their_connection_wait_for_it() {
    let world = World::start("parked", &Options::default()).expect("a world");
    // The installation's first connection sets the shared webhook at Meta; from then on Meta sends for every account that is subscribed.
    world
        .connected("First", &NewWorld::default())
        .await
        .expect("a connection");
    let api = world.admin.create_application("Parked").await.expect("an application");
    let meta = world
        .simulator
        .create_world(&NewWorld {
            subscribed: true,
            ..NewWorld::default()
        })
        .await
        .expect("a world at Meta");
    let waba = &meta.wabas[0];
    let inbound = |index: usize| Inbound {
        phone_number_id: waba.numbers[0].phone_number_id.clone(),
        from: ANN.to_owned(),
        text: format!("early {index}"),
        ..Inbound::default()
    };
    world
        .simulator
        .inbound(&(0..50).map(inbound).collect::<Vec<_>>())
        .await
        .expect("injected");
    eventually(Duration::from_secs(30), async || {
        let request = ListItemsRequest {
            outcome: ItemOutcome::Parked.into(),
            page_size: 250,
            ..ListItemsRequest::default()
        };
        world
            .admin
            .webhook
            .clone()
            .list_items(request)
            .await
            .expect("listed")
            .into_inner()
            .items
            .len()
            == 50
    })
    .await;

    api.connect(&waba.token, &waba.waba_id).await.expect("connected");
    let list = outeract_proto::tracking::v1::ListEventsRequest {
        page_size: 250,
        ..Default::default()
    };
    eventually(Duration::from_mins(1), async || {
        api.events
            .clone()
            .list_events(list.clone())
            .await
            .expect("listed")
            .into_inner()
            .events
            .len()
            == 50
    })
    .await;
    let events = api
        .events
        .clone()
        .list_events(list)
        .await
        .expect("listed")
        .into_inner()
        .events;
    let texts: Vec<_> = events
        .iter()
        .map(|event| match &event.payload {
            Some(outeract_proto::tracking::v1::event::Payload::Message(message)) => {
                match message.content.as_ref().and_then(|content| content.kind.as_ref()) {
                    Some(outeract_proto::messaging::v1::message_content::Kind::Text(text)) => text.body.clone(),
                    _ => String::new(),
                }
            }
            _ => String::new(),
        })
        .collect();
    assert_eq!(
        texts,
        (0..50).map(|index| format!("early {index}")).collect::<Vec<_>>(),
        "in the order they came"
    );
}
