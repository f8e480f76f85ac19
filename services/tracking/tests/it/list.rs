//! `ListEvents`.

use outeract_domain::ConnectionId;
use outeract_events::timestamp::to_proto;
use outeract_proto::tracking::v1::{AcknowledgeEventsRequest, Event, ListEventsRequest};
use outeract_proto::r#type::v1::ErrorReason;
use time::Duration as Span;
use time::macros::datetime;
use tonic::Code;

use crate::suite::{Events, Suite, event_ids, ids, list_all, new_message, now, refusal};

fn patterns(patterns: &[&str]) -> ListEventsRequest {
    ListEventsRequest {
        event_types: patterns.iter().map(ToString::to_string).collect(),
        ..ListEventsRequest::default()
    }
}

fn types(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.event_type.as_str()).collect()
}

#[tokio::test]
async fn filters_by_type_and_connection() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut second = app.clone();
    second.connection = ConnectionId::from_uuid(uuid::Uuid::from_u128(5));
    let message = new_message();
    instance
        .record(vec![
            app.inbound(1),
            app.outbound(message),
            app.accepted(message),
            second.inbound(2),
            app.status(message, "sent", now()),
        ])
        .await;
    let mut events = instance.events(&app).await;
    let all = [
        "message.inbound",
        "message.outbound",
        "message.accepted",
        "message.inbound",
        "message.sent",
    ];
    for everything in [&[][..], &["*"], &["message.*"], &["message.inbound", "*"]] {
        assert_eq!(types(&list_all(&mut events, patterns(everything)).await), all);
    }
    assert_eq!(
        types(&list_all(&mut events, patterns(&["message.inbound"])).await),
        ["message.inbound"; 2]
    );
    assert_eq!(
        types(&list_all(&mut events, patterns(&["message.sent", "message.accepted"])).await),
        ["message.accepted", "message.sent"]
    );
    assert!(
        list_all(&mut events, patterns(&["message.read", "user.*"]))
            .await
            .is_empty()
    );
    let on_second = ListEventsRequest {
        connection_id: second.connection.to_string(),
        ..patterns(&["message.*"])
    };
    let listed = list_all(&mut events, on_second).await;
    assert_eq!(event_ids(&listed), ids(&[second.inbound(2)]));
    assert_eq!(listed[0].connection_id, second.connection.to_string());
}

#[tokio::test]
async fn filters_by_the_time_of_recording() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let start = datetime!(2026-11-20 10:00 UTC);
    let batches = 7;
    for batch in 0..batches {
        suite.db.set_time(start + Span::minutes(batch)).await;
        instance
            .record((0..3).map(|n| app.inbound(batch as u32 * 10 + n)).collect())
            .await;
    }
    // The clock steps back: times of the log do not.
    suite.db.set_time(start).await;
    instance.record(vec![app.inbound(999)]).await;
    let mut events = instance.events(&app).await;
    let at = |minutes: i64| Some(to_proto(start + Span::minutes(minutes)));
    for descending in [false, true] {
        for from in -1..=batches {
            for to in -1..=batches {
                let request = ListEventsRequest {
                    start_time: at(from),
                    end_time: at(to),
                    descending,
                    page_size: 2,
                    ..ListEventsRequest::default()
                };
                let listed = list_all(&mut events, request).await.len() as i64;
                let last = i64::from(from < batches && to == batches);
                let expected = 3 * (to.min(batches) - from.max(0)).max(0) + last;
                assert_eq!(listed, expected, "from {from} to {to} descending {descending}");
            }
        }
    }
    // Half a microsecond later is later.
    let mut later = to_proto(start);
    later.nanos = 500;
    let request = ListEventsRequest {
        start_time: Some(later),
        ..ListEventsRequest::default()
    };
    assert_eq!(list_all(&mut events, request).await.len(), 19);
}

#[tokio::test]
async fn pages_hold_every_event_once_either_way() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let records: Vec<_> = (0..57).map(|n| app.inbound(n)).collect();
    instance.record(records.clone()).await;
    let mut events = instance.events(&app).await;
    for (page_size, descending) in [
        (1, false),
        (10, false),
        (57, false),
        (250, false),
        (7, true),
        (57, true),
    ] {
        let request = ListEventsRequest {
            page_size,
            descending,
            ..ListEventsRequest::default()
        };
        let mut expected = ids(&records);
        if descending {
            expected.reverse();
        }
        assert_eq!(event_ids(&list_all(&mut events, request).await), expected);
    }
    let page = events
        .list_events(ListEventsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.events.len(), 50);
    // What comes after a page was read is on the next ones.
    instance.record(vec![app.inbound(100)]).await;
    let rest = ListEventsRequest {
        page_token: page.next_page_token,
        ..ListEventsRequest::default()
    };
    assert_eq!(list_all(&mut events, rest).await.len(), 8);
}

#[tokio::test]
async fn a_filter_that_leaves_little_is_paged_in_bounded_scans() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let message = new_message();
    for batch in 0..12 {
        instance
            .record((0..1_000).map(|n| app.inbound(batch * 1_000 + n)).collect())
            .await;
        if batch == 8 {
            instance.record(vec![app.outbound(message)]).await;
        }
    }
    let mut events = instance.events(&app).await;
    for descending in [false, true] {
        let mut request = ListEventsRequest {
            descending,
            ..patterns(&["message.outbound"])
        };
        let mut found = Vec::new();
        let mut pages = 0;
        loop {
            let page = events.list_events(request.clone()).await.unwrap().into_inner();
            pages += 1;
            found.extend(page.events);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(event_ids(&found), [message.to_string()]);
        assert_eq!(pages, 3, "12,001 positions, 5,000 a page");
    }
}

