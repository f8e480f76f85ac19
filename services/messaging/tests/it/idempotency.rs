//! One idempotency key, one message.

use std::collections::HashSet;

use outeract_proto::messaging::v1::message_content::Kind as Content;
use outeract_proto::messaging::v1::{
    MessageContent, OnUnknown, SendMessageRequest, SendWait, SubmissionState, TextContent,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use tonic::Code;

use crate::send::rows_left;
use crate::suite::{Suite, USERS, id, request};

#[tokio::test]
async fn the_same_request_again_gives_the_same_message_as_it_is_now() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let request = request(&suite.numbers[0], "+14155551234");
    let first = client.send_message(request.clone()).await.expect("sent").into_inner();
    let again = client
        .send_message(request.clone())
        .await
        .expect("replayed")
        .into_inner();
    assert_eq!(
        (&again.id, &again.status, again.replayed),
        (&first.id, &first.status, true)
    );
    // How long to wait is no part of the request.
    let stored = SendMessageRequest {
        wait: SendWait::Stored.into(),
        ..request.clone()
    };
    assert!(
        client
            .send_message(stored)
            .await
            .expect("replayed")
            .into_inner()
            .replayed
    );

    let text = Some(MessageContent {
        kind: Some(Content::Text(TextContent {
            body: "hello!".to_owned(),
            preview_url: None,
        })),
    });
    let preview = Some(MessageContent {
        kind: Some(Content::Text(TextContent {
            body: "hello".to_owned(),
            preview_url: Some(false),
        })),
    });
    let others = [
        SendMessageRequest {
            content: text,
            ..request.clone()
        },
        SendMessageRequest {
            content: preview,
            ..request.clone()
        },
        SendMessageRequest {
            to_external_id: "+14155557777".to_owned(),
            ..request.clone()
        },
        SendMessageRequest {
            on_unknown: OnUnknown::Fail.into(),
            ..request.clone()
        },
        SendMessageRequest {
            connection_id: suite.numbers[1].connection.to_string(),
            ..request.clone()
        },
    ];
    for other in others {
        let refused = client.send_message(other).await.expect_err("another request");
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::AlreadyExists, Some(ErrorReason::IdempotencyKeyReused))
        );
    }
    assert_eq!(suite.ledger().await.len(), 1);
    let contacts: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.contact")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count");
    assert_eq!(contacts, USERS, "a refused request leaves nothing behind");
}

#[tokio::test]
async fn a_storm_of_the_same_requests_over_two_processes_stores_each_once() {
    let suite = Suite::new().await;
    let (one, other) = (suite.start().await, suite.start().await);
    let clients = [one.client(&suite.key).await, other.client(&suite.key).await];
    let requests: Vec<_> = (0..20)
        .map(|index| SendMessageRequest {
            wait: SendWait::Stored.into(),
            ..request(&suite.numbers[0], &crate::suite::recipient(index))
        })
        .collect();
    let sends = (0..640).map(|turn| {
        let (mut client, request) = (clients[turn % 2].clone(), requests[turn % 20].clone());
        async move { client.send_message(request).await.expect("stored").into_inner() }
    });
    let answers = futures_util::future::join_all(sends).await;
    let ids: HashSet<_> = answers.iter().map(|answer| answer.id.clone()).collect();
    assert_eq!(ids.len(), 20);
    assert_eq!(
        answers.iter().filter(|answer| !answer.replayed).count(),
        20,
        "one of each was the first"
    );
    for answer in &answers[..20] {
        suite.reaches(&clients[0], id(answer), SubmissionState::Accepted).await;
    }
    assert_eq!(suite.ledger().await.len(), 20);
    outeract_testkit::eventually(crate::suite::SOON, async || rows_left(&suite).await == (0, 0)).await;
}

#[tokio::test]
async fn of_different_requests_with_one_key_at_once_one_wins() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let request = request(&suite.numbers[0], "+14155551234");
    let sends = (0..40).map(|index| {
        let (mut client, mut request) = (client.clone(), request.clone());
        request.to_external_id = crate::suite::recipient(index);
        async move { client.send_message(request).await }
    });
    let answers = futures_util::future::join_all(sends).await;
    let (stored, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(stored.len(), 1);
    for refused in refused {
        assert_eq!(
            reason(&refused.expect_err("refused")),
            Some(ErrorReason::IdempotencyKeyReused)
        );
    }
    assert_eq!(suite.ledger().await.len(), 1);
}
