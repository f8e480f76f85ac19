//! One number's troubles are its own.

use std::time::{Duration, Instant};

use outeract_proto::messaging::v1::SubmissionState;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;

use crate::suite::{SOON, Suite, recipient, request};

#[tokio::test]
async fn thousands_waiting_on_one_number_do_not_slow_another() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let (throttled, free) = (&suite.numbers[0], &suite.numbers[1]);
    let sends = async || {
        for index in 0..100 {
            let answer = client
                .clone()
                .send_message(request(free, &recipient(9_000 + index % 500)))
                .await
                .expect("sent")
                .into_inner();
            assert!(
                answer.status.is_some_and(|status| status.success),
                "accepted while its caller waits"
            );
        }
    };
    sends().await;

    suite
        .change(&instance, throttled, |connection| connection.throughput_per_second = 5)
        .await;
    let backlog = (0..5_000).map(|index| {
        let (mut client, request) = (client.clone(), request(throttled, &recipient(index % 1_300)));
        async move {
            let answer = client.send_message(request).await.expect("stored").into_inner();
            answer.status.expect("a status").pending
        }
    });
    let mut pending = 0;
    let mut backlog = std::pin::pin!(futures_util::StreamExt::buffer_unordered(
        futures_util::stream::iter(backlog),
        200
    ));
    while let Some(waits) = futures_util::StreamExt::next(&mut backlog).await {
        pending += usize::from(waits);
    }
    assert!(pending > 4_800, "{pending}");
    let queued = async || {
        let queued: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.queue WHERE phone_number_id = $1")
            .bind(&throttled.id)
            .fetch_one(suite.database.admin())
            .await
            .expect("a count");
        queued
    };
    assert!(queued().await > 4_000);

    // How little the others notice is measured by the benchmark; here each of them is answered while thousands wait.
    sends().await;
    assert!(queued().await > 1_000, "the others did not wait for the crowd");
}

#[tokio::test]
async fn a_number_whose_calls_hang_leaves_room_for_others() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let (hanging, free) = (&suite.numbers[0], &suite.numbers[1]);
    let slow = Effect::Latency {
        before_ms: 2_500,
        after_ms: 0,
        jitter_ms: 0,
    };
    suite
        .meta
        .fault(
            Match {
                object_id: Some(hanging.id.clone()),
                ..Match::default()
            },
            slow,
        )
        .await
        .expect("added");
    for index in 0..400 {
        suite.store(&mut client, hanging, &recipient(index)).await;
    }
    let started = Instant::now();
    let answer = client
        .send_message(request(free, "+14155551234"))
        .await
        .expect("sent")
        .into_inner();
    assert!(answer.status.is_some_and(|status| status.success));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_number_that_meta_brakes_waits_and_then_goes_on() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let (braked, free) = (&suite.numbers[0], &suite.numbers[1]);
    let limited = Effect::Error {
        code: 130_429,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite
        .meta
        .fault(
            Match {
                object_id: Some(braked.id.clone()),
                count: Some(2),
                ..Match::default()
            },
            limited,
        )
        .await
        .expect("added");
    let mut messages = Vec::new();
    for index in 0..10 {
        messages.push(suite.store(&mut client, braked, &recipient(index)).await);
    }
    let answer = client
        .send_message(request(free, "+14155551234"))
        .await
        .expect("sent")
        .into_inner();
    assert!(answer.status.is_some_and(|status| status.success));
    for message in messages {
        suite.reaches(&client, message, SubmissionState::Accepted).await;
    }
    eventually(SOON, async || suite.ledger().await.len() == 11).await;
}
