//! The everyday path, and every way to ask for it wrongly.

use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::{ApplicationId, ConnectionId, EventId};
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::messaging::v1::message_content::Kind as Content;
use outeract_proto::messaging::v1::{
    GetMessageRequest, MessageContent, SendMessageRequest, SendWait, SubmissionState, TextContent,
};
use outeract_proto::tracking::v1::event::Payload;
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{KeyText, reason};
use outeract_testkit::eventually;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::instance::{Client, Instance};
use crate::suite::{SOON, Suite, USERS, get, id, recipient, request};

#[tokio::test]
async fn a_message_is_stored_sent_once_and_told_of() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];

    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("sent")
        .into_inner();
    let status = answer.status.clone().expect("a status");
    assert_eq!(
        (status.state(), status.success, status.pending, answer.replayed),
        (SubmissionState::Accepted, true, false, false)
    );
    let message = id(&answer);

    let ledger = suite.ledger().await;
    assert_eq!(ledger.len(), 1);
    assert_eq!(
        (ledger[0].wamid.as_str(), ledger[0].to.as_str()),
        (status.external_message_id.as_str(), "+14155551234")
    );
    assert_eq!(ledger[0].callback.as_deref(), Some(format!("{message}.1").as_str()));

    let stored = get(&client, message).await;
    assert_eq!(
        (stored.state(), stored.attempt, stored.to_external_id.as_str()),
        (SubmissionState::Accepted, 1, "+14155551234")
    );
    assert_eq!(
        (stored.external_message_id, stored.duplicate_count, stored.held),
        (status.external_message_id.clone(), 0, false)
    );
    assert_eq!(stored.error, None);
    assert_eq!(stored.content, request(number, "+1").content);

    eventually(SOON, async || {
        suite.siblings.event(message.uuid()).is_some()
            && suite.siblings.children(message.uuid(), "message.accepted").len() == 1
    })
    .await;
    let outbound = suite
        .siblings
        .event(message.uuid())
        .and_then(|record| record.event)
        .expect("an event");
    let edges = outbound.edges.expect("edges");
    assert_eq!(edges.sent_by.map(|party| party.external_id), Some(number.e164.clone()));
    assert_eq!(
        edges.sent_to.map(|party| party.external_id),
        Some("+14155551234".to_owned())
    );
    let accepted = suite
        .siblings
        .children(message.uuid(), "message.accepted")
        .remove(0)
        .event
        .expect("an event");
    let Some(Payload::Status(payload)) = accepted.payload else {
        panic!("no status")
    };
    assert_eq!(
        (payload.external_message_id, payload.attempt),
        (status.external_message_id, 1)
    );

    eventually(SOON, async || rows_left(&suite).await == (0, 0)).await;
}

#[tokio::test]
async fn a_caller_that_does_not_want_to_wait_does_not() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let request = SendMessageRequest {
        wait: SendWait::Stored.into(),
        ..request(&suite.numbers[0], "+14155551234")
    };
    let answer = client.send_message(request).await.expect("stored").into_inner();
    let status = answer.status.clone().expect("a status");
    assert_eq!(
        (status.state(), status.pending, status.success),
        (SubmissionState::Queued, true, false)
    );
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
}

#[tokio::test]
async fn many_messages_at_once_are_each_sent_once() {
    let suite = Suite::with_numbers(3).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let sends = (0..300).map(|index| {
        let (mut client, request) = (client.clone(), request(&suite.numbers[index % 3], &recipient(index)));
        async move {
            client
                .send_message(request)
                .await
                .expect("sent")
                .into_inner()
                .status
                .expect("a status")
                .success
        }
    });
    let sent = futures_util::future::join_all(sends).await;
    assert!(sent.iter().all(|sent| *sent));
    let summary = suite.meta.summary().await.expect("a summary");
    assert_eq!((summary.accepted, summary.messages), (300, 300));
    eventually(SOON, async || rows_left(&suite).await == (0, 0)).await;
    let contacts: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.contact")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count");
    assert_eq!(contacts, USERS, "those that there were");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_and_nothing_is_stored() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let good = || request(number, "+14155551234");
    let text = |body: String| {
        Some(MessageContent {
            kind: Some(Content::Text(TextContent {
                body,
                preview_url: None,
            })),
        })
    };
    let cases = [
        (
            SendMessageRequest {
                to_external_id: "14155551234".to_owned(),
                ..good()
            },
            "to_external_id",
        ),
        (
            SendMessageRequest {
                content: text("a".repeat(4_097)),
                ..good()
            },
            "content.text.body",
        ),
        (
            SendMessageRequest {
                content: text(String::new()),
                ..good()
            },
            "content.text.body",
        ),
        (
            SendMessageRequest {
                content: None,
                ..good()
            },
            "content.kind",
        ),
        (
            SendMessageRequest {
                idempotency_key: String::new(),
                ..good()
            },
            "idempotency_key",
        ),
        (
            SendMessageRequest {
                connection_id: "pc_x".to_owned(),
                ..good()
            },
            "connection_id",
        ),
        (
            SendMessageRequest {
                on_unknown: 17,
                ..good()
            },
            "on_unknown",
        ),
    ];
    for (request, path) in cases {
        let refused = client.send_message(request).await.expect_err(path);
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::InvalidArgument, Some(ErrorReason::InvalidField))
        );
        let fields = refused.get_details_bad_request().expect("fields").field_violations;
        assert_eq!(
            fields.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(),
            [path]
        );
        assert!(!refused.message().contains("4155551234"), "no personal data in errors");
    }

    refused_connections(&suite, &instance, &mut client).await;
    let stored: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM messaging.message) + (SELECT count(*) FROM messaging.idempotency)
              + (SELECT count(*) FROM messaging.contact) + (SELECT count(*) FROM messaging.identity)",
    )
    .fetch_one(suite.database.admin())
    .await
    .expect("a count");
    assert_eq!(stored, 2 * USERS);
}

