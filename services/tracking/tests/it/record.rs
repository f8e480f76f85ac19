//! `RecordEvents`.

use outeract_domain::ApplicationId;
use outeract_proto::tracking::internal::v1::{EventRecord, RecordEventsRequest, RecordResult};
use outeract_proto::tracking::v1::ListEventsRequest;
use outeract_proto::r#type::v1::ErrorReason;
use tokio::task::JoinSet;
use tonic::Code;

use crate::suite::{Suite, event_ids, ids, list_all, new_message, now, refusal};

#[tokio::test]
async fn a_mixed_batch_gets_dense_positions_in_the_callers_order() {
    let (suite, instance) = Suite::with_instance().await;
    let apps = [suite.app(), suite.app(), suite.app()];
    let records: Vec<EventRecord> = (0..300).map(|n| apps[n as usize % 3].inbound(n)).collect();
    instance.record(records.clone()).await;
    instance.record((300..330).map(|n| apps[1].inbound(n)).collect()).await;
    for (index, app) in apps.iter().enumerate() {
        let mut expected: Vec<_> = ids(&records).into_iter().skip(index).step_by(3).collect();
        if index == 1 {
            expected.extend(ids(&(300..330).map(|n| app.inbound(n)).collect::<Vec<_>>()));
        }
        let listed = list_all(&mut instance.events(app).await, ListEventsRequest::default()).await;
        assert_eq!(event_ids(&listed), expected);
        let positions: Vec<i64> =
            sqlx::query_scalar("SELECT position FROM tracking.log WHERE application_id = $1 ORDER BY position")
                .bind(app.id.uuid())
                .fetch_all(suite.db.admin())
                .await
                .unwrap();
        assert_eq!(positions, (1..=expected.len() as i64).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_event_is_recorded_once_however_often_it_comes() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let batch = vec![
        app.inbound(1),
        app.inbound(2),
        app.inbound(1),
        app.inbound(3),
        app.inbound(2),
    ];
    let (new, old) = (RecordResult::Recorded, RecordResult::Duplicate);
    assert_eq!(instance.results(batch.clone()).await, [new, new, old, new, old]);
    let again = vec![app.inbound(4), app.inbound(3), app.inbound(5)];
    assert_eq!(instance.results(again).await, [new, old, new]);
    assert_eq!(instance.results(batch).await, [old; 5]);
    let listed = list_all(&mut instance.events(&app).await, ListEventsRequest::default()).await;
    assert_eq!(listed.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_events_at_the_same_time_are_recorded_once() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let at = now();
    let mut calls = JoinSet::new();
    for call in 0..16_u32 {
        let mut events: Vec<_> = (0..50).map(|n| app.inbound_at(n, at)).collect();
        events.rotate_left(call as usize * 3);
        let mut internal = instance.internal();
        calls.spawn(async move {
            let answer = internal.record_events(RecordEventsRequest { events }).await.unwrap();
            answer
                .into_inner()
                .results()
                .filter(|result| *result == RecordResult::Recorded)
                .count()
        });
    }
    let recorded: usize = calls.join_all().await.into_iter().sum();
    assert_eq!(recorded, 50);
    let listed = list_all(&mut instance.events(&app).await, ListEventsRequest::default()).await;
    assert_eq!(listed.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_and_double_nothing() {
    let (suite, instance) = Suite::with_instance().await;
    let apps = [suite.app(), suite.app()];
    let (writers, rounds, size) = (4_u32, 30_u32, 10_u32);
    let mut calls = JoinSet::new();
    for writer in 0..writers {
        let (mut internal, apps) = (instance.internal(), apps.clone());
        calls.spawn(async move {
            for round in 0..rounds {
                let n = |place: u32| (writer * rounds + round) * size + place;
                let events: Vec<_> = (0..size)
                    .map(|place| apps[place as usize % 2].inbound(n(place)))
                    .collect();
                // As the callers do: again until it is durable.
                let request = RecordEventsRequest { events };
                while let Err(status) = internal.record_events(request.clone()).await {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                }
            }
        });
    }
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'outeract_tracking'";
    let mut cuts = 0_i64;
    while calls.try_join_next().is_none() {
        cuts += sqlx::query_scalar::<_, i64>(cut)
            .fetch_one(suite.db.admin())
            .await
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
    calls.join_all().await;
    assert!(cuts > 0);
    for app in &apps {
        let listed = list_all(&mut instance.events(app).await, ListEventsRequest::default()).await;
        assert_eq!(listed.len(), (writers * rounds * size / 2) as usize);
        let dense: bool = sqlx::query_scalar("SELECT count(*) = max(position) AND count(DISTINCT event_id) = count(*) FROM tracking.log WHERE application_id = $1")
            .bind(app.id.uuid())
            .fetch_one(suite.db.admin())
            .await
            .unwrap();
        assert!(dense);
    }
}

#[tokio::test]
async fn an_event_that_breaks_a_rule_is_left_out_alone() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut not_version_7 = app.inbound(2);
    not_version_7.id[6] = 0x4f;
    let mut large = app.inbound(3);
    large.event.as_mut().unwrap().event_type = "message.inbound".to_owned();
    large
        .event
        .as_mut()
        .unwrap()
        .edges
        .as_mut()
        .unwrap()
        .sent_by
        .as_mut()
        .unwrap()
        .name = "x".repeat(256 << 10);
    let mut nobodys = app.inbound(4);
    nobodys.application_id.clear();
    let mut stranded = app.accepted(new_message());
    stranded.origin_event_id[0] ^= 1;
    let empty = EventRecord {
        event: None,
        ..app.inbound(5)
    };
    let batch = vec![
        app.inbound(1),
        not_version_7,
        large,
        nobodys,
        stranded,
        empty,
        app.inbound(6),
    ];
    let (new, refused) = (RecordResult::Recorded, RecordResult::Refused);
    assert_eq!(
        instance.results(batch).await,
        [new, refused, refused, refused, refused, refused, new]
    );
    let listed = list_all(&mut instance.events(&app).await, ListEventsRequest::default()).await;
    assert_eq!(listed.len(), 2);
}

#[tokio::test]
async fn one_event_that_postgres_refuses_keeps_out_no_other() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let refuse = "ALTER TABLE tracking.event ADD CHECK (connection_id <> '00000000-0000-0000-0000-00000000000d')";
    sqlx::query(refuse).execute(suite.db.admin()).await.unwrap();
    let mut batch: Vec<_> = (10..20).map(|n| app.inbound(n)).collect();
    batch[3].connection_id = uuid::Uuid::from_u128(13).as_bytes().to_vec();
    let results = instance.results(batch).await;
    for (n, result) in (10..20).zip(results) {
        let expected = if n == 13 {
            RecordResult::Refused
        } else {
            RecordResult::Recorded
        };
        assert_eq!(result, expected, "event {n}");
    }
    let listed = list_all(&mut instance.events(&app).await, ListEventsRequest::default()).await;
    assert_eq!(listed.len(), 9);
}

#[tokio::test]
async fn bounds_of_a_call() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    let mut internal = instance.internal();
    let thousand: Vec<_> = (0..1_001).map(|n| app.inbound(n)).collect();
    let answer = internal
        .record_events(RecordEventsRequest {
            events: thousand.clone(),
        })
        .await;
    assert_eq!(
        refusal(answer),
        (Code::InvalidArgument, Some(ErrorReason::InvalidField))
    );
    assert_eq!(
        instance.results(thousand[..1_000].to_vec()).await,
        [RecordResult::Recorded; 1_000]
    );
    assert!(instance.results(Vec::new()).await.is_empty());
}

#[tokio::test]
async fn a_type_that_came_after_this_code_is_kept_and_found() {
    let mut suite = Suite::new().await;
    let (instance, second) = (suite.start(&[]).await, suite.start(&[]).await);
    let app = suite.app();
    let typed = |n: u32, event_type: &str| {
        let mut record = app.inbound(n);
        record.event.as_mut().unwrap().event_type = event_type.to_owned();
        record
    };
    instance
        .record(vec![
            typed(1, "link_code.generated"),
            typed(2, "user.merged"),
            typed(3, "link_code.activation"),
        ])
        .await;
    // Another process, which learns of them from the database.
    second
        .record(vec![typed(4, "link_code.generated"), typed(5, "message.inbound")])
        .await;
    let mut events = instance.events(&app).await;
    let request = |pattern: &str| ListEventsRequest {
        event_types: vec![pattern.to_owned()],
        ..ListEventsRequest::default()
    };
    assert_eq!(list_all(&mut events, request("link_code.*")).await.len(), 3);
    assert_eq!(list_all(&mut events, request("link_code.generated")).await.len(), 2);
    assert_eq!(list_all(&mut events, request("user.merged")).await.len(), 1);
    assert_eq!(list_all(&mut events, request("user.other")).await.len(), 0);
}

#[tokio::test]
async fn a_log_that_is_gone_from_memorys_back_is_made_again() {
    let (suite, instance) = Suite::with_instance().await;
    let app = suite.app();
    instance.record(vec![app.inbound(1)]).await;
    // As after a restore from a backup that did not know the application.
    sqlx::query("TRUNCATE tracking.head, tracking.log, tracking.event")
        .execute(suite.db.admin())
        .await
        .unwrap();
    instance.record(vec![app.inbound(2)]).await;
    let listed = list_all(&mut instance.events(&app).await, ListEventsRequest::default()).await;
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn nothing_readable_is_stored_and_nobody_else_reads_it() {
    let (suite, instance) = Suite::with_instance().await;
    let (app, other) = (suite.app(), suite.app());
    instance.record(vec![app.inbound(1)]).await;
    let body: Vec<u8> = sqlx::query_scalar("SELECT body FROM tracking.event")
        .fetch_one(suite.db.admin())
        .await
        .unwrap();
    for word in ["Hello", "14155559999", "wamid", "Ada", "message.inbound"] {
        assert!(
            !body.windows(word.len()).any(|window| window == word.as_bytes()),
            "{word}"
        );
    }
    assert!(
        list_all(&mut instance.events(&other).await, ListEventsRequest::default())
            .await
            .is_empty()
    );
    // A body that is moved to another application's row opens there no more.
    let theirs: ApplicationId = other.id;
    sqlx::query("UPDATE tracking.event SET application_id = $1")
        .bind(theirs.uuid())
        .execute(suite.db.admin())
        .await
        .unwrap();
    sqlx::query("UPDATE tracking.log SET application_id = $1")
        .bind(theirs.uuid())
        .execute(suite.db.admin())
        .await
        .unwrap();
    sqlx::query("UPDATE tracking.head SET application_id = $1")
        .bind(theirs.uuid())
        .execute(suite.db.admin())
        .await
        .unwrap();
    let answer = instance
        .events(&other)
        .await
        .list_events(ListEventsRequest::default())
        .await;
    assert_eq!(
        refusal(answer),
        (Code::DataLoss, Some(ErrorReason::SealedValueUnreadable))
    );
}
