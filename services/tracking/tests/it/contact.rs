//! Events of one contact, and of several connections.

use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::{ConnectionId, ContactId};
use outeract_proto::tracking::internal::v1::EventRecord;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::{Event, ListEventsRequest, StreamEventsRequest, UserMergedPayload};
use outeract_proto::r#type::v1::ErrorReason;
use tonic::Code;

use crate::suite::{App, LONG, Suite, event_ids, ids, list_all, new_message, now, open, refusal, take};

fn new_contact() -> ContactId {
    ContactId::new(&SystemClock, &SystemRandom)
}

/// A message from this contact.
fn from(app: &App, n: u32, contact: ContactId) -> EventRecord {
    let mut record = app.inbound(n);
    let edges = record.event.as_mut().unwrap().edges.as_mut().unwrap();
    edges.sent_by.as_mut().unwrap().platform_user_id = contact.to_string();
    record
}

fn merged(app: &App, source: ContactId, target: ContactId) -> EventRecord {
    EventRecord {
        application_id: app.id.bytes(),
        id: new_message().bytes(),
        event: Some(Event {
            event_type: "user.merged".to_owned(),
            payload: Some(Payload::UserMerged(UserMergedPayload {
                source_user_id: source.to_string(),
                target_user_id: target.to_string(),
            })),
            ..Event::default()
        }),
        ..EventRecord::default()
    }
}

fn of(contact: ContactId) -> ListEventsRequest {
    ListEventsRequest {
        platform_user_id: contact.to_string(),
        page_size: 3,
        ..ListEventsRequest::default()
    }
}

#[tokio::test]
async fn a_contacts_events_are_listed_and_streamed_without_the_others() {
    let (suite, instance) = Suite::with_instance().await;
    let (app, foreign) = (suite.app(), suite.app());
    let (ann, bob) = (new_contact(), new_contact());
    let records: Vec<_> = (0..20)
        .map(|n| from(&app, n, if n % 2 == 0 { ann } else { bob }))
        .collect();
    instance.record(records.clone()).await;
    instance.record(vec![from(&foreign, 1, ann)]).await;
    let mut events = instance.events(&app).await;
    let expected: Vec<_> = ids(&records).into_iter().step_by(2).collect();
    assert_eq!(event_ids(&list_all(&mut events, of(ann)).await), expected);
    let descending = ListEventsRequest {
        descending: true,
        ..of(ann)
    };
    let mut found = event_ids(&list_all(&mut events, descending).await);
    found.reverse();
    assert_eq!(found, expected);
    let none = ListEventsRequest {
        event_types: vec!["message.outbound".to_owned()],
        ..of(ann)
    };
    assert!(list_all(&mut events, none).await.is_empty());
    let request = StreamEventsRequest {
        consumer: "c".to_owned(),
        platform_user_id: bob.to_string(),
        ..StreamEventsRequest::default()
    };
    let mut stream = open(&mut events, request).await;
    take(&mut stream, 10).await;
    // Live, past what is filtered out.
    let later = from(&app, 101, bob);
    instance.record(vec![from(&app, 100, ann), later.clone()]).await;
    assert_eq!(event_ids(&take(&mut stream, 1).await), ids(&[later]));
}

#[tokio::test]
async fn what_was_merged_is_found_under_either_contact() {
    let (suite, instance) = Suite::with_instance().await;
    let (app, foreign) = (suite.app(), suite.app());
    let (oldest, middle, youngest) = (new_contact(), new_contact(), new_contact());
    let mut records: Vec<_> = [oldest, middle, youngest]
        .into_iter()
        .zip(0..)
        .map(|(contact, n)| from(&app, n, contact))
        .collect();
    // Another application's merges say nothing here.
    instance.record(vec![merged(&foreign, middle, oldest)]).await;
    instance.record(records.clone()).await;
    let mut events = instance.events(&app).await;
    assert_eq!(list_all(&mut events, of(oldest)).await.len(), 1);
    // Whichever merge is told first.
    records.extend([merged(&app, youngest, middle), merged(&app, middle, oldest)]);
    instance.record(records[3..].to_vec()).await;
    for contact in [oldest, middle, youngest] {
        assert_eq!(event_ids(&list_all(&mut events, of(contact)).await), ids(&records));
    }
}

#[tokio::test]
async fn a_rare_contact_is_found_by_the_index_alone() {
    let mut suite = Suite::new().await;
    let instance = suite.start(&[]).await;
    let app = suite.app();
    let (many, few) = (new_contact(), new_contact());
    // The table is known to be empty, as before an installation's first message.
    sqlx::query("ANALYZE").execute(suite.db.admin()).await.unwrap();
    instance.record(vec![from(&app, 0, few)]).await;
    for batch in 0..8 {
        let records = (0..900).map(|n| from(&app, 1 + batch * 900 + n, many)).collect();
        instance.record(records).await;
    }
    instance.record(vec![from(&app, 9_999, few)]).await;
    let mut events = instance.events(&app).await;
    for descending in [false, true] {
        let request = ListEventsRequest {
            descending,
            page_size: 10,
            ..of(few)
        };
        let page = events.list_events(request).await.unwrap().into_inner();
        // More than a scan of everybody's events would look at lies in between.
        assert_eq!((page.events.len(), page.next_page_token.as_str()), (2, ""));
    }
    (instance.stop)();
    let used =
        "SELECT idx_scan > 0 AND idx_tup_read <= 10 FROM pg_stat_user_indexes WHERE indexrelname = 'log_contact'";
    outeract_testkit::eventually(LONG, async || {
        sqlx::query_scalar(used).fetch_one(suite.db.admin()).await.unwrap()
    })
    .await;
    let scanned: i64 = sqlx::query_scalar(
        "SELECT seq_tup_read FROM pg_stat_user_tables WHERE schemaname = 'tracking' AND relname = 'log'",
    )
    .fetch_one(suite.db.admin())
    .await
    .unwrap();
    assert_eq!(scanned, 0, "rows of the log read by scanning it");
}

#[tokio::test]
async fn several_connections_are_read_together() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let connections: Vec<_> = (0..3).map(|_| ConnectionId::new(&SystemClock, &SystemRandom)).collect();
    let records: Vec<_> = (0..9)
        .map(|n| EventRecord {
            connection_id: connections[n as usize % 3].bytes(),
            ..app.inbound_at(n, now())
        })
        .collect();
    instance.record(records.clone()).await;
    let mut events = instance.events(&app).await;
    let all = ids(&records);
    let expected: Vec<_> = (0..9).filter(|n| n % 3 != 1).map(|n| all[n].clone()).collect();
    let request = ListEventsRequest {
        connection_id: connections[0].to_string(),
        connection_ids: vec![connections[2].to_string()],
        ..ListEventsRequest::default()
    };
    assert_eq!(event_ids(&list_all(&mut events, request).await), expected);
    let broken = ListEventsRequest {
        connection_ids: vec!["pc_".to_owned(); 33],
        platform_user_id: "evt_".to_owned(),
        ..ListEventsRequest::default()
    };
    assert_eq!(
        refusal(events.list_events(broken).await),
        (Code::InvalidArgument, Some(ErrorReason::InvalidField))
    );
}
