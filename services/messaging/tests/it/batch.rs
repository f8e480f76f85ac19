//! Many messages at a time, and messages that are only looked at.

use std::collections::HashSet;

use outeract_domain::EventId;
use outeract_proto::messaging::v1::batch_send_result::Result as Outcome;
use outeract_proto::messaging::v1::{
    BatchSendMessagesRequest, BatchSendResult, SendMessageRequest, SubmissionState, ValidateMessageRequest,
};
use outeract_testkit::eventually;
use tonic::Code;

use crate::instance::Client;
use crate::suite::{SOON, Suite, id, message_of, recipient, request};

async fn batch(client: &Client, messages: Vec<SendMessageRequest>) -> Vec<BatchSendResult> {
    let answer = client
        .clone()
        .batch_send_messages(BatchSendMessagesRequest { messages })
        .await;
    answer.expect("read").into_inner().results
}

/// The id of what was stored, or the reason why nothing was.
fn told(result: &BatchSendResult) -> Result<String, String> {
    match result.result.as_ref().expect("a result") {
        Outcome::Stored(stored) => Ok(stored.id.clone()),
        Outcome::Error(error) => Err(error.reason.clone()),
    }
}

/// Stores messages by one call; by more, under the same keys, where one has not enough time.
pub(crate) async fn store_all(client: &Client, messages: Vec<SendMessageRequest>) -> Vec<EventId> {
    let request = BatchSendMessagesRequest { messages };
    let results = loop {
        match client.clone().batch_send_messages(request.clone()).await {
            Ok(answer) => break answer.into_inner().results,
            Err(status) => assert_eq!(status.code(), Code::DeadlineExceeded, "{status}"),
        }
    };
    let ids = results.iter().map(|result| told(result).expect("stored"));
    ids.map(|id| id.parse().expect("an id")).collect()
}

#[tokio::test]
async fn each_message_of_a_batch_is_stored_or_refused_by_itself() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let mut messages: Vec<_> = (0..1_000)
        .map(|index| request(&suite.numbers[index % 2], &recipient(index)))
        .collect();
    messages[7].to_external_id = "14155551234".to_owned();
    messages[7].idempotency_key = String::new();
    messages[8].connection_id = outeract_domain::ConnectionId::from_uuid(uuid::Uuid::from_u128(1)).to_string();
    messages[9].idempotency_key = messages[10].idempotency_key.clone();
    let results = batch(&client, messages.clone()).await;
    assert_eq!(results.len(), 1_000);
    let ids: HashSet<_> = results.iter().filter_map(|result| told(result).ok()).collect();
    assert_eq!(ids.len(), 997);
    let Some(Outcome::Error(broken)) = &results[7].result else {
        unreachable!("two fields are broken")
    };
    let fields: Vec<_> = broken.field_violations.iter().map(|broken| &*broken.field).collect();
    assert_eq!(
        (broken.code, &*broken.reason),
        (Code::InvalidArgument as i32, "INVALID_FIELD")
    );
    assert_eq!(fields, ["idempotency_key", "to_external_id"]);
    assert!(!broken.retryable);
    assert_eq!(told(&results[8]), Err("NOT_FOUND".to_owned()));
    // Of two with one key the first is stored; the other asks for another recipient.
    assert!(told(&results[9]).is_ok());
    assert_eq!(told(&results[10]), Err("IDEMPOTENCY_KEY_REUSED".to_owned()));
    eventually(SOON, async || suite.ledger().await.len() == 997).await;

    // The same again stores nothing and tells how far each is.
    let again = batch(&client, messages).await;
    for (before, now) in results.iter().zip(&again) {
        assert_eq!(told(before), told(now));
        if let Some(Outcome::Stored(stored)) = &now.result {
            assert!(stored.replayed);
            let status = stored.status.as_ref().expect("a status");
            assert_ne!(status.state(), SubmissionState::Unspecified);
        }
    }
    assert_eq!(suite.ledger().await.len(), 997);
}

#[tokio::test]
async fn messages_of_a_batch_to_one_recipient_keep_their_order() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let messages = (0..40).map(|_| request(&suite.numbers[0], &recipient(1))).collect();
    let results = batch(&client, messages).await;
    let ids: Vec<_> = results.iter().map(|result| told(result).expect("stored")).collect();
    eventually(SOON, async || suite.ledger().await.len() == 40).await;
    let sent: Vec<_> = suite
        .ledger()
        .await
        .iter()
        .map(|accepted| outeract_domain::EventId::from_uuid(message_of(accepted)).to_string())
        .collect();
    assert_eq!(sent, ids);
}

#[tokio::test]
async fn a_batch_keeps_its_own_limits() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    for count in [0, 1_001] {
        let messages = (0..count)
            .map(|index| request(&suite.numbers[0], &recipient(index)))
            .collect();
        let refused = client.batch_send_messages(BatchSendMessagesRequest { messages }).await;
        assert_eq!(refused.expect_err("refused").code(), Code::InvalidArgument, "{count}");
    }
    assert_eq!(suite.ledger().await.len(), 0);
}

#[tokio::test]
async fn validation_tells_everything_and_stores_nothing() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let good = SendMessageRequest {
        idempotency_key: String::new(),
        ..request(&suite.numbers[0], &recipient(1))
    };
    let mut validate = async |message: &SendMessageRequest| {
        let asked = ValidateMessageRequest {
            message: Some(message.clone()),
        };
        client.validate_message(asked).await.expect("read").into_inner()
    };
    let answer = validate(&good).await;
    assert!(answer.storable && answer.obstacles.is_empty() && answer.field_violations.is_empty());

    let foreign = SendMessageRequest {
        connection_id: outeract_domain::ConnectionId::from_uuid(uuid::Uuid::from_u128(1)).to_string(),
        ..good.clone()
    };
    let answer = validate(&foreign).await;
    assert!(!answer.storable && answer.obstacles[0].refuses);
    assert_eq!(answer.obstacles[0].reason, "NOT_FOUND");

    let broken = SendMessageRequest {
        idempotency_key: "é".to_owned(),
        to_external_id: "1".to_owned(),
        ..good
    };
    let answer = validate(&broken).await;
    let fields: Vec<_> = answer.field_violations.iter().map(|broken| &*broken.field).collect();
    assert_eq!(fields, ["idempotency_key", "to_external_id"]);
    assert!(!answer.storable);

    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.message")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count");
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn a_message_for_later_waits_until_then() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let now: time::OffsetDateTime = sqlx::query_scalar("SELECT messaging.now_()")
        .fetch_one(suite.database.admin())
        .await
        .expect("a time");
    let later = SendMessageRequest {
        send_time: Some(prost_types::Timestamp {
            seconds: now.unix_timestamp() + 3_600,
            nanos: 0,
        }),
        ..request(&suite.numbers[0], &recipient(1))
    };
    let answer = client.send_message(later).await.expect("stored").into_inner();
    assert!(answer.status.as_ref().expect("a status").pending);
    // One that may go at once is not behind it.
    let at_once = client
        .send_message(request(&suite.numbers[0], &recipient(2)))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&at_once), SubmissionState::Accepted).await;
    let waiting = crate::suite::get(&client, id(&answer)).await;
    assert_eq!(waiting.state(), SubmissionState::Queued);
    assert!(
        waiting
            .next_attempt_time
            .is_some_and(|at| at.seconds == now.unix_timestamp() + 3_600)
    );
    suite.database.advance(time::Duration::minutes(61)).await;
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
}
