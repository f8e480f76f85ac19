//! `GetEvent`.

use std::time::{Duration, Instant};

use outeract_clock::{FakeClock, SystemRandom};
use outeract_domain::EventId;
use outeract_proto::messaging::v1::message_content::Kind;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{DeliveryState, GetEventRequest, GetEventResponse, ListEventsRequest};
use outeract_proto::r#type::v1::ErrorReason;
use time::Duration as Span;
use tonic::{Code, Status};

use crate::suite::{App, Events, Suite, event_ids, ids, list_all, new_message, now, refusal};

async fn get(events: &mut Events, id: EventId) -> Result<GetEventResponse, Status> {
    let request = GetEventRequest { id: id.to_string() };
    events.get_event(request).await.map(tonic::Response::into_inner)
}

/// A message stored a while ago, for which nobody waits.
fn old_message() -> EventId {
    EventId::new(&FakeClock::at(now() - Span::hours(1)), &SystemRandom)
}

fn types(answer: &GetEventResponse) -> Vec<&str> {
    answer
        .child_events
        .iter()
        .map(|child| child.event_type.as_str())
        .collect()
}

#[tokio::test]
async fn the_seeds_example_event_with_its_children() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    let message = new_message();
    let at = now().replace_nanosecond(0).unwrap();
    instance
        .record(vec![app.outbound(message), app.accepted(message)])
        .await;
    instance
        .record(vec![app.status(message, "read", at + Span::seconds(9))])
        .await;
    instance
        .record(vec![
            app.status(message, "sent", at + Span::seconds(1)),
            app.status(message, "delivered", at + Span::seconds(2)),
        ])
        .await;

    let answer = get(&mut events, message).await.unwrap();
    let event = answer.event.as_ref().unwrap();
    assert_eq!(
        (event.id.clone(), event.event_type.as_str()),
        (message.to_string(), "message.outbound")
    );
    assert_eq!(
        (event.connection_id.clone(), event.origin_event_id.as_str()),
        (app.connection.to_string(), "")
    );
    let Some(Payload::Message(payload)) = &event.payload else {
        panic!("a message")
    };
    assert_eq!(
        (payload.platform.as_str(), payload.role.as_str()),
        ("whatsapp", "assistant")
    );
    let Some(Kind::Text(text)) = payload.content.as_ref().and_then(|content| content.kind.as_ref()) else {
        panic!("a text")
    };
    assert_eq!(text.body, "Hello! Thanks for contacting us.");

    assert_eq!(
        types(&answer),
        ["message.accepted", "message.sent", "message.delivered", "message.read"]
    );
    for child in &answer.child_events {
        assert_eq!(child.origin_event_id, message.to_string());
        let Some(Payload::Status(status)) = &child.payload else {
            panic!("a status")
        };
        assert_eq!(status.external_message_id, "wamid.abc456");
        assert_eq!(child.event_type, format!("message.{}", status.status));
    }
    let delivery = answer.delivery.unwrap();
    assert_eq!(delivery.state(), DeliveryState::Read);
    assert_eq!(delivery.read_time.unwrap().seconds, at.unix_timestamp() + 9);
    assert!(!delivery.contradictory && delivery.failed_time.is_none());

    // Cursors are the same wherever an event is read.
    let listed = list_all(&mut events, ListEventsRequest::default()).await;
    let cursor = |id: &str| listed.iter().find(|event| event.id == id).unwrap().cursor.clone();
    assert_eq!(event.cursor, cursor(&event.id));
    for child in &answer.child_events {
        assert_eq!(child.cursor, cursor(&child.id));
        assert!(child.cursor.len() <= 64);
    }
}

#[tokio::test]
async fn children_show_before_their_parent() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    let message = old_message();
    instance.record(vec![app.status(message, "delivered", now())]).await;
    let answer = get(&mut events, message).await.unwrap();
    assert_eq!(answer.event, None);
    assert_eq!(types(&answer), ["message.delivered"]);
    assert_eq!(answer.delivery.unwrap().state(), DeliveryState::Delivered);
    instance.record(vec![app.outbound(message)]).await;
    let answer = get(&mut events, message).await.unwrap();
    assert_eq!(answer.event.as_ref().unwrap().id, message.to_string());
    assert_eq!(answer.child_events.len(), 1);
}

