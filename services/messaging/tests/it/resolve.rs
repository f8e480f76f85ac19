//! Decisions about outcomes that nobody knows.

use outeract_domain::EventId;
use outeract_proto::messaging::v1::{
    Message, OnUnknown, ResolveUnknownRequest, SendMessageRequest, SendWait, SubmissionState, UnknownResolution,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use tonic::{Code, Status};

use crate::instance::{Client, Instance};
use crate::lifetime::fact;
use crate::suite::{SOON, Suite, get, id, request, status_of};

async fn resolve(client: &Client, id: EventId, attempt: i32, resolution: UnknownResolution) -> Result<Message, Status> {
    let request = ResolveUnknownRequest {
        id: id.to_string(),
        attempt,
        resolution: resolution.into(),
    };
    let answer = client.clone().resolve_unknown(request).await?;
    Ok(answer.into_inner().message.expect("a message"))
}

/// A message that Meta accepted without our learning it, so many times.
async fn lost(suite: &Suite, client: &Client, times: u64) -> EventId {
    let lost = Match {
        count: Some(times),
        ..Match::default()
    };
    suite.meta.fault(lost, Effect::ResponseLost).await.expect("added");
    let request = SendMessageRequest {
        wait: SendWait::Stored.into(),
        on_unknown: OnUnknown::Hold.into(),
        ..request(&suite.numbers[0], "+14155551234")
    };
    let answer = client.clone().send_message(request).await.expect("stored").into_inner();
    suite.reaches(client, id(&answer), SubmissionState::Unknown).await;
    id(&answer)
}

async fn held(suite: &Suite, instance: &Instance, client: &Client, message: EventId) -> Message {
    suite.quiet(instance, time::Duration::minutes(11)).await;
    suite.message_when(client, message, |message| message.held).await
}

#[tokio::test]
async fn a_held_message_is_sent_once_more_and_a_second_acceptance_is_counted() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let message = lost(&suite, &client, 1).await;
    let waiting = held(&suite, &instance, &client, message).await;
    let reasons: Vec<_> = waiting
        .obstacles
        .iter()
        .map(|obstacle| obstacle.reason.as_str())
        .collect();
    assert_eq!(reasons, ["HELD"]);
    let resent = resolve(&client, message, 1, UnknownResolution::Resend)
        .await
        .expect("resolved");
    assert!(!resent.held);
    let accepted = suite.reaches(&client, message, SubmissionState::Accepted).await;
    assert_eq!((accepted.attempt, accepted.duplicate_count), (2, 0));
    // What was lost comes to light: two acceptances, one of them counted as a duplicate.
    let ledger = suite.ledger().await;
    assert_eq!(ledger.len(), 2);
    for accepted in &ledger {
        suite
            .status(&instance, &suite.numbers[0], status_of(accepted, "delivered"))
            .await;
    }
    assert_eq!(get(&client, message).await.duplicate_count, 1);
    let refused = resolve(&client, message, 2, UnknownResolution::Fail)
        .await
        .expect_err("it is accepted");
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::FailedPrecondition, Some(ErrorReason::OutcomeNotUnknown))
    );
    assert_eq!(fact(&refused, "state").as_deref(), Some("ACCEPTED"));
}

#[tokio::test]
async fn a_decision_may_come_before_the_policys_and_late_evidence_still_turns_it_round() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let message = lost(&suite, &client, 1).await;
    for _ in 0..2 {
        let failed = resolve(&client, message, 1, UnknownResolution::Fail)
            .await
            .expect("resolved");
        let error = failed.error.clone().expect("an error");
        assert_eq!(
            (failed.state(), error.reason.as_str(), failed.held),
            (SubmissionState::Failed, "OUTCOME_UNKNOWN", false)
        );
    }
    eventually(SOON, async || {
        suite.siblings.children(message.uuid(), "message.failed").len() == 1
    })
    .await;
    let accepted = suite.ledger().await.remove(0);
    suite
        .status(&instance, &suite.numbers[0], status_of(&accepted, "sent"))
        .await;
    let turned = suite.reaches(&client, message, SubmissionState::Accepted).await;
    assert_eq!((turned.error, turned.duplicate_count), (None, 0));
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_decision_about_an_older_attempt_is_refused() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let message = lost(&suite, &client, 2).await;
    resolve(&client, message, 1, UnknownResolution::Resend)
        .await
        .expect("resolved");
    suite
        .message_when(&client, message, |message| {
            message.attempt == 2 && message.state() == SubmissionState::Unknown
        })
        .await;
    for resolution in [UnknownResolution::Resend, UnknownResolution::Fail] {
        let refused = resolve(&client, message, 1, resolution).await.expect_err("superseded");
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::Aborted, Some(ErrorReason::AttemptSuperseded))
        );
        assert_eq!(fact(&refused, "attempt").as_deref(), Some("2"));
    }
    assert_eq!(suite.ledger().await.len(), 2);
    let failed = resolve(&client, message, 2, UnknownResolution::Fail)
        .await
        .expect("resolved");
    assert_eq!((failed.state(), failed.attempt), (SubmissionState::Failed, 2));
}

#[tokio::test]
async fn the_same_decision_by_many_at_a_time_sends_once_more() {
    let suite = Suite::with_numbers(2).await;
    let (one, other) = (suite.start().await, suite.start().await);
    let clients = [one.client(&suite.key).await, other.client(&suite.key).await];
    let message = lost(&suite, &clients[0], 1).await;
    let decisions = (0..16).map(|index| resolve(&clients[index % 2], message, 1, UnknownResolution::Resend));
    for answer in futures_util::future::join_all(decisions).await {
        if let Err(refused) = answer {
            // Whoever came late saw it on its way, or accepted.
            let reason = reason(&refused);
            assert!(
                matches!(
                    reason,
                    Some(ErrorReason::AttemptSuperseded | ErrorReason::OutcomeNotUnknown)
                ),
                "{reason:?}"
            );
        }
    }
    suite.reaches(&clients[0], message, SubmissionState::Accepted).await;
    assert_eq!(suite.ledger().await.len(), 2);
}

#[tokio::test]
async fn what_is_not_unknown_or_not_there_is_not_decided_about() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    suite.pause(&instance, &suite.numbers[0], true).await;
    let message = suite.store(&mut client, &suite.numbers[0], "+14155551234").await;
    let refused = resolve(&client, message, 1, UnknownResolution::Resend)
        .await
        .expect_err("it was never tried");
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::InvalidArgument, Some(ErrorReason::InvalidField))
    );
    let absent = EventId::new(&outeract_clock::SystemClock, &outeract_clock::SystemRandom);
    let missing = resolve(&client, absent, 1, UnknownResolution::Fail)
        .await
        .expect_err("absent");
    assert_eq!(
        (missing.code(), reason(&missing)),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    let broken = resolve(&client, message, 0, UnknownResolution::Unspecified)
        .await
        .expect_err("broken");
    assert_eq!(
        (broken.code(), reason(&broken)),
        (Code::InvalidArgument, Some(ErrorReason::InvalidField))
    );
    assert_eq!(get(&client, message).await.state(), SubmissionState::Queued);
}
