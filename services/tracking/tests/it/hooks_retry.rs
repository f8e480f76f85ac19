//! Deliveries that fail: when they are tried again, when they are given up, and how they are sent again.

use outeract_domain::EventId;
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::tracking::v1::redeliver_request::Which;
use outeract_proto::tracking::v1::{
    DeliveryOutcome, DisabledReason, ListEventsRequest, RedeliverRange, RedeliverRequest, ResumeSubscriptionRequest,
    SubscriptionState,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_testkit::eventually;
use prost_types::Timestamp;
use time::Duration;
use tonic::Code;

use crate::hooks::{create, deliveries, get, heartbeat, started};
use crate::receiver::{Answer, Receiver};
use crate::suite::{App, Hooks, Instance, LONG, Suite, ids, list_all, refusal};

/// Seconds until the only retry there is, by the database's clock.
async fn wait_of_retry(suite: &Suite) -> f64 {
    let wait = "SELECT extract(epoch FROM max(due_at) - tracking.now_())::float8 FROM tracking.retry";
    sqlx::query_scalar::<_, Option<f64>>(wait)
        .fetch_one(suite.db.admin())
        .await
        .unwrap()
        .unwrap()
}

async fn attempts(hooks: &Hooks, id: &str) -> i32 {
    let noted = deliveries(&mut hooks.clone(), id, DeliveryOutcome::Unspecified).await;
    noted.iter().map(|delivery| delivery.attempt_count).sum()
}

async fn disabled_events(instance: &Instance, app: &App) -> Vec<(String, String)> {
    let request = ListEventsRequest {
        event_types: vec!["subscription.disabled".to_owned()],
        ..ListEventsRequest::default()
    };
    let found = list_all(&mut instance.events(app).await, request).await;
    let payload = |event: outeract_proto::tracking::v1::Event| match event.payload {
        Some(Payload::SubscriptionDisabled(payload)) => (payload.subscription_id, payload.reason),
        other => panic!("{other:?}"),
    };
    found.into_iter().map(payload).collect()
}

#[tokio::test]
async fn a_failed_delivery_is_tried_ten_times_under_one_id_with_longer_and_longer_pauses() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(500)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    instance.record(vec![app.inbound(1)]).await;
    for (made, pause) in [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
        .into_iter()
        .enumerate()
    {
        eventually(LONG, async || attempts(&hooks, &id).await == made as i32 + 1).await;
        let wait = wait_of_retry(&suite).await;
        // What has passed since it was scheduled takes a little off.
        let (least, most) = (f64::from(pause) * 0.8 - 3.0, f64::from(pause) * 1.2);
        assert!(wait >= least && wait <= most, "{made}: {wait}");
        assert_eq!(deliveries(&mut hooks, &id, DeliveryOutcome::Pending).await.len(), 1);
        suite.db.advance(Duration::seconds_f64(wait + 1.0)).await;
        if made == 7 {
            // The breaker lets the tenth attempt through only later: what was tried is what counts here.
            receiver.answer(Answer::Status(503));
        }
    }
    eventually(LONG, async || receiver.received().len() == 10).await;
    eventually(LONG, async || {
        deliveries(&mut hooks.clone(), &id, DeliveryOutcome::Failed).await.len() == 1
    })
    .await;
    let failed = deliveries(&mut hooks, &id, DeliveryOutcome::Failed).await.remove(0);
    assert_eq!((failed.attempt_count, failed.attempts.len()), (10, 10));
    assert!(failed.finish_time.is_some() && failed.next_attempt_time.is_none());
    let mut ids: Vec<_> = receiver.received().into_iter().map(|received| received.id).collect();
    ids.dedup();
    assert_eq!(ids, [failed.id]);
}

#[tokio::test]
async fn a_retry_that_succeeds_ends_the_failure() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(500)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    instance.record(vec![app.inbound(1)]).await;
    eventually(LONG, async || {
        get(&mut hooks.clone(), &id).await.failing_since.is_some()
    })
    .await;
    receiver.answer(Answer::Status(200));
    suite.db.advance(Duration::seconds(7)).await;
    eventually(LONG, async || {
        get(&mut hooks.clone(), &id).await.failing_since.is_none()
    })
    .await;
    let noted = deliveries(&mut hooks, &id, DeliveryOutcome::Succeeded).await;
    assert_eq!(noted.len(), 1);
    let codes: Vec<_> = noted[0].attempts.iter().map(|attempt| attempt.status_code).collect();
    assert_eq!(codes, [500, 200]);
}

#[tokio::test]
async fn a_target_that_is_gone_is_disabled_at_once_with_an_event() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(410)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    instance.record((1..=3).map(|n| app.inbound(n)).collect()).await;
    eventually(LONG, async || !disabled_events(&instance, &app).await.is_empty()).await;
    assert_eq!(
        disabled_events(&instance, &app).await,
        [(id.clone(), "gone".to_owned())]
    );
    let disabled = get(&mut hooks, &id).await;
    assert_eq!(disabled.state(), SubscriptionState::Disabled);
    assert_eq!(disabled.disabled_reason(), DisabledReason::Gone);
    assert_eq!(receiver.received().len(), 1);
    // Resumed, it goes on with what came after.
    receiver.answer(Answer::Status(200));
    hooks
        .resume_subscription(ResumeSubscriptionRequest { id: id.clone() })
        .await
        .unwrap();
    eventually(LONG, async || receiver.received().len() >= 3).await;
    eventually(LONG, async || get(&mut hooks.clone(), &id).await.lag == 0).await;
    assert_eq!(
        get(&mut hooks, &id).await.disabled_reason(),
        DisabledReason::Unspecified
    );
    assert_eq!(disabled_events(&instance, &app).await.len(), 1);
}

