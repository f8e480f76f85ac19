//! Messages that end before Meta has them: their time ran out, or their sender took them back.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use outeract_clock::{Clock as _, SystemClock, SystemRandom};
use outeract_domain::{ApplicationId, EventId, KeyId};
use outeract_events::timestamp::to_proto;
use outeract_proto::messaging::v1::{
    CancelMessageRequest, Message, OnUnknown, SendMessageRequest, SendWait, SubmissionState,
};
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{KeyText, reason};
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::instance::Client;
use crate::suite::{Number, SOON, Suite, get, id, message_of, recipient, request, status_of};

pub(crate) async fn cancel(client: &Client, id: EventId) -> Result<Message, Status> {
    let answer = client
        .clone()
        .cancel_message(CancelMessageRequest { id: id.to_string() })
        .await?;
    Ok(answer.into_inner().message.expect("a message"))
}

/// A fact in a refusal's `ErrorInfo`.
pub(crate) fn fact(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info()?.metadata.get(key).cloned()
}

/// Stores a message that may wait for so long.
async fn store_for(client: &mut Client, number: &Number, to: &str, lifetime: Duration) -> EventId {
    let request = SendMessageRequest {
        wait: SendWait::Stored.into(),
        expire_time: Some(to_proto(SystemClock.now() + lifetime)),
        ..request(number, to)
    };
    id(&client.send_message(request).await.expect("stored").into_inner())
}

async fn told(suite: &Suite, message: EventId, event_type: &str) -> Payload {
    eventually(SOON, async || {
        suite.siblings.children(message.uuid(), event_type).len() == 1
    })
    .await;
    let child = suite.siblings.children(message.uuid(), event_type).remove(0);
    child.event.and_then(|event| event.payload).expect("a payload")
}

#[tokio::test]
async fn a_message_that_could_not_be_sent_in_time_expires_and_is_never_sent() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.pause(&instance, number, true).await;
    let message = store_for(&mut client, number, "+14155551234", Duration::from_mins(1)).await;
    let patient = suite.store(&mut client, number, "+14155551235").await;
    let waiting = get(&client, message).await;
    assert!(waiting.expire_time.is_some());
    suite.database.advance(time::Duration::seconds(61)).await;
    let expired = suite.reaches(&client, message, SubmissionState::Expired).await;
    assert_eq!((expired.attempt, expired.error, expired.obstacles.len()), (0, None, 0));
    let Payload::Status(payload) = told(&suite, message, "message.expired").await else {
        panic!("no status")
    };
    assert_eq!(
        (payload.status.as_str(), payload.attempt, payload.error),
        ("expired", 0, None)
    );
    suite.pause(&instance, number, false).await;
    suite.reaches(&client, patient, SubmissionState::Accepted).await;
    let sent: Vec<_> = suite.ledger().await.iter().map(message_of).collect();
    assert_eq!(sent, [patient.uuid()]);
}

#[tokio::test]
async fn an_expired_message_tells_why_its_last_try_failed() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    // A payment problem: the message waits five minutes for its next try.
    let parked = Effect::Error {
        code: 131_042,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite.meta.fault(Match::default(), parked).await.expect("added");
    let message = store_for(&mut client, &suite.numbers[0], "+14155551234", Duration::from_mins(1)).await;
    suite
        .message_when(&client, message, |message| message.error.is_some())
        .await;
    suite.database.advance(time::Duration::seconds(61)).await;
    let expired = suite.reaches(&client, message, SubmissionState::Expired).await;
    let error = expired.error.expect("an error");
    assert_eq!(
        (error.reason.as_str(), error.meta_code, error.retryable),
        ("PAYMENT_PROBLEM", 131_042, false)
    );
    let Payload::Status(payload) = told(&suite, message, "message.expired").await else {
        panic!("no status")
    };
    assert_eq!(payload.error, Some(error));
}

