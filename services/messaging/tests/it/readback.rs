//! What was asked for is what is read back, from whoever tells of a message, while it waits and after it has ended.

use std::time::Duration;

use outeract_clock::{Clock as _, SystemClock};
use outeract_proto::messaging::v1::{
    Message, OnUnknown, Priority, ResolveUnknownRequest, SendMessageRequest, SendWait, SubmissionState,
    UnknownResolution,
};
use outeract_simulator::{Effect, Match};
use prost_types::Timestamp;

use crate::lifetime::cancel;
use crate::suite::{Suite, get, id, request};

/// What the sender chose of a message, as it is read back.
type Chosen = (Priority, Option<Timestamp>, bool, String);

fn chosen(message: &Message) -> Chosen {
    (
        message.priority(),
        message.send_time,
        message.sandbox,
        message.reply_to_external_message_id.clone(),
    )
}

fn in_an_hour() -> Timestamp {
    let at = SystemClock.now() + Duration::from_hours(1);
    Timestamp {
        seconds: at.unix_timestamp(),
        nanos: 0,
    }
}

#[tokio::test]
async fn what_the_sender_chose_is_read_back_while_a_message_waits_and_when_it_is_canceled() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let later = in_an_hour();
    let request = SendMessageRequest {
        wait: SendWait::Stored.into(),
        priority: Priority::Bulk.into(),
        send_time: Some(later),
        sandbox: true,
        reply_to_external_message_id: "wamid.asked".to_owned(),
        ..request(&suite.numbers[0], "+14155551234")
    };
    let stored = client.send_message(request).await.expect("stored").into_inner();
    let expected: Chosen = (Priority::Bulk, Some(later), true, "wamid.asked".to_owned());
    let waiting = get(&client, id(&stored)).await;
    assert_eq!(
        (waiting.state(), chosen(&waiting)),
        (SubmissionState::Queued, expected.clone())
    );
    let canceled = cancel(&client, id(&stored)).await.expect("canceled");
    assert_eq!(
        (canceled.state(), chosen(&canceled)),
        (SubmissionState::Canceled, expected)
    );
    assert_eq!(get(&client, id(&stored)).await, canceled);
}

#[tokio::test]
async fn what_the_sender_chose_is_read_back_after_the_message_was_sent() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    // What is left to the content has a class, too.
    let plain = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("sent");
    let plain = suite
        .reaches(&client, id(&plain.into_inner()), SubmissionState::Accepted)
        .await;
    assert_eq!(chosen(&plain), (Priority::Normal, None, false, String::new()));

    let later = in_an_hour();
    suite.pause(&instance, number, true).await;
    let request = SendMessageRequest {
        wait: SendWait::Stored.into(),
        priority: Priority::Urgent.into(),
        send_time: Some(later),
        reply_to_external_message_id: plain.external_message_id.clone(),
        ..request(number, "+14155551234")
    };
    let stored = client.send_message(request).await.expect("stored").into_inner();
    suite.database.advance(time::Duration::minutes(61)).await;
    suite.pause(&instance, number, false).await;
    let sent = suite.reaches(&client, id(&stored), SubmissionState::Accepted).await;
    assert_eq!(
        chosen(&sent),
        (Priority::Urgent, Some(later), false, plain.external_message_id)
    );
}

#[tokio::test]
async fn what_the_sender_chose_is_read_back_from_a_decision_about_an_unknown_outcome() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let lost = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(lost, Effect::ResponseLost).await.expect("added");
    let request = SendMessageRequest {
        wait: SendWait::Stored.into(),
        priority: Priority::Bulk.into(),
        on_unknown: OnUnknown::Hold.into(),
        reply_to_external_message_id: "wamid.asked".to_owned(),
        ..request(&suite.numbers[0], "+14155551234")
    };
    let stored = client.send_message(request).await.expect("stored").into_inner();
    suite.reaches(&client, id(&stored), SubmissionState::Unknown).await;
    let decision = ResolveUnknownRequest {
        id: stored.id.clone(),
        attempt: 1,
        resolution: UnknownResolution::Fail.into(),
    };
    let answer = client.resolve_unknown(decision).await.expect("resolved").into_inner();
    let failed = answer.message.expect("a message");
    let expected: Chosen = (Priority::Bulk, None, false, "wamid.asked".to_owned());
    assert_eq!((failed.state(), chosen(&failed)), (SubmissionState::Failed, expected));
    assert_eq!(get(&client, id(&stored)).await, failed);
}