#[tokio::test]
async fn five_days_of_nothing_but_failures_disable_a_subscription_and_less_do_not() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(500)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    instance.record(vec![app.inbound(1)]).await;
    eventually(LONG, async || attempts(&hooks, &id).await == 1).await;
    suite.db.advance(Duration::days(4)).await;
    eventually(LONG, async || attempts(&hooks, &id).await == 2).await;
    suite.db.advance(Duration::hours(23)).await;
    eventually(LONG, async || attempts(&hooks, &id).await == 3).await;
    // Heartbeats later it still delivers.
    for _ in 0..2 {
        let before = heartbeat(&suite).await;
        eventually(LONG, async || heartbeat(&suite).await > before).await;
    }
    assert_eq!(get(&mut hooks, &id).await.state(), SubscriptionState::Active);
    suite.db.advance(Duration::hours(2)).await;
    eventually(LONG, async || {
        get(&mut hooks.clone(), &id).await.state() == SubscriptionState::Disabled
    })
    .await;
    assert_eq!(get(&mut hooks, &id).await.disabled_reason(), DisabledReason::Failing);
    eventually(LONG, async || {
        disabled_events(&instance, &app).await == [(id.clone(), "failing".to_owned())]
    })
    .await;
}

#[tokio::test]
async fn deliveries_are_sent_again_one_a_range_or_all_that_failed() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    let records: Vec<_> = (1..=3).map(|n| app.inbound(n)).collect();
    let events = ids(&records);
    instance.record(records).await;
    eventually(LONG, async || attempts(&hooks, &id).await == 3).await;
    let first = receiver.received()[0].id.clone();
    let wanted = |which| RedeliverRequest {
        subscription_id: id.clone(),
        which: Some(which),
        page_token: String::new(),
    };
    let one = hooks
        .redeliver(wanted(Which::DeliveryId(first.clone())))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((one.scheduled, one.next_page_token.as_str()), (1, ""));
    eventually(LONG, async || receiver.received().len() == 4).await;
    assert_eq!(
        (receiver.received()[3].id.clone(), receiver.events()[3].clone()),
        (first, events[0].clone())
    );
    eventually(LONG, async || attempts(&hooks, &id).await == 4).await;

    let all = RedeliverRange {
        start_time: Some(Timestamp { seconds: 0, nanos: 0 }),
        end_time: Some(Timestamp {
            seconds: 4_000_000_000,
            nanos: 0,
        }),
    };
    let range = hooks.redeliver(wanted(Which::Range(all))).await.unwrap().into_inner();
    assert_eq!(range.scheduled, 3);
    eventually(LONG, async || receiver.received().len() == 7).await;
    eventually(LONG, async || attempts(&hooks, &id).await == 7).await;

    let failed = |hooks: &Hooks| {
        let request = wanted(Which::FailedSince(Timestamp { seconds: 0, nanos: 0 }));
        let mut hooks = hooks.clone();
        async move { hooks.redeliver(request).await.unwrap().into_inner().scheduled }
    };
    assert_eq!(failed(&hooks).await, 0);
    sqlx::query("UPDATE tracking.delivery SET outcome = 3 WHERE event_id = $1")
        .bind(events[1].parse::<EventId>().unwrap().uuid())
        .execute(suite.db.admin())
        .await
        .unwrap();
    assert_eq!(failed(&hooks).await, 1);
    eventually(LONG, async || receiver.events().last() == Some(&events[1])).await;

    let absent = EventId::from_uuid(uuid::Uuid::from_u128(1))
        .to_string()
        .replace("evt_", "whd_");
    assert_eq!(
        refusal(hooks.redeliver(wanted(Which::DeliveryId(absent))).await),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    let backwards = RedeliverRange {
        start_time: Some(Timestamp { seconds: 2, nanos: 0 }),
        end_time: Some(Timestamp { seconds: 1, nanos: 0 }),
    };
    assert_eq!(
        refusal(hooks.redeliver(wanted(Which::Range(backwards))).await),
        (Code::InvalidArgument, Some(ErrorReason::InvalidField))
    );
}

#[tokio::test]
async fn many_that_are_due_together_are_each_sent_again_once() {
    const MANY: i32 = 100;
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    instance
        .record((1..=MANY as u32).map(|n| app.inbound(n)).collect())
        .await;
    let made = async || -> i64 {
        sqlx::query_scalar("SELECT coalesce(sum(attempts), 0)::bigint FROM tracking.delivery")
            .fetch_one(suite.db.admin())
            .await
            .unwrap()
    };
    eventually(LONG, async || made().await == i64::from(MANY)).await;
    let all = RedeliverRange {
        start_time: Some(Timestamp { seconds: 0, nanos: 0 }),
        end_time: Some(Timestamp {
            seconds: 4_000_000_000,
            nanos: 0,
        }),
    };
    let request = RedeliverRequest {
        subscription_id: id.clone(),
        which: Some(Which::Range(all)),
        page_token: String::new(),
    };
    assert_eq!(hooks.redeliver(request).await.unwrap().into_inner().scheduled, MANY);
    // Nothing waits any more, and as many arrived as were made.
    eventually(LONG, async || {
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM tracking.retry")
            .fetch_one(suite.db.admin())
            .await
            .unwrap();
        waiting == 0
    })
    .await;
    assert_eq!(
        (made().await, receiver.received().len()),
        (i64::from(2 * MANY), 2 * MANY as usize)
    );
}