#[tokio::test]
async fn a_message_that_may_have_been_accepted_does_not_expire() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let lost = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(lost, Effect::ResponseLost).await.expect("added");
    let request = SendMessageRequest {
        wait: SendWait::Stored.into(),
        on_unknown: OnUnknown::Resend.into(),
        ..request(number, "+14155551234")
    };
    let answer = client.clone().send_message(request).await.expect("stored").into_inner();
    let message = id(&answer);
    suite.reaches(&client, message, SubmissionState::Unknown).await;
    // Nothing is sent any more: the resend that the policy orders waits until its time has run out.
    suite.pause(&instance, number, true).await;
    suite.quiet(&instance, time::Duration::minutes(11)).await;
    suite.reaches(&client, message, SubmissionState::Queued).await;
    suite.database.advance(time::Duration::hours(25)).await;
    let doubted = suite.reaches(&client, message, SubmissionState::Unknown).await;
    assert_eq!(doubted.attempt, 1);
    assert!(suite.siblings.children(message.uuid(), "message.expired").is_empty());
    // Evidence settles it, as ever.
    let accepted = suite.ledger().await.remove(0);
    suite.status(&instance, number, status_of(&accepted, "delivered")).await;
    suite.reaches(&client, message, SubmissionState::Accepted).await;
}

#[tokio::test]
async fn a_message_is_taken_back_once_and_for_all() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.pause(&instance, number, true).await;
    let message = suite.store(&mut client, number, "+14155551234").await;
    let next = suite.store(&mut client, number, "+14155551234").await;
    for _ in 0..2 {
        let canceled = cancel(&client, message).await.expect("canceled");
        assert_eq!(
            (canceled.state(), canceled.attempt, canceled.error),
            (SubmissionState::Canceled, 0, None)
        );
    }
    told(&suite, message, "message.canceled").await;
    suite.pause(&instance, number, false).await;
    suite.reaches(&client, next, SubmissionState::Accepted).await;
    let sent: Vec<_> = suite.ledger().await.iter().map(message_of).collect();
    assert_eq!(sent, [next.uuid()]);

    let refused = cancel(&client, next).await.expect_err("accepted already");
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::FailedPrecondition, Some(ErrorReason::MessageNotCancelable))
    );
    assert_eq!(fact(&refused, "state").as_deref(), Some("ACCEPTED"));
}

#[tokio::test]
async fn only_its_own_application_takes_a_message_back() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.pause(&instance, number, true).await;
    let message = suite.store(&mut client, number, "+14155551234").await;
    let other = ApplicationId::new(&SystemClock, &SystemRandom);
    let key_id = KeyId::new(&SystemClock, &SystemRandom);
    let (key, _) = KeyText::generate("test", key_id, &SystemRandom);
    let keys = &suite.siblings.state.keys;
    keys.lock().expect("keys").insert(key_id.uuid(), other.uuid());
    let foreign = cancel(&instance.client(&key).await, message)
        .await
        .expect_err("not theirs");
    let absent = EventId::new(&SystemClock, &SystemRandom);
    let missing = cancel(&client, absent).await.expect_err("absent");
    for status in [&foreign, &missing] {
        assert_eq!(
            (status.code(), reason(status), status.message()),
            (Code::NotFound, Some(ErrorReason::NotFound), "message not found")
        );
    }
    let broken = client
        .clone()
        .cancel_message(CancelMessageRequest { id: "evt_1".to_owned() })
        .await
        .expect_err("no id");
    assert_eq!(
        (broken.code(), reason(&broken)),
        (Code::InvalidArgument, Some(ErrorReason::InvalidField))
    );
    assert_eq!(get(&client, message).await.state(), SubmissionState::Queued);
}

