//! What is older than what is kept.

use outeract_proto::tracking::v1::stream_events_request::From;
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, GetEventRequest, ListEventsRequest, StreamEventsRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_testkit::eventually;
use time::Duration as Span;
use tonic::Code;

use crate::suite::{LONG, Suite, event_ids, ids, list_all, new_message, next, now, open, refusal, take};

fn from(name: &str, from: Option<From>) -> StreamEventsRequest {
    StreamEventsRequest {
        consumer: name.to_owned(),
        from,
        ..StreamEventsRequest::default()
    }
}

#[tokio::test]
async fn old_events_go_and_no_reader_skips_them_unknowingly() {
    let mut suite = Suite::new().await;
    let first = suite.start(&[]).await;
    let app = suite.app();
    let mut events = first.events(&app).await;
    let old: Vec<_> = (0..6_000).map(|n| app.inbound(n)).collect();
    for batch in old.chunks(1_000) {
        first.record(batch.to_vec()).await;
    }
    let page = events
        .list_events(ListEventsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let message = next(&mut open(&mut events, from("behind", None)).await).await;
    let acknowledge = |cursor: &str| AcknowledgeEventsRequest {
        consumer: "behind".to_owned(),
        cursor: cursor.to_owned(),
        session: String::new(),
    };
    events
        .acknowledge_events(acknowledge(&message.events[9].cursor))
        .await
        .unwrap();

    suite.db.advance(Span::days(20)).await;
    let kept: Vec<_> = (7_000..7_010).map(|n| app.inbound(n)).collect();
    first.record(kept.clone()).await;
    suite.db.advance(Span::days(16)).await;
    // A process looks after the log when it starts.
    let instance = suite.start(&[]).await;
    let mut events = instance.events(&app).await;
    eventually(LONG, async || {
        let first_page = events
            .list_events(ListEventsRequest::default())
            .await
            .unwrap()
            .into_inner();
        event_ids(&first_page.events) == ids(&kept)
    })
    .await;

    let expired = (Code::OutOfRange, Some(ErrorReason::CursorExpired));
    let old_page = ListEventsRequest {
        page_token: page.next_page_token,
        ..ListEventsRequest::default()
    };
    assert_eq!(refusal(events.list_events(old_page).await), expired);
    let old_cursor = ListEventsRequest {
        page_token: page.events[3].cursor.clone(),
        ..ListEventsRequest::default()
    };
    assert_eq!(refusal(events.list_events(old_cursor).await), expired);
    assert_eq!(refusal(events.stream_events(from("behind", None)).await), expired);
    let status = events
        .stream_events(from("new", Some(From::Cursor(message.cursor.clone()))))
        .await
        .unwrap_err();
    let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
    assert_eq!(info.reason, "CURSOR_EXPIRED");
    // The way on, in the open.
    let earliest = info.metadata["earliest_cursor"].clone();
    let mut stream = open(&mut events, from("behind", Some(From::Cursor(earliest)))).await;
    assert_eq!(event_ids(&take(&mut stream, 10).await), ids(&kept));
    for start in [None, Some(From::Beginning(true))] {
        let mut stream = open(&mut events, from("fresh", start)).await;
        assert_eq!(take(&mut stream, 10).await.len(), 10);
    }
    // Going backwards changes nothing, however far.
    events
        .acknowledge_events(acknowledge(&page.events[0].cursor))
        .await
        .unwrap();
    let gone = GetEventRequest {
        id: page.events[0].id.clone(),
    };
    assert_eq!(
        refusal(events.get_event(gone).await),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    let descending = ListEventsRequest {
        descending: true,
        page_size: 3,
        ..ListEventsRequest::default()
    };
    assert_eq!(list_all(&mut events, descending).await.len(), 10);
}

#[tokio::test]
async fn what_was_recorded_long_after_it_happened_goes_without_a_gap() {
    let mut suite = Suite::new().await;
    let first = suite.start(&[]).await;
    let app = suite.app();
    let message = new_message();
    first.record(vec![app.outbound(message)]).await;
    suite.db.advance(Span::days(30)).await;
    let read = app.status(message, "read", now());
    first
        .record(vec![read.clone(), app.inbound_at(1, now() + Span::days(5))])
        .await;
    suite.db.advance(Span::days(15)).await;
    let instance = suite.start(&[]).await;
    let mut events = instance.events(&app).await;
    // The message's own entry is too old, and with its day went what belonged to it.
    eventually(LONG, async || {
        let listed = list_all(&mut events, ListEventsRequest::default()).await;
        listed.len() == 2 && listed[0].payload.is_none() && listed[1].payload.is_some()
    })
    .await;
    let listed = list_all(&mut events, ListEventsRequest::default()).await;
    assert_eq!(listed[0].id, ids(&[read])[0]);
    assert_eq!(listed[0].event_type, "message.read");
    assert!(listed[0].late && listed[0].receive_time.is_some() && !listed[0].cursor.is_empty());
}

#[tokio::test]
async fn partitions_come_ahead_of_time_and_go_with_their_last_event() {
    let mut suite = Suite::new().await;
    let _ = suite.start(&[]).await;
    let partitions = async |suite: &Suite| -> i64 {
        let sql = r"SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'tracking.event'::regclass AND c.relname ~ '^event_\d{8}$'";
        sqlx::query_scalar(sql).fetch_one(suite.db.admin()).await.unwrap()
    };
    assert_eq!(partitions(&suite).await, 16);
    suite.db.advance(Span::days(30)).await;
    let _ = suite.start(&[]).await;
    eventually(LONG, async || partitions(&suite).await == 32).await;
    suite.db.advance(Span::days(30)).await;
    let _ = suite.start(&[]).await;
    // 60 days on, the first 16 days are more than 43 days old, but for the last eight.
    eventually(LONG, async || partitions(&suite).await == 16 + 16 + 16 - 24 + 8).await;
}

#[tokio::test]
async fn an_event_of_a_day_without_partition_is_kept_and_moves_once_there_is_one() {
    let mut suite = Suite::new().await;
    let instance = suite.start(&[]).await;
    let app = suite.app();
    let far = app.inbound_at(1, now() + Span::days(10));
    let past = app.inbound_at(2, now() - Span::days(100));
    instance.record(vec![far.clone(), past.clone()]).await;
    let strays = async |suite: &Suite| -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM tracking.event_default")
            .fetch_one(suite.db.admin())
            .await
            .unwrap()
    };
    assert_eq!(strays(&suite).await, 2);
    let mut events = instance.events(&app).await;
    assert_eq!(list_all(&mut events, ListEventsRequest::default()).await.len(), 2);
    suite.db.advance(Span::days(5)).await;
    let second = suite.start(&[]).await;
    eventually(LONG, async || strays(&suite).await == 1).await;
    let mut events = second.events(&app).await;
    assert_eq!(
        event_ids(&list_all(&mut events, ListEventsRequest::default()).await),
        ids(&[far, past])
    );
    // What no partition holds goes when its log forgets it.
    suite.db.advance(Span::days(36)).await;
    let _ = suite.start(&[]).await;
    eventually(LONG, async || strays(&suite).await == 0).await;
}
