//! Accounts that Meta restricts, and calls that open windows.

use outeract_clock::{Clock as _, SystemClock};
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{AccountItem, ItemOutcome};
use outeract_proto::messaging::v1::{
    GetConversationWindowRequest, SendTypingIndicatorRequest, SubmissionState, ValidateMessageRequest,
    send_typing_indicator_request,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use serde_json::{Value, json};

use crate::suite::{Suite, get, recipient, request};

/// Calls, told now.
fn calls(value: &Value) -> Kind {
    Kind::Account(AccountItem {
        field: "calls".to_owned(),
        value_json: value.to_string().into_bytes(),
        receive_time: None,
    })
}

#[tokio::test]
async fn messages_wait_while_the_account_is_restricted_and_go_out_when_it_is_not() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    // The account's templates are read at the start: that is not counted.
    suite.templates_known().await;
    suite
        .change(&instance, number, |connection| {
            connection.state = ConnectionState::Restricted.into();
        })
        .await;
    let calls = suite.meta.stats().await.expect("stats").calls;
    let asked = ValidateMessageRequest {
        message: Some(request(number, "+14155551234")),
    };
    let foreseen = client.validate_message(asked).await.expect("read").into_inner();
    assert!(foreseen.storable);
    assert_eq!(foreseen.obstacles[0].reason, "CONNECTION_NOT_ACTIVE");
    // The caller is answered at once, with what it waits for.
    let answer = client.send_message(request(number, "+14155551234")).await;
    let answer = answer.expect("stored").into_inner();
    assert!(
        answer
            .status
            .as_ref()
            .is_some_and(|status| status.pending && !status.success)
    );
    let message = crate::suite::id(&answer);
    let shown = get(&client, message).await;
    assert_eq!(shown.state(), SubmissionState::Queued);
    assert_eq!(shown.obstacles.len(), 1);
    assert_eq!(shown.obstacles[0].reason, "CONNECTION_NOT_ACTIVE");
    assert!(
        shown.obstacles[0].message.contains("restricted"),
        "{}",
        shown.obstacles[0].message
    );
    assert_eq!(
        suite.meta.stats().await.expect("stats").calls,
        calls,
        "Meta is not called"
    );

    suite
        .change(&instance, number, |connection| {
            connection.state = ConnectionState::Active.into();
        })
        .await;
    suite.reaches(&client, message, SubmissionState::Accepted).await;
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn an_account_that_may_begin_nothing_still_answers() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.templates_known().await;
    suite.wrote(number, &recipient(1), None).await;
    suite
        .change(&instance, number, |connection| {
            connection.restricted_outside_windows = true;
        })
        .await;
    let waits = suite.store_order(&mut client, number, &recipient(1)).await;
    let answer = suite.store(&mut client, number, &recipient(2)).await;
    let template = suite.store_order(&mut client, number, &recipient(3)).await;
    for sent in [answer, template] {
        suite.reaches(&client, sent, SubmissionState::Accepted).await;
    }
    let waiting = suite
        .message_when(&client, waits, |message| message.error.is_some())
        .await;
    assert_eq!((waiting.state(), waiting.attempt), (SubmissionState::Queued, 0));
    assert_eq!(waiting.obstacles[0].reason, "ACCOUNT_RESTRICTED");
    assert_eq!(suite.ledger().await.len(), 2);

    suite
        .change(&instance, number, |connection| {
            connection.restricted_outside_windows = false;
        })
        .await;
    suite.database.advance(time::Duration::minutes(5)).await;
    suite.reaches(&client, waits, SubmissionState::Accepted).await;
}

#[tokio::test]
async fn a_call_from_a_user_opens_the_window_and_one_of_the_business_does_not() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let user = recipient(1);
    suite.wrote(number, &user, None).await;
    let at = SystemClock.now().unix_timestamp() - 60;
    let call = |event: &str, direction: &str| {
        let call = json!({"id": "wacid.1", "from": user.trim_start_matches('+'), "event": event, "direction": direction, "timestamp": at.to_string()});
        json!({"metadata": {"phone_number_id": number.id}, "calls": [call]})
    };
    let apply = async |value: &Value| suite.apply(&instance, number, calls(value)).await;
    for silent in [
        call("terminate", "USER_INITIATED"),
        call("connect", "BUSINESS_INITIATED"),
    ] {
        assert_eq!(apply(&silent).await.outcome(), ItemOutcome::Applied);
    }
    let refused = client.send_message(request(number, &user)).await.expect_err("closed");
    assert_eq!(reason(&refused), Some(ErrorReason::OutsideMessagingWindow));

    assert_eq!(
        apply(&call("connect", "USER_INITIATED")).await.outcome(),
        ItemOutcome::Applied
    );
    let window = GetConversationWindowRequest {
        connection_id: number.connection.to_string(),
        to_external_id: user.clone(),
    };
    let window = client.get_conversation_window(window).await.expect("read").into_inner();
    assert!(window.open);
    assert_eq!(window.last_inbound_time.map(|time| time.seconds), Some(at));
    client
        .send_message(request(number, &user))
        .await
        .expect("within the window");
    // A call is nothing that could be marked as read.
    let typing = SendTypingIndicatorRequest {
        connection_id: number.connection.to_string(),
        to: Some(send_typing_indicator_request::To::ToExternalId(user.clone())),
    };
    let nothing = client.send_typing_indicator(typing).await.expect_err("no message");
    assert_eq!(reason(&nothing), Some(ErrorReason::NoInboundMessage));

    let broken = json!({"calls": [{"event": "connect", "direction": "USER_INITIATED"}]});
    assert_eq!(apply(&broken).await.outcome(), ItemOutcome::Refused);
}

#[tokio::test]
async fn a_call_leaves_the_last_message_to_be_read() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let number = &suite.numbers[0];
    let user = recipient(2);
    let wamids = async || {
        let rows: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT last_wamid_sealed FROM messaging.service_window ORDER BY contact_id")
                .fetch_all(suite.database.admin())
                .await
                .expect("rows");
        rows
    };
    let before = wamids().await;
    let at = SystemClock.now().unix_timestamp();
    let call = json!({"id": "wacid.1", "from": user.trim_start_matches('+'), "event": "connect", "timestamp": at});
    let value = json!({"metadata": {"phone_number_id": number.id}, "calls": [call]});
    let applied = suite.apply(&instance, number, calls(&value)).await;
    assert_eq!(applied.outcome(), ItemOutcome::Applied);
    assert_eq!(wamids().await, before);
}
