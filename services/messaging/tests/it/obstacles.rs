//! `GetMessage` names everything that a message waits for.

use std::time::Duration;

use outeract_clock::{Clock as _, SystemClock};
use outeract_domain::EventId;
use outeract_events::timestamp::to_proto;
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::messaging::v1::{SendMessageRequest, SendWait, SubmissionState};
use outeract_simulator::{Effect, Match};

use crate::instance::Client;
use crate::suite::{Suite, get, id, recipient, request};

/// The reasons, and whether each tells a time.
async fn reasons(client: &Client, message: EventId) -> Vec<(String, bool)> {
    let message = get(client, message).await;
    let obstacles = message.obstacles.into_iter();
    obstacles
        .map(|obstacle| {
            assert!(!obstacle.message.is_empty() && !obstacle.refuses);
            (obstacle.reason, obstacle.retry_time.is_some())
        })
        .collect()
}

fn of(reason: &str, timed: bool) -> (String, bool) {
    (reason.to_owned(), timed)
}

#[tokio::test]
async fn a_message_tells_of_its_connection_its_time_and_those_before_it() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.pause(&instance, number, true).await;
    let first = suite.store(&mut client, number, "+14155551234").await;
    let later = SendMessageRequest {
        wait: SendWait::Stored.into(),
        send_time: Some(to_proto(SystemClock.now() + Duration::from_hours(1))),
        ..request(number, "+14155551234")
    };
    let later = id(&client.send_message(later).await.expect("stored").into_inner());
    let last = suite.store(&mut client, number, "+14155551234").await;
    assert_eq!(reasons(&client, first).await, [of("CONNECTION_PAUSED", false)]);
    assert_eq!(
        reasons(&client, later).await,
        [
            of("CONNECTION_PAUSED", false),
            of("SCHEDULED", true),
            of("WAITING_FOR_EARLIER_MESSAGE", false)
        ]
    );
    assert_eq!(
        reasons(&client, last).await,
        [of("CONNECTION_PAUSED", false), of("WAITING_FOR_EARLIER_MESSAGE", false)]
    );
    suite
        .change(&instance, number, |connection| {
            connection.state = ConnectionState::NeedsReauth.into();
        })
        .await;
    assert_eq!(reasons(&client, first).await, [of("CONNECTION_NOT_ACTIVE", false)]);
    suite
        .change(&instance, number, |connection| {
            connection.state = ConnectionState::Active.into();
            connection.paused = false;
        })
        .await;
    // The message for later holds nobody up.
    suite.reaches(&client, last, SubmissionState::Accepted).await;
    assert_eq!(reasons(&client, later).await, [of("SCHEDULED", true)]);
    assert!(reasons(&client, first).await.is_empty());
}

#[tokio::test]
async fn a_refused_message_tells_why_and_until_when_and_those_behind_it_that_they_wait() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let parked = Effect::Error {
        code: 131_042,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    let once = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(once, parked).await.expect("added");
    let first = suite.store(&mut client, number, "+14155551234").await;
    let refused = suite
        .message_when(&client, first, |message| message.error.is_some())
        .await;
    assert_eq!(reasons(&client, first).await, [of("PAYMENT_PROBLEM", true)]);
    assert_eq!(refused.obstacles[0].retry_time, refused.next_attempt_time);
    let next = suite.store(&mut client, number, "+14155551234").await;
    let obstacles = reasons(&client, next).await;
    assert!(
        obstacles == [of("WAITING_FOR_EARLIER_MESSAGE", false)] || obstacles.is_empty(),
        "{obstacles:?}"
    );
    suite.reaches(&client, next, SubmissionState::Accepted).await;
    assert_eq!(reasons(&client, first).await, [of("PAYMENT_PROBLEM", true)]);
}

#[tokio::test]
async fn a_message_behind_an_unknown_outcome_tells_until_when() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let once = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(once, Effect::ResponseLost).await.expect("added");
    let first = suite.store(&mut client, number, "+14155551234").await;
    suite.reaches(&client, first, SubmissionState::Unknown).await;
    let next = suite.store(&mut client, number, "+14155551234").await;
    let obstacles = reasons(&client, next).await;
    assert!(
        obstacles == [of("WAITING_FOR_EARLIER_MESSAGE", true)] || obstacles.is_empty(),
        "{obstacles:?}"
    );
    assert!(reasons(&client, first).await.is_empty(), "it waits for Meta only");
    suite.reaches(&client, next, SubmissionState::Accepted).await;
}

#[tokio::test]
async fn a_message_with_nothing_else_in_its_way_waits_for_its_turn() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite
        .change(&instance, number, |connection| connection.throughput_per_second = 1)
        .await;
    let mut messages = Vec::new();
    for index in 0..6 {
        messages.push(suite.store(&mut client, number, &recipient(index)).await);
    }
    let last = messages.pop().expect("a message");
    assert_eq!(reasons(&client, last).await, [of("WAITING_FOR_TURN", false)]);
    suite.reaches(&client, last, SubmissionState::Accepted).await;
}
