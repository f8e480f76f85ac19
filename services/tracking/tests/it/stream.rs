//! `StreamEvents`.

use std::time::{Duration, Instant};

use outeract_events::timestamp::to_proto;
use outeract_proto::tracking::v1::stream_events_request::From;
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, ListEventsRequest, StreamEventsRequest};
use outeract_proto::r#type::v1::ErrorReason;
use time::Duration as Span;
use tonic::Code;

use crate::suite::{Suite, end, event_ids, ids, list_all, new_message, next, now, open, refusal, take};

fn consumer(name: &str) -> StreamEventsRequest {
    StreamEventsRequest {
        consumer: name.to_owned(),
        ..StreamEventsRequest::default()
    }
}

fn from(name: &str, from: From) -> StreamEventsRequest {
    StreamEventsRequest {
        from: Some(from),
        ..consumer(name)
    }
}

#[tokio::test]
async fn a_new_consumer_gets_everything_and_then_what_happens() {
    let (suite, instance) = Suite::with_instance().await;
    let (app, other) = (suite.app(), suite.app());
    let mut events = instance.events(&app).await;
    let records: Vec<_> = (0..300).map(|n| app.inbound(n)).collect();
    instance.record(records.clone()).await;
    instance.record((0..10).map(|n| other.inbound(n)).collect()).await;
    let mut stream = open(&mut events, consumer("billing")).await;
    let first = next(&mut stream).await;
    assert_eq!(first.events.len(), 256);
    let listed = list_all(&mut events, ListEventsRequest::default()).await;
    assert_eq!(first.cursor, first.events[255].cursor);
    assert_eq!(first.head_cursor, listed[299].cursor);
    let second = next(&mut stream).await;
    assert_eq!(second.session, first.session);
    let got: Vec<_> = first.events.into_iter().chain(second.events).collect();
    assert_eq!(got, listed);
    // Now live.
    let began = Instant::now();
    instance.record(vec![app.inbound(1_000)]).await;
    assert_eq!(event_ids(&take(&mut stream, 1).await), ids(&[app.inbound(1_000)]));
    assert!(
        began.elapsed() < Duration::from_millis(200),
        "told in {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_log_that_does_not_exist_yet_can_be_streamed() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut stream = open(&mut instance.events(&app).await, consumer("early")).await;
    instance.record(vec![app.inbound(1)]).await;
    assert_eq!(take(&mut stream, 1).await.len(), 1);
}

#[tokio::test]
async fn a_stream_starts_where_it_is_told() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    let mut records = Vec::new();
    let noon = now().replace_nanosecond(0).unwrap() - Span::hours(1);
    for n in 0..10 {
        suite.db.set_time(noon + Span::minutes(i64::from(n))).await;
        records.push(app.inbound(n));
        instance.record(vec![app.inbound(n)]).await;
    }
    let listed = list_all(&mut events, ListEventsRequest::default()).await;
    let expected = |start: usize| event_ids(&listed[start..]);
    let starts = [
        (from("c", From::Cursor(listed[3].cursor.clone())), 4),
        (from("c", From::StartTime(to_proto(noon + Span::minutes(6)))), 6),
        (from("c", From::StartTime(to_proto(noon + Span::seconds(90)))), 2),
        (from("c", From::StartTime(to_proto(noon - Span::days(400)))), 0),
        (from("c", From::Beginning(true)), 0),
        (consumer("c"), 0),
    ];
    for (request, start) in starts {
        let mut stream = open(&mut events, request.clone()).await;
        assert_eq!(
            event_ids(&take(&mut stream, 10 - start).await),
            expected(start),
            "{request:?}"
        );
    }
    // After an acknowledgement, from there; but what is told still counts.
    let acknowledge = AcknowledgeEventsRequest {
        consumer: "c".to_owned(),
        cursor: listed[7].cursor.clone(),
        session: String::new(),
    };
    events.acknowledge_events(acknowledge).await.unwrap();
    assert_eq!(
        event_ids(&take(&mut open(&mut events, consumer("c")).await, 2).await),
        expected(8)
    );
    assert_eq!(
        take(&mut open(&mut events, from("c", From::Beginning(true))).await, 10)
            .await
            .len(),
        10
    );
    // The end of the log is a place to start, too.
    let mut stream = open(&mut events, from("c", From::Cursor(listed[9].cursor.clone()))).await;
    instance.record(vec![app.inbound(99)]).await;
    assert_eq!(event_ids(&take(&mut stream, 1).await), ids(&[app.inbound(99)]));
}

