//! Order per recipient.

use std::time::Duration;

use outeract_proto::messaging::v1::SubmissionState;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;

use crate::suite::{SOON, Suite, message_of, recipient, request};

#[tokio::test]
async fn messages_to_one_recipient_are_sent_in_the_order_of_acceptance() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let slow = Effect::Latency {
        before_ms: 0,
        after_ms: 5,
        jitter_ms: 20,
    };
    suite.meta.fault(Match::default(), slow).await.expect("added");
    let mut order = [Vec::new(), Vec::new(), Vec::new()];
    for turn in 0..30 {
        let message = suite.store(&mut client, number, &recipient(turn % 3)).await;
        order[turn % 3].push(message.uuid());
    }
    eventually(SOON, async || suite.ledger().await.len() == 30).await;
    let ledger = suite.ledger().await;
    for (contact, expected) in order.iter().enumerate() {
        let sent: Vec<_> = ledger
            .iter()
            .filter(|accepted| accepted.to == recipient(contact))
            .map(message_of)
            .collect();
        assert_eq!(sent, *expected);
    }
}

#[tokio::test]
async fn a_head_that_waits_for_its_own_reason_is_stepped_over_after_a_while() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    // A payment problem: the message waits five minutes, its number does not.
    let parked = Effect::Error {
        code: 131_042,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite
        .meta
        .fault(
            Match {
                count: Some(1),
                ..Match::default()
            },
            parked,
        )
        .await
        .expect("added");
    let head = suite.store(&mut client, number, "+14155551234").await;
    suite
        .message_when(&client, head, |message| message.error.is_some())
        .await;
    let started = std::time::Instant::now();
    let next = suite.store(&mut client, number, "+14155551234").await;
    let other = suite.store(&mut client, number, "+14155551235").await;
    suite.reaches(&client, other, SubmissionState::Accepted).await;
    suite.reaches(&client, next, SubmissionState::Accepted).await;
    // Two seconds in these tests, from the head's refusal on.
    assert!(
        started.elapsed() > Duration::from_millis(1_200),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(crate::suite::get(&client, head).await.state(), SubmissionState::Queued);
}

#[tokio::test]
async fn an_unknown_outcome_holds_its_recipient_up_for_a_while_and_nobody_else() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite
        .meta
        .fault(
            Match {
                count: Some(1),
                ..Match::default()
            },
            Effect::ResponseLost,
        )
        .await
        .expect("added");
    let first = suite.store(&mut client, number, "+14155551234").await;
    suite.reaches(&client, first, SubmissionState::Unknown).await;
    let next = suite.store(&mut client, number, "+14155551234").await;
    let other = suite.store(&mut client, number, "+14155551235").await;
    suite.reaches(&client, other, SubmissionState::Accepted).await;
    assert_eq!(crate::suite::get(&client, next).await.state(), SubmissionState::Queued);
    suite.reaches(&client, next, SubmissionState::Accepted).await;
    assert_eq!(
        crate::suite::get(&client, first).await.state(),
        SubmissionState::Unknown
    );
}

#[tokio::test]
async fn who_waits_behind_another_is_told_at_once() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let slow = Effect::Latency {
        before_ms: 1_500,
        after_ms: 0,
        jitter_ms: 0,
    };
    suite
        .meta
        .fault(
            Match {
                count: Some(1),
                ..Match::default()
            },
            slow,
        )
        .await
        .expect("added");
    suite.store(&mut client, number, "+14155551234").await;
    let started = std::time::Instant::now();
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    assert!(answer.status.is_some_and(|status| status.pending));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
