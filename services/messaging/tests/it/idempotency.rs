//! One idempotency key, one message.

use std::collections::HashSet;

use outeract_clock::{Clock as _, SystemClock};
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::messaging::v1::batch_send_result::Result as Outcome;
use outeract_proto::messaging::v1::message_content::Kind as Content;
use outeract_proto::messaging::v1::{
    BatchSendMessagesRequest, MessageContent, OnUnknown, SendMessageRequest, SendTemplateMessageRequest, SendWait,
    SubmissionState, TextContent,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_testkit::eventually;
use tonic::Code;

use crate::instance::{Client, Instance};
use crate::send::rows_left;
use crate::suite::{SOON, Suite, USERS, id, order, request};
use crate::templates::{short, told};
use crate::uploading::{delete, jpeg, metadata, upload};

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

/// The same request, whose message cannot be stored any more, gives the message; another one with its key is told so; with a key of its own it is refused for this reason.
async fn is_still_known(client: &mut Client, request: &SendMessageRequest, stored: &str, why: ErrorReason) {
    let again = client.send_message(request.clone()).await.expect("replayed");
    let again = again.into_inner();
    assert_eq!((again.id.as_str(), again.replayed), (stored, true));
    let other = SendMessageRequest {
        on_unknown: OnUnknown::Fail.into(),
        ..request.clone()
    };
    let reused = client.send_message(other).await.expect_err("another request");
    assert_eq!(reason(&reused), Some(ErrorReason::IdempotencyKeyReused));
    let fresh = SendMessageRequest {
        idempotency_key: format!("{}-fresh", request.idempotency_key),
        ..request.clone()
    };
    let refused = client.send_message(fresh).await.expect_err("it cannot be stored");
    assert_eq!(reason(&refused), Some(why));
}

async fn lose(suite: &Suite, instance: &Instance, number: usize) {
    let change = suite.change(instance, &suite.numbers[number], |connection| {
        connection.state = ConnectionState::NeedsReauth.into();
    });
    change.await;
}

#[tokio::test]
async fn a_message_is_known_by_its_key_when_its_connection_no_longer_sends() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let request = request(&suite.numbers[0], "+14155551234");
    let first = client.send_message(request.clone()).await.expect("sent").into_inner();
    lose(&suite, &instance, 0).await;
    is_still_known(&mut client, &request, &first.id, ErrorReason::ConnectionNotActive).await;
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_message_is_known_by_its_key_when_its_file_is_gone() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let files = instance.files(&suite.key).await;
    let file = upload(&files, metadata("image/jpeg"), jpeg(1_000))
        .await
        .expect("uploaded");
    let request = SendMessageRequest {
        content: None,
        file_ids: vec![file.id.clone()],
        ..request(&suite.numbers[0], "+14155551234")
    };
    let first = client.send_message(request.clone()).await.expect("sent").into_inner();
    delete(&files, &file.id).await.expect("deleted");
    is_still_known(&mut client, &request, &first.id, ErrorReason::NotFound).await;
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_message_is_known_by_its_key_when_its_template_is_paused() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    suite.templates_known().await;
    let request = order(&suite.numbers[0], "+14155551234");
    let first = client.send_message(request.clone()).await.expect("sent").into_inner();
    told(&suite, &instance, "PAUSED").await;
    is_still_known(&mut client, &request, &first.id, ErrorReason::TemplateNotApproved).await;
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_message_is_known_by_its_key_when_its_time_has_passed() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let expires = SystemClock.now() + time::Duration::seconds(3);
    let request = SendMessageRequest {
        expire_time: Some(outeract_events::timestamp::to_proto(expires)),
        ..request(&suite.numbers[0], "+14155551234")
    };
    let first = client.send_message(request.clone()).await.expect("sent").into_inner();
    eventually(SOON, async || SystemClock.now() > expires).await;
    is_still_known(&mut client, &request, &first.id, ErrorReason::InvalidField).await;
}

#[tokio::test]
async fn a_message_of_a_batch_is_known_by_its_key_when_it_cannot_be_stored_any_more() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let batch = async |messages: Vec<SendMessageRequest>| {
        let request = BatchSendMessagesRequest { messages };
        let answer = client.clone().batch_send_messages(request).await.expect("read");
        let results = answer.into_inner().results.into_iter();
        let told = results.map(|result| match result.result.expect("a result") {
            Outcome::Stored(stored) => Ok((stored.id, stored.replayed)),
            Outcome::Error(error) => Err(error.reason),
        });
        told.collect::<Vec<_>>()
    };
    let messages: Vec<_> = (0..4)
        .map(|index| request(&suite.numbers[index % 2], &crate::suite::recipient(index)))
        .collect();
    let first = batch(messages.clone()).await;
    lose(&suite, &instance, 0).await;
    let fresh = request(&suite.numbers[0], "+14155551234");
    let other = SendMessageRequest {
        on_unknown: OnUnknown::Fail.into(),
        ..messages[2].clone()
    };
    let again = batch([vec![fresh, other], messages].concat()).await;
    assert_eq!(
        again[..2],
        [
            Err("CONNECTION_NOT_ACTIVE".to_owned()),
            Err("IDEMPOTENCY_KEY_REUSED".to_owned())
        ]
    );
    let replayed: Vec<_> = first.into_iter().map(|told| told.map(|(id, _)| (id, true))).collect();
    assert_eq!(again[2..], replayed);
}

#[tokio::test]
async fn a_short_template_is_known_by_its_key_whatever_became_of_the_template() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    suite.templates_known().await;
    let number = &suite.numbers[0];
    let request = short(number, "order_confirmation", &[("body", 1, "John"), ("body", 2, "#1")]);
    let first = client.send_template_message(request.clone()).await.expect("sent");
    let first = first.into_inner();
    let mut is_known = async || {
        let again = client.send_template_message(request.clone()).await.expect("replayed");
        let again = again.into_inner();
        assert_eq!((again.id, again.replayed), (first.id.clone(), true));
        let other = SendTemplateMessageRequest {
            to_external_id: "+14155557777".to_owned(),
            ..request.clone()
        };
        let reused = client.send_template_message(other).await.expect_err("another request");
        assert_eq!(reason(&reused), Some(ErrorReason::IdempotencyKeyReused));
    };
    told(&suite, &instance, "PAUSED").await;
    is_known().await;
    // Now not even the definition can be looked for.
    suite.application(&instance, number).await;
    is_known().await;
    assert_eq!(suite.ledger().await.len(), 1);
}