#[tokio::test]
async fn a_filter_leaves_out_and_the_cursor_moves_on() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    for batch in 0..7 {
        instance
            .record((0..1_000).map(|n| app.inbound(batch * 1_000 + n)).collect())
            .await;
    }
    let message = new_message();
    instance
        .record(vec![app.outbound(message), app.accepted(message), app.inbound(90_000)])
        .await;
    let request = StreamEventsRequest {
        event_types: vec!["message.outbound".to_owned(), "message.accepted".to_owned()],
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..consumer("statuses")
    };
    let mut stream = open(&mut events, request).await;
    let found = next(&mut stream).await;
    assert_eq!(
        found
            .events
            .iter()
            .map(|event| event.event_type.as_str())
            .collect::<Vec<_>>(),
        ["message.outbound", "message.accepted"]
    );
    // The heartbeat's cursor has moved past what was left out.
    let heartbeat = stream.message().await.unwrap().unwrap();
    assert!(heartbeat.events.is_empty());
    assert_eq!(heartbeat.cursor, heartbeat.head_cursor);
    assert_eq!(heartbeat.session, found.session);
}

#[tokio::test]
async fn the_server_waits_for_acknowledgements() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    instance.record((0..30).map(|n| app.inbound(n)).collect()).await;
    let request = StreamEventsRequest {
        max_unacked: 10,
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..consumer("slow")
    };
    let mut stream = open(&mut events, request).await;
    let first = next(&mut stream).await;
    assert_eq!(first.events.len(), 10);
    // Nothing but heartbeats until something is acknowledged.
    let heartbeat = stream.message().await.unwrap().unwrap();
    assert!(heartbeat.events.is_empty());
    assert_eq!(heartbeat.cursor, first.events[9].cursor);
    assert_ne!(heartbeat.cursor, heartbeat.head_cursor);
    let acknowledge = |cursor: &str| AcknowledgeEventsRequest {
        consumer: "slow".to_owned(),
        cursor: cursor.to_owned(),
        session: first.session.clone(),
    };
    events
        .acknowledge_events(acknowledge(&first.events[3].cursor))
        .await
        .unwrap();
    let second = next(&mut stream).await;
    assert_eq!(second.events.len(), 4);
    events.acknowledge_events(acknowledge(&second.cursor)).await.unwrap();
    assert_eq!(take(&mut stream, 10).await.len(), 10);
    events
        .acknowledge_events(acknowledge(&second.head_cursor))
        .await
        .unwrap();
    assert_eq!(take(&mut stream, 6).await.len(), 6);
}

