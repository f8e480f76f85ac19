//! How Postgres finds things: by index in the one partition that matters, also when statistics say that there is nothing.

use outeract_domain::EventId;
use outeract_proto::tracking::v1::{GetEventRequest, ListEventsRequest, StreamEventsRequest};

use crate::suite::{LONG, Suite, new_message, open, take};

#[tokio::test]
async fn partitions_are_searched_and_never_scanned() {
    let mut suite = Suite::new().await;
    let instance = suite.start(&[]).await;
    let app = suite.app();
    let mut events = instance.events(&app).await;
    // Every partition is known to be empty, as before its day, and plans are made and kept.
    sqlx::query("ANALYZE").execute(suite.db.admin()).await.unwrap();
    let absent = GetEventRequest {
        id: EventId::from_uuid(uuid::Uuid::from_u128(1 << 100)).to_string(),
    };
    for descending in [false, true] {
        for _ in 0..12 {
            let request = ListEventsRequest {
                descending,
                ..ListEventsRequest::default()
            };
            assert!(
                events
                    .list_events(request)
                    .await
                    .unwrap()
                    .into_inner()
                    .events
                    .is_empty()
            );
            events.get_event(absent.clone()).await.unwrap_err();
        }
    }
    let messages: Vec<EventId> = (0..400).map(|_| new_message()).collect();
    for batch in messages.chunks(50) {
        instance
            .record(
                batch
                    .iter()
                    .flat_map(|message| [app.outbound(*message), app.accepted(*message)])
                    .collect(),
            )
            .await;
    }
    for message in &messages[..20] {
        let answer = events
            .get_event(GetEventRequest {
                id: message.to_string(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.child_events.len(), 1);
    }
    for descending in [false, true] {
        let request = ListEventsRequest {
            descending,
            page_size: 250,
            ..ListEventsRequest::default()
        };
        assert_eq!(
            events.list_events(request).await.unwrap().into_inner().events.len(),
            250
        );
    }
    let request = StreamEventsRequest {
        consumer: "c".to_owned(),
        ..StreamEventsRequest::default()
    };
    take(&mut open(&mut events, request).await, 768).await;

    // Connections report what they did when they close.
    (instance.stop)();
    let scans = r"SELECT coalesce(sum(seq_tup_read), 0)::bigint, coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_tables
        WHERE schemaname = 'tracking' AND relname ~ '^event_\d{8}$' AND relname <> 'event_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')";
    let today = "SELECT seq_tup_read, coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables
        WHERE schemaname = 'tracking' AND relname = 'event_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')";
    outeract_testkit::eventually(LONG, async || {
        let (_, fetched): (i64, i64) = sqlx::query_as(today).fetch_one(suite.db.admin()).await.unwrap();
        fetched >= 1_000
    })
    .await;
    let (scanned, _): (i64, i64) = sqlx::query_as(today).fetch_one(suite.db.admin()).await.unwrap();
    assert_eq!(scanned, 0, "rows read by scanning today's partition");
    let (scanned, searched): (i64, i64) = sqlx::query_as(scans).fetch_one(suite.db.admin()).await.unwrap();
    assert_eq!((scanned, searched), (0, 0), "reads of other days");
}