#[tokio::test]
async fn a_resend_that_waits_is_called_off_by_a_cancel_that_is_refused() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let lost = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(lost, Effect::ResponseLost).await.expect("added");
    let request = SendMessageRequest {
        wait: SendWait::Stored.into(),
        on_unknown: OnUnknown::Resend.into(),
        ..request(number, "+14155551234")
    };
    let answer = client.clone().send_message(request).await.expect("stored").into_inner();
    let message = id(&answer);
    suite.reaches(&client, message, SubmissionState::Unknown).await;
    suite.pause(&instance, number, true).await;
    suite.quiet(&instance, time::Duration::minutes(11)).await;
    suite.reaches(&client, message, SubmissionState::Queued).await;
    let refused = cancel(&client, message).await.expect_err("it may have arrived");
    assert_eq!(reason(&refused), Some(ErrorReason::MessageNotCancelable));
    assert_eq!(fact(&refused, "state").as_deref(), Some("UNKNOWN"));
    suite.pause(&instance, number, false).await;
    // Its policy has resent it once in vain: now it is held.
    suite.quiet(&instance, time::Duration::seconds(20)).await;
    suite.message_when(&client, message, |message| message.held).await;
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn of_many_cancels_and_sends_at_the_same_time_each_message_is_either_canceled_or_sent() {
    const MESSAGES: usize = 240;
    let suite = Suite::with_numbers(4).await;
    let (one, other) = (suite.start().await, suite.start().await);
    let clients = [one.client(&suite.key).await, other.client(&suite.key).await];
    let slow = Effect::Latency {
        before_ms: 0,
        after_ms: 5,
        jitter_ms: 20,
    };
    suite.meta.fault(Match::default(), slow).await.expect("added");
    // Three to a recipient: some wait behind others, some are on their way, some have ended when the cancel comes.
    let each = (0..MESSAGES).map(|index| {
        let (suite, clients) = (&suite, &clients);
        async move {
            let number = &suite.numbers[index % 4];
            let message = suite
                .store(
                    &mut clients[index % 2].clone(),
                    number,
                    &recipient(index % (MESSAGES / 3)),
                )
                .await;
            // Some sooner, some later: after so many looks at it.
            for _ in 0..index % 7 {
                get(&clients[index % 2], message).await;
            }
            let twice = futures_util::future::join_all(clients.iter().map(|client| cancel(client, message))).await;
            (message, twice)
        }
    });
    let all = futures_util::future::join_all(each).await;
    let mut canceled = HashSet::new();
    for (message, answers) in &all {
        for answer in answers {
            match answer {
                Ok(answer) => {
                    assert_eq!(answer.state(), SubmissionState::Canceled);
                    canceled.insert(message.uuid());
                }
                Err(refused) => assert_eq!(
                    (refused.code(), reason(refused)),
                    (Code::FailedPrecondition, Some(ErrorReason::MessageNotCancelable))
                ),
            }
        }
    }
    let sent = MESSAGES - canceled.len();
    assert!(!canceled.is_empty() && sent > 0, "{} canceled", canceled.len());
    eventually(SOON, async || suite.ledger().await.len() == sent).await;
    let mut times: HashMap<_, usize> = HashMap::new();
    for accepted in suite.ledger().await {
        *times.entry(message_of(&accepted)).or_default() += 1;
    }
    for (message, _) in &all {
        let state = get(&clients[0], *message).await.state();
        let sent = times.get(&message.uuid()).copied().unwrap_or_default();
        if canceled.contains(&message.uuid()) {
            assert_eq!((state, sent), (SubmissionState::Canceled, 0));
        } else {
            assert_eq!((state, sent), (SubmissionState::Accepted, 1));
        }
    }
    for message in canceled {
        eventually(SOON, async || {
            suite.siblings.children(message, "message.canceled").len() == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_caller_that_waits_for_a_message_that_is_canceled_is_told_so() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    // The number sends one message a second: the second caller waits for its turn.
    suite
        .change(&instance, number, |connection| connection.throughput_per_second = 1)
        .await;
    let sends = (0..3).map(|index| {
        let (mut client, request) = (client.clone(), request(number, &recipient(index)));
        async move { client.send_message(request).await.expect("stored").into_inner() }
    });
    let sends = futures_util::future::join_all(sends);
    let cancels = async {
        let mut found = Vec::new();
        eventually(SOON, async || {
            found =
                sqlx::query_scalar("SELECT message_id FROM messaging.queue WHERE phone_number_id = $1 AND state = 1")
                    .bind(&number.id)
                    .fetch_all(suite.database.admin())
                    .await
                    .expect("rows");
            !found.is_empty()
        })
        .await;
        for message in found {
            // Those that are given to Meta meanwhile stay.
            let _ = cancel(&client, EventId::from_uuid(message)).await;
        }
    };
    let (answers, ()) = tokio::join!(sends, cancels);
    for answer in answers {
        let state = answer.status.as_ref().expect("a status").state();
        let now = get(&client, id(&answer)).await.state();
        assert!(
            state == now || state == SubmissionState::Queued,
            "told {state:?}, and it is {now:?}"
        );
    }
}