#[tokio::test]
async fn a_page_of_large_events_stays_below_what_a_client_takes() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let count = 16;
    for n in 0..count {
        let mut record = app.inbound(n);
        let event = record.event.as_mut().unwrap();
        event.edges.as_mut().unwrap().sent_by.as_mut().unwrap().name = "x".repeat(255 << 10);
        instance.record(vec![record]).await;
    }
    let mut events = instance.events(&app).await;
    let page = events
        .list_events(ListEventsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!((11..=14).contains(&page.events.len()), "{}", page.events.len());
    for descending in [false, true] {
        let request = ListEventsRequest {
            descending,
            ..ListEventsRequest::default()
        };
        assert_eq!(list_all(&mut events, request).await.len(), count as usize);
    }
}

async fn token(events: &mut Events, request: ListEventsRequest) -> String {
    let page = events
        .list_events(ListEventsRequest {
            page_size: 1,
            ..request
        })
        .await
        .unwrap()
        .into_inner();
    assert!(!page.next_page_token.is_empty());
    page.next_page_token
}

#[tokio::test]
async fn a_page_token_fits_its_own_list_only() {
    let (suite, instance) = Suite::with_instance().await;
    let (app, other) = (suite.app(), suite.app());
    for app in [&app, &other] {
        instance.record((0..5).map(|n| app.inbound(n)).collect()).await;
    }
    let mut events = instance.events(&app).await;
    let page_token = token(&mut events, ListEventsRequest::default()).await;
    let theirs = token(&mut instance.events(&other).await, ListEventsRequest::default()).await;
    let mut tampered = page_token.clone();
    tampered.replace_range(10..11, if &page_token[10..11] == "A" { "B" } else { "A" });
    let other_filters = [
        ListEventsRequest {
            page_token: page_token.clone(),
            ..patterns(&["message.*"])
        },
        ListEventsRequest {
            page_token: page_token.clone(),
            descending: true,
            ..ListEventsRequest::default()
        },
        ListEventsRequest {
            page_token: page_token.clone(),
            start_time: Some(to_proto(now())),
            ..ListEventsRequest::default()
        },
        ListEventsRequest {
            page_token: page_token.clone(),
            connection_id: app.connection.to_string(),
            ..ListEventsRequest::default()
        },
        ListEventsRequest {
            page_token: theirs,
            ..ListEventsRequest::default()
        },
        ListEventsRequest {
            page_token: tampered,
            ..ListEventsRequest::default()
        },
        ListEventsRequest {
            page_token: "x".to_owned(),
            ..ListEventsRequest::default()
        },
        ListEventsRequest {
            page_token: "A".repeat(5_000),
            ..ListEventsRequest::default()
        },
    ];
    for request in other_filters {
        let answer = events.list_events(request).await;
        assert_eq!(
            refusal(answer),
            (Code::InvalidArgument, Some(ErrorReason::CursorInvalid))
        );
    }
    // Another page size is the same list.
    let page = events
        .list_events(ListEventsRequest {
            page_token,
            page_size: 3,
            ..ListEventsRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(page.into_inner().events.len(), 3);
}

#[tokio::test]
async fn a_reader_that_polls_goes_on_from_an_events_cursor() {
    let (suite, instance) = Suite::with_instance().await;
    let (app, other) = (suite.app(), suite.app());
    instance.record((0..4).map(|n| app.inbound(n)).collect()).await;
    instance.record(vec![other.inbound(1)]).await;
    let mut events = instance.events(&app).await;
    let listed = list_all(&mut events, ListEventsRequest::default()).await;
    let from = |cursor: &str, descending| ListEventsRequest {
        page_token: cursor.to_owned(),
        descending,
        ..ListEventsRequest::default()
    };
    let after = list_all(&mut events, from(&listed[1].cursor, false)).await;
    assert_eq!(event_ids(&after), event_ids(&listed[2..]));
    let before = list_all(&mut events, from(&listed[1].cursor, true)).await;
    assert_eq!(event_ids(&before), event_ids(&listed[..1]));
    assert!(list_all(&mut events, from(&listed[3].cursor, false)).await.is_empty());
    let theirs = instance
        .events(&other)
        .await
        .list_events(from(&listed[0].cursor, false))
        .await;
    assert_eq!(
        refusal(theirs),
        (Code::InvalidArgument, Some(ErrorReason::CursorInvalid))
    );
    // From a database that was restored to an earlier moment: that cursor's position comes again with another event.
    sqlx::query("UPDATE tracking.head SET position = 2 WHERE application_id = $1")
        .bind(app.id.uuid())
        .execute(suite.db.admin())
        .await
        .unwrap();
    let restored = events.list_events(from(&listed[3].cursor, false)).await;
    assert_eq!(
        refusal(restored),
        (Code::InvalidArgument, Some(ErrorReason::CursorInvalid))
    );
}

#[tokio::test]
async fn broken_fields_are_named_together() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    let request = ListEventsRequest {
        event_types: vec!["message.inbound".to_owned(), "Mess age".to_owned()],
        start_time: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
        end_time: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }),
        connection_id: "evt_".to_owned(),
        page_size: 251,
        ..ListEventsRequest::default()
    };
    let status = events.list_events(request).await.unwrap_err();
    let details = tonic_types::StatusExt::get_details_bad_request(&status).unwrap();
    let fields: Vec<_> = details
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["event_types[1]", "connection_id", "start_time", "end_time", "page_size"]
    );
    let answer = events.acknowledge_events(AcknowledgeEventsRequest::default()).await;
    assert_eq!(
        refusal(answer),
        (Code::InvalidArgument, Some(ErrorReason::InvalidField))
    );
}
