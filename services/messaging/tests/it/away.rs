//! When something that the service needs is away.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use outeract_clock::{Random as _, SeededRandom};
use outeract_proto::messaging::v1::{SendMessageRequest, SendWait, SubmissionState};
use outeract_testkit::{FaultProxy, RedisServer, eventually};
use tonic::Code;

use crate::send::rows_left;
use crate::suite::{SOON, Suite, id, recipient, request};

#[tokio::test]
async fn without_redis_messages_are_sent_at_a_share_of_the_rate() {
    let mut suite = Suite::new().await;
    let mut redis = RedisServer::start().await;
    suite.keep_buckets_at(redis.url().expose());
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("sent")
        .into_inner();
    assert!(answer.status.is_some_and(|status| status.success));

    redis.kill();
    let started = Instant::now();
    let mut messages = Vec::new();
    for index in 0..60 {
        messages.push(suite.store(&mut client, number, &recipient(index)).await);
    }
    for message in messages {
        suite.reaches(&client, message, SubmissionState::Accepted).await;
    }
    assert!(started.elapsed() < Duration::from_secs(15));
    redis.restart().await;
    let answer = client
        .send_message(request(number, "+14155551235"))
        .await
        .expect("sent")
        .into_inner();
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
    assert_eq!(suite.ledger().await.len(), 62);
}

#[tokio::test]
async fn without_tracking_events_wait_and_arrive_later() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    suite.siblings.state.tracking_away.store(true, Ordering::Relaxed);
    let mut messages = Vec::new();
    for index in 0..20 {
        let answer = client
            .send_message(request(&suite.numbers[0], &recipient(index)))
            .await
            .expect("sent")
            .into_inner();
        assert!(
            answer.status.clone().is_some_and(|status| status.success),
            "sending does not need tracking"
        );
        messages.push(id(&answer).uuid());
    }
    assert_eq!(rows_left(&suite).await, (0, 40));
    suite.siblings.state.tracking_away.store(false, Ordering::Relaxed);
    eventually(SOON, async || rows_left(&suite).await == (0, 0)).await;
    for message in messages {
        assert!(suite.siblings.event(message).is_some());
        assert_eq!(suite.siblings.children(message, "message.accepted").len(), 1);
    }
}

#[tokio::test]
async fn a_process_that_dies_with_events_in_memory_loses_none() {
    let suite = Suite::new().await;
    let one = suite.start().await;
    let mut client = one.client(&suite.key).await;
    suite.siblings.state.tracking_away.store(true, Ordering::Relaxed);
    let answer = client
        .send_message(request(&suite.numbers[0], "+14155551234"))
        .await
        .expect("sent")
        .into_inner();
    one.kill();
    suite.siblings.state.tracking_away.store(false, Ordering::Relaxed);
    let _other = suite.start().await;
    let message = id(&answer).uuid();
    eventually(SOON, async || {
        suite.siblings.event(message).is_some() && suite.siblings.children(message, "message.accepted").len() == 1
    })
    .await;
    let accepted = suite
        .siblings
        .children(message, "message.accepted")
        .remove(0)
        .event
        .expect("an event");
    let Some(outeract_proto::tracking::v1::event::Payload::Status(payload)) = accepted.payload else {
        panic!("no status")
    };
    assert_eq!(
        payload.external_message_id,
        suite.ledger().await[0].wamid,
        "made anew from what is stored"
    );
}

#[tokio::test]
async fn without_the_connection_service_known_callers_and_tokens_go_on() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("sent");
    suite.siblings.state.connection_away.store(true, Ordering::Relaxed);
    for index in 0..10 {
        let answer = client
            .send_message(request(number, &recipient(index)))
            .await
            .expect("sent")
            .into_inner();
        assert!(answer.status.is_some_and(|status| status.success));
    }
    assert_eq!(
        suite.siblings.state.tokens_asked.load(Ordering::Relaxed),
        1,
        "asked for once"
    );
}

#[tokio::test]
async fn without_a_token_messages_wait_until_there_is_one() {
    let suite = Suite::new().await;
    suite.siblings.state.tokens.lock().expect("tokens").clear();
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let started = Instant::now();
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    assert!(answer.status.clone().is_some_and(|status| status.pending));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(
        crate::suite::get(&client, id(&answer)).await.attempt,
        0,
        "nothing was tried"
    );
    suite.set_token(number, &number.token);
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
}

#[tokio::test]
async fn postgres_connections_that_break_at_any_moment_lose_and_double_nothing() {
    let mut suite = Suite::with_numbers(2).await;
    let proxy = FaultProxy::start(suite.database_address()).await;
    suite.reach_database_at(proxy.address());
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let broken = async {
        let random = SeededRandom::new(7);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(4) {
            let mut byte = [0; 2];
            random.fill(&mut byte);
            // Every connection breaks after so many bytes of answers: in the middle of one, or between a commit and its answer.
            proxy.reset_after(20 + usize::from(byte[0]) * 12);
            tokio::time::sleep(Duration::from_millis(20 + u64::from(byte[1]) / 4)).await;
        }
        proxy.heal();
    };
    let sends = async {
        let send = |index: usize| {
            let request = SendMessageRequest {
                wait: SendWait::Stored.into(),
                ..request(&suite.numbers[index % 2], &recipient(index))
            };
            let mut client = client.clone();
            async move {
                loop {
                    match client.send_message(request.clone()).await {
                        Ok(answer) => return id(&answer.into_inner()),
                        Err(refused) => assert!(
                            matches!(
                                refused.code(),
                                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted
                            ),
                            "{refused:?}"
                        ),
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        let sends = futures_util::stream::iter((0..400).map(send));
        futures_util::StreamExt::collect::<Vec<_>>(futures_util::StreamExt::buffer_unordered(sends, 16)).await
    };
    let ((), messages) = tokio::join!(broken, sends);
    assert_eq!(messages.iter().collect::<HashSet<_>>().len(), 400);
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.message")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count");
    assert_eq!(stored, 400, "one message for each key");
    // What was on its way when an answer was lost for good is not known, and not sent again.
    eventually(Duration::from_mins(1), async || {
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM messaging.queue WHERE phone_number_id > '' AND state <> 4")
                .fetch_one(suite.database.admin())
                .await
                .expect("a count");
        open == 0
    })
    .await;
    let unknown: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.queue WHERE state = 4")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count");
    let summary = suite.meta.summary().await.expect("a summary");
    assert!(summary.duplicates.is_empty(), "{:?}", summary.duplicates);
    assert!(summary.accepted + unknown as u64 >= 400);
    eventually(SOON, async || rows_left(&suite).await.1 == 0).await;
    assert_eq!(
        suite
            .siblings
            .state
            .events
            .lock()
            .expect("events")
            .keys()
            .filter(|id| messages.iter().any(|message| message.uuid() == **id))
            .count(),
        400
    );
}