async fn refused_connections(suite: &Suite, instance: &Instance, client: &mut Client) {
    let number = &suite.numbers[0];
    let good = || request(number, "+14155551234");
    let absent = SendMessageRequest {
        connection_id: ConnectionId::new(&SystemClock, &SystemRandom).to_string(),
        ..good()
    };
    let absent = client.send_message(absent).await.expect_err("no such connection");
    assert_eq!(
        (absent.code(), reason(&absent)),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );

    suite
        .change(instance, number, |connection| {
            connection.state = ConnectionState::NeedsReauth.into();
        })
        .await;
    let inactive = client.send_message(good()).await.expect_err("not active");
    assert_eq!(
        (inactive.code(), reason(&inactive)),
        (Code::FailedPrecondition, Some(ErrorReason::ConnectionNotActive))
    );
    assert_eq!(
        inactive.get_details_error_info().expect("info").metadata["state"],
        "NEEDS_REAUTH"
    );
}

#[tokio::test]
async fn what_is_anothers_looks_like_what_is_not_there() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let stranger = ApplicationId::new(&SystemClock, &SystemRandom);
    let key_id = outeract_domain::KeyId::new(&SystemClock, &SystemRandom);
    let (key, _) = KeyText::generate("test", key_id, &SystemRandom);
    suite
        .siblings
        .state
        .keys
        .lock()
        .expect("keys")
        .insert(key_id.uuid(), stranger.uuid());
    let mut theirs = instance.client(&key).await;

    let message = id(&client
        .send_message(request(&suite.numbers[0], "+14155551234"))
        .await
        .expect("sent")
        .into_inner());
    let foreign = theirs
        .get_message(GetMessageRequest {
            id: message.to_string(),
        })
        .await
        .expect_err("foreign");
    let absent = EventId::new(&SystemClock, &SystemRandom).to_string();
    let absent = theirs
        .get_message(GetMessageRequest { id: absent })
        .await
        .expect_err("absent");
    assert_eq!((foreign.code(), foreign.message()), (absent.code(), absent.message()));
    assert_eq!(
        (foreign.code(), reason(&foreign)),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );

    let foreign = theirs
        .send_message(request(&suite.numbers[0], "+14155551234"))
        .await
        .expect_err("foreign");
    assert_eq!(
        (foreign.code(), reason(&foreign)),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    let malformed = theirs
        .get_message(GetMessageRequest { id: "evt_1".to_owned() })
        .await
        .expect_err("malformed");
    assert_eq!(reason(&malformed), Some(ErrorReason::InvalidField));
}

#[tokio::test]
async fn a_paused_connection_stores_and_sends_later() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite
        .change(&instance, number, |connection| connection.paused = true)
        .await;
    let paused = std::time::Instant::now();
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    assert!(answer.status.as_ref().is_some_and(|status| status.pending));
    assert!(
        paused.elapsed() < std::time::Duration::from_secs(2),
        "the wait ends at once"
    );
    assert!(suite.ledger().await.is_empty());
    suite
        .change(&instance, number, |connection| connection.paused = false)
        .await;
    suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
}

/// What is left in the queue and in the outbox.
pub(crate) async fn rows_left(suite: &Suite) -> (i64, i64) {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM messaging.queue WHERE phone_number_id > ''), (SELECT count(*) FROM messaging.outbox WHERE kind > 0)",
    )
    .fetch_one(suite.database.admin())
    .await
    .expect("counts")
}
