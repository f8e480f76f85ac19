//! Messages whose template changes while they wait.

use outeract_proto::messaging::internal::v1::item::Kind as Item;
use outeract_proto::messaging::internal::v1::{AccountItem, ItemOutcome};
use outeract_proto::messaging::v1::{SendTemplateMessageRequest, SendWait, SubmissionState};
use serde_json::json;

use super::given::short;
use super::*;
use crate::instance::{Client, Instance};
use crate::suite::Number;

/// Tells of a template as the webhook service would.
pub(crate) async fn told(suite: &Suite, instance: &Instance, event: &str) {
    let value = json!({
        "event": event, "message_template_name": "order_confirmation", "message_template_language": "en_US", "reason": "NONE",
    });
    let result = suite
        .apply(instance, &suite.numbers[0], news(value.to_string().into_bytes()))
        .await;
    assert_eq!(result.outcome(), ItemOutcome::Applied);
}

fn news(value_json: Vec<u8>) -> Item {
    Item::Account(AccountItem {
        field: "message_template_status_update".to_owned(),
        value_json,
        receive_time: None,
    })
}

fn order(number: &Number) -> SendTemplateMessageRequest {
    SendTemplateMessageRequest {
        wait: SendWait::Stored.into(),
        ..short(number, "order_confirmation", &[("body", 1, "John"), ("body", 2, "#1")])
    }
}

/// A message that waits while its connection is paused.
async fn waiting(suite: &Suite, instance: &Instance, client: &mut Client) -> outeract_domain::EventId {
    suite.templates_known().await;
    let number = &suite.numbers[0];
    suite.pause(instance, number, true).await;
    let stored = client
        .send_template_message(order(number))
        .await
        .expect("stored")
        .into_inner();
    stored.id.parse().expect("an id")
}

#[tokio::test]
async fn a_message_waits_while_its_template_is_paused_and_goes_as_soon_as_it_comes_back() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let message = waiting(&suite, &instance, &mut client).await;
    told(&suite, &instance, "PAUSED").await;
    suite.pause(&instance, &suite.numbers[0], false).await;
    let parked = suite
        .message_when(&client, message, |message| {
            message
                .obstacles
                .iter()
                .any(|obstacle| obstacle.reason == "TEMPLATE_PAUSED")
        })
        .await;
    assert_eq!((parked.state(), parked.attempt), (SubmissionState::Queued, 0));
    let late = client
        .send_template_message(order(&suite.numbers[0]))
        .await
        .expect_err("paused");
    assert_eq!(
        refused(&late),
        (Code::FailedPrecondition, ErrorReason::TemplateNotApproved)
    );
    assert_eq!(
        late.get_details_error_info().expect("info").metadata["status"],
        "PAUSED"
    );

    told(&suite, &instance, "APPROVED").await;
    suite.reaches(&client, message, SubmissionState::Accepted).await;
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_message_whose_template_is_rejected_disabled_or_deleted_fails_with_the_reason() {
    for (event, reason) in [
        ("REJECTED", "TEMPLATE_REJECTED"),
        ("DISABLED", "TEMPLATE_DISABLED"),
        ("PENDING_DELETION", "TEMPLATE_NOT_FOUND"),
    ] {
        let suite = Suite::new().await;
        let instance = suite.start().await;
        let mut client = instance.client(&suite.key).await;
        let message = waiting(&suite, &instance, &mut client).await;
        told(&suite, &instance, event).await;
        suite.pause(&instance, &suite.numbers[0], false).await;
        let failed = suite.reaches(&client, message, SubmissionState::Failed).await;
        assert_eq!(
            (failed.attempt, failed.error.expect("an error").reason.as_str()),
            (0, reason)
        );
        assert!(suite.ledger().await.is_empty());
    }
}

#[tokio::test]
async fn what_meta_pauses_by_a_refusal_is_not_tried_again_and_again() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    suite.templates_known().await;
    let refusal = Effect::Error {
        code: 132_015,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    let rule = suite.meta.fault(Match::default(), refusal).await.expect("a rule");
    let number = &suite.numbers[0];
    client.send_template_message(order(number)).await.expect("stored");
    let mut stored = 1;
    eventually(SOON, async || {
        match client.clone().send_template_message(order(number)).await {
            Ok(_) => stored += 1,
            Err(status) => {
                assert_eq!(
                    refused(&status),
                    (Code::FailedPrecondition, ErrorReason::TemplateNotApproved)
                );
                return true;
            }
        }
        false
    })
    .await;
    assert!((1..=stored).contains(&suite.counted(rule).await));
    assert!(suite.ledger().await.is_empty());
}

#[tokio::test]
async fn news_that_cannot_be_read_is_refused() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    for value in [&b"{"[..], b"{}", b"[]"] {
        let result = suite.apply(&instance, &suite.numbers[0], news(value.to_vec())).await;
        assert_eq!(
            (result.outcome(), result.reason.as_str()),
            (ItemOutcome::Refused, "MALFORMED_ITEM")
        );
    }
}