#[tokio::test]
async fn a_failure_and_a_delivery_contradict_each_other() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let message = old_message();
    instance
        .record(vec![
            app.outbound(message),
            app.status(message, "failed", now()),
            app.status(message, "delivered", now()),
        ])
        .await;
    let delivery = get(&mut instance.events(&app).await, message)
        .await
        .unwrap()
        .delivery
        .unwrap();
    assert_eq!(delivery.state(), DeliveryState::Delivered);
    assert!(delivery.contradictory && delivery.failed_time.is_some());
}

#[tokio::test]
async fn an_inbound_event_has_no_delivery() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let record = app.inbound(1);
    let id = EventId::from_slice(&record.id).unwrap();
    instance.record(vec![record, app.inbound(2), app.inbound(3)]).await;
    let answer = get(&mut instance.events(&app).await, id).await.unwrap();
    assert_eq!(answer.event.unwrap().id, id.to_string());
    assert_eq!((answer.child_events.len(), answer.delivery), (0, None));
}

#[tokio::test]
async fn a_young_event_is_waited_for() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    // The key is known from here on.
    list_all(&mut events, ListEventsRequest::default()).await;
    let message = new_message();
    let began = Instant::now();
    let mut asked = instance.events(&app).await;
    let (answer, ()) = tokio::join!(get(&mut asked, message), async {
        // Children come first, and do not end the wait.
        instance.record(vec![app.status(message, "sent", now())]).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        instance.record(vec![app.outbound(message)]).await;
    });
    assert_eq!(answer.unwrap().event.unwrap().id, message.to_string());
    assert!(began.elapsed() >= Duration::from_millis(150));

    let began = Instant::now();
    let absent = get(&mut events, new_message()).await;
    assert_eq!(refusal(absent), (Code::NotFound, Some(ErrorReason::NotFound)));
    assert!(
        began.elapsed() >= Duration::from_millis(800),
        "waited {:?}",
        began.elapsed()
    );
    let began = Instant::now();
    assert_eq!(refusal(get(&mut events, old_message()).await).0, Code::NotFound);
    assert!(
        began.elapsed() < Duration::from_millis(700),
        "waited {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_foreign_id_is_as_absent_as_any() {
    let (suite, instance) = Suite::with_instance().await;
    let (app, other) = (suite.app(), suite.app());
    let message = old_message();
    instance
        .record(vec![app.outbound(message), app.accepted(message)])
        .await;
    let mut events = instance.events(&other).await;
    let foreign = get(&mut events, message).await.unwrap_err();
    let absent = get(&mut events, old_message()).await.unwrap_err();
    assert_eq!(
        (foreign.code(), foreign.message(), foreign.details()),
        (absent.code(), absent.message(), absent.details())
    );
    for id in [
        "",
        "evt_",
        "x",
        "pc_01h455vb4pex5vsknk084sn02q",
        &message.to_string()[1..],
    ] {
        let answer = events.get_event(GetEventRequest { id: id.to_owned() }).await;
        assert_eq!(
            refusal(answer),
            (Code::InvalidArgument, Some(ErrorReason::InvalidField)),
            "{id}"
        );
    }
}

#[tokio::test]
async fn messages_of_one_millisecond_keep_their_own_children() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let clock = FakeClock::at(now() - Span::hours(2));
    let messages: Vec<EventId> = (0..50).map(|_| EventId::new(&clock, &SystemRandom)).collect();
    let records: Vec<_> = messages
        .iter()
        .flat_map(|message| {
            [
                app.status(*message, "sent", now()),
                app.outbound(*message),
                app.accepted(*message),
            ]
        })
        .collect();
    instance.record(records).await;
    let mut events = instance.events(&app).await;
    for message in messages {
        let answer = get(&mut events, message).await.unwrap();
        let mut expected = ids(&[app.status(message, "sent", now()), app.accepted(message)]);
        let mut found = event_ids(&answer.child_events);
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn at_most_a_thousand_children() {
    let (suite, instance) = Suite::with_instance().await;
    let app: App = suite.app();
    let message = old_message();
    let at = now().replace_nanosecond(0).unwrap();
    for batch in 0..3 {
        let words = (0..400).map(|n| format!("word_{batch}_{n}"));
        instance
            .record(words.map(|word| app.status(message, &word, at)).collect())
            .await;
    }
    instance.record(vec![app.outbound(message)]).await;
    let answer = get(&mut instance.events(&app).await, message).await.unwrap();
    assert!(answer.event.is_some());
    assert_eq!(answer.child_events.len(), 1_000);
    assert_eq!(answer.child_events[0].event_type, "message.word_0_0");
}
