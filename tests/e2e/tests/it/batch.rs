//! One webhook of a thousand items for three applications.

use std::time::{Duration, Instant};

use outeract_e2e::{Options, World};
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{Event, ListEventsRequest};
use outeract_proto::webhook::admin::v1::ListItemsRequest;
use outeract_proto::webhook::v1::ItemOutcome;
use outeract_simulator::control::{NewWorld, RawPost};
use outeract_testkit::eventually;
use serde_json::{Value, json};

const NOW: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_items_of_three_applications_with_one_bad_and_one_of_an_unknown_number() {
    let world = World::start("batch", &Options::default()).expect("a world");
    let mut homes = Vec::new();
    for name in ["First", "Second", "Third"] {
        let home = world.connected(name, &NewWorld::default()).await.expect("a connection");
        homes.push(home);
    }
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let text = |home: usize, index: usize| {
        json!({"from": format!("1415555{:04}", index % 50), "id": format!("wamid.{home}.{index}"), "timestamp": seconds.to_string(), "type": "text",
            "text": {"body": format!("{home}: {index}")}})
    };
    let change = |number: &str, messages: Vec<Value>| {
        json!({"field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550000000", "phone_number_id": number}, "contacts": [], "messages": messages}})
    };
    let counts = [333, 333, 332];
    let mut entries = Vec::new();
    for (home, (_, meta, _)) in homes.iter().enumerate() {
        let waba = &meta.wabas[0];
        let mut messages: Vec<_> = (0..counts[home]).map(|index| text(home, index)).collect();
        if home == 1 {
            messages.insert(100, json!({"id": 7}));
        }
        let mut changes = vec![change(&waba.numbers[0].phone_number_id, messages)];
        if home == 2 {
            changes.push(change("999000999000", vec![text(9, 0)]));
        }
        entries.push(json!({"id": waba.waba_id, "changes": changes}));
    }
    let body = json!({"object": "whatsapp_business_account", "entry": entries}).to_string();
    let post = RawPost {
        body: Some(body),
        ..RawPost::default()
    };
    let begun = Instant::now();
    assert_eq!(world.simulator.post(&post).await.expect("posted").status, Some(200));
    let answered = begun.elapsed();

    let list = |home: usize| {
        let mut events = homes[home].0.events.clone();
        async move {
            let mut all: Vec<Event> = Vec::new();
            let mut page_token = String::new();
            loop {
                let request = ListEventsRequest {
                    event_types: vec!["message.inbound".to_owned()],
                    page_size: 250,
                    page_token,
                    ..ListEventsRequest::default()
                };
                let page = events.list_events(request).await.expect("listed").into_inner();
                all.extend(page.events);
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    return all;
                }
            }
        }
    };
    eventually(NOW, async || list(2).await.len() >= counts[2]).await;
    println!(
        "answered after {answered:?}, the last of 998 events readable after {:?}",
        begun.elapsed()
    );
    for (home, count) in counts.into_iter().enumerate() {
        let bodies: Vec<String> = list(home).await.iter().map(body_of).collect();
        // In their order, each once, and nobody else's.
        let expected: Vec<String> = (0..count).map(|index| format!("{home}: {index}")).collect();
        assert_eq!(bodies, expected);
    }
    let listed = async |outcome: ItemOutcome| {
        let request = ListItemsRequest {
            outcome: outcome.into(),
            ..ListItemsRequest::default()
        };
        let listed = world.admin.webhook.clone().list_items(request).await;
        listed.expect("listed").into_inner().items
    };
    let (bad, unknown) = (
        listed(ItemOutcome::Quarantined).await,
        listed(ItemOutcome::Parked).await,
    );
    assert_eq!((bad.len(), unknown.len()), (1, 1));
    assert_eq!(
        (bad[0].reason.as_str(), bad[0].pointer.as_str()),
        ("MESSAGE_UNREADABLE", "/entry/1/changes/0/value/messages/100")
    );
    assert_eq!(unknown[0].reason, "NO_CONNECTION");
}

/// The event's text; empty when it is something else.
fn body_of(event: &Event) -> String {
    let Some(Payload::Message(message)) = &event.payload else {
        return String::new();
    };
    match message.content.as_ref().and_then(|content| content.kind.as_ref()) {
        Some(Kind::Text(text)) => text.body.clone(),
        _ => String::new(),
    }
}