#[tokio::test]
async fn a_second_stream_of_a_name_ends_the_first() {
    let (suite, instance) = Suite::with_instance().await;
    let (app, other) = (suite.app(), suite.app());
    let mut events = instance.events(&app).await;
    instance.record(vec![app.inbound(1), app.inbound(2)]).await;
    let mut first = open(&mut events, consumer("only")).await;
    let seen = next(&mut first).await;
    let mut elsewhere = open(&mut events, consumer("other")).await;
    let mut theirs = open(&mut instance.events(&other).await, consumer("only")).await;
    // A request that is refused takes nothing over.
    let refused = events.stream_events(from("only", From::Cursor("x".to_owned()))).await;
    assert_eq!(
        refusal(refused),
        (Code::InvalidArgument, Some(ErrorReason::CursorInvalid))
    );
    instance.record(vec![app.inbound(3), other.inbound(1)]).await;
    assert_eq!(take(&mut first, 1).await.len(), 1);

    let mut second = open(&mut events, consumer("only")).await;
    assert_eq!(
        end(&mut first).await,
        (Code::Aborted, Some(ErrorReason::ConsumerFenced))
    );
    let stale = AcknowledgeEventsRequest {
        consumer: "only".to_owned(),
        cursor: seen.cursor.clone(),
        session: seen.session,
    };
    let answer = events.acknowledge_events(stale.clone()).await;
    assert_eq!(refusal(answer), (Code::Aborted, Some(ErrorReason::ConsumerFenced)));
    let message = next(&mut second).await;
    assert_eq!(message.events.len(), 3);
    let valid = AcknowledgeEventsRequest {
        session: message.session,
        ..stale
    };
    events.acknowledge_events(valid).await.unwrap();
    // Others go on.
    assert_eq!(take(&mut elsewhere, 3).await.len(), 3);
    assert_eq!(take(&mut theirs, 1).await.len(), 1);
}

#[tokio::test]
async fn heartbeats_come_as_often_as_asked() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let request = StreamEventsRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..consumer("idle")
    };
    let mut stream = open(&mut instance.events(&app).await, request).await;
    let began = Instant::now();
    for _ in 0..2 {
        let message = stream.message().await.unwrap().unwrap();
        assert!(message.events.is_empty() && !message.session.is_empty());
    }
    let took = began.elapsed();
    assert!((1_500..4_000).contains(&took.as_millis()), "two heartbeats in {took:?}");
}

#[tokio::test]
async fn streams_end_when_the_process_stops() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut stream = open(&mut instance.events(&app).await, consumer("c")).await;
    instance.record(vec![app.inbound(1)]).await;
    take(&mut stream, 1).await;
    (instance.stop)();
    assert_eq!(
        end(&mut stream).await,
        (Code::Unavailable, Some(ErrorReason::ShuttingDown))
    );
}

#[tokio::test]
async fn streams_of_an_application_are_bounded() {
    let mut suite = Suite::new().await;
    let instance = suite.start(&[("TRACKING_STREAMS_PER_APPLICATION", "2")]).await;
    let (app, other) = (suite.app(), suite.app());
    let mut events = instance.events(&app).await;
    let _first = open(&mut events, consumer("a")).await;
    let second = open(&mut events, consumer("b")).await;
    let third = events.stream_events(consumer("c")).await;
    assert_eq!(refusal(third), (Code::ResourceExhausted, Some(ErrorReason::Overloaded)));
    let _theirs = open(&mut instance.events(&other).await, consumer("a")).await;
    // A client that goes makes room.
    drop(second);
    outeract_testkit::eventually(crate::suite::LONG, async || {
        events.stream_events(consumer("c")).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn broken_fields_are_named_together() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    let request = StreamEventsRequest {
        consumer: "two words".to_owned(),
        from: Some(From::Beginning(false)),
        event_types: vec![String::new()],
        connection_id: "x".to_owned(),
        max_unacked: 10_001,
        heartbeat_interval: Some(prost_types::Duration { seconds: 60, nanos: 1 }),
        connection_ids: vec![String::new()],
        platform_user_id: "pc_".to_owned(),
    };
    let status = events.stream_events(request).await.unwrap_err();
    let details = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
    let fields: Vec<_> = details
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "consumer",
            "event_types[0]",
            "connection_id",
            "connection_ids[0]",
            "platform_user_id",
            "beginning",
            "max_unacked",
            "heartbeat_interval"
        ]
    );
    for cursor in ["", "x"] {
        let answer = events.stream_events(from("c", From::Cursor(cursor.to_owned()))).await;
        assert_eq!(
            refusal(answer),
            (Code::InvalidArgument, Some(ErrorReason::CursorInvalid))
        );
    }
}
