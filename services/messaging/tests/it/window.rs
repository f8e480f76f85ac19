//! The 24-hour window, as callers and Meta see it.

use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{InboundItem, ItemOutcome, StatusItem};
use outeract_proto::messaging::v1::batch_send_result::Result as Outcome;
use outeract_proto::messaging::v1::{
    BatchSendMessagesRequest, GetConversationWindowRequest, GetConversationWindowResponse, SendMessageRequest,
    SendMessageResponse, SendStatus, SendWait, SubmissionState, TemplateContent,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use time::{Duration, OffsetDateTime};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::instance::{Client, Instance};
use crate::suite::{Number, SOON, Suite, USERS, get, id, recipient, request, status_of};

impl Suite {
    /// The user writes to the number, so long ago, and the webhook comes now.
    async fn user_writes(&self, instance: &Instance, number: &Number, from: &str, ago: Duration) {
        let at = OffsetDateTime::now_utc() - ago;
        let item = InboundItem {
            wamid: format!("wamid.{from}.{}", at.unix_timestamp_nanos()),
            wa_id: from.trim_start_matches('+').to_owned(),
            occur_time: Some(prost_types::Timestamp {
                seconds: at.unix_timestamp(),
                nanos: 0,
            }),
            opens_window: true,
            ..InboundItem::default()
        };
        let result = self.apply(instance, number, Kind::Inbound(item)).await;
        assert_eq!(result.outcome(), ItemOutcome::Applied);
    }
}

fn hello_world() -> TemplateContent {
    TemplateContent {
        name: "hello_world".to_owned(),
        language_code: "en_US".to_owned(),
        ..TemplateContent::default()
    }
}

fn once() -> Match {
    Match {
        count: Some(1),
        ..Match::default()
    }
}

fn error(code: i32) -> Effect {
    Effect::Error {
        code,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    }
}

async fn send(client: &mut Client, number: &Number, to: &str) -> (outeract_domain::EventId, SendStatus) {
    let answer = client
        .send_message(request(number, to))
        .await
        .expect("stored")
        .into_inner();
    (id(&answer), answer.status.expect("a status"))
}

async fn window(client: &Client, connection: &str, user: &str) -> Result<GetConversationWindowResponse, tonic::Status> {
    let request = GetConversationWindowRequest {
        connection_id: connection.to_owned(),
        to_external_id: user.to_owned(),
    };
    let answer = client.clone().get_conversation_window(request).await?;
    Ok(answer.into_inner())
}

/// Nothing was stored, and the caller knows the way out.
fn assert_outside(answer: Result<tonic::Response<SendMessageResponse>, tonic::Status>) {
    let refused = answer.expect_err("refused");
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::FailedPrecondition, Some(ErrorReason::OutsideMessagingWindow))
    );
    assert!(refused.message().contains("template"), "{}", refused.message());
}

#[tokio::test]
async fn text_outside_the_window_is_not_stored() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.wrote(number, &recipient(1), None).await;
    suite.wrote(number, &recipient(2), Some(Duration::hours(24))).await;
    suite
        .wrote(number, &recipient(3), Some(Duration::DAY - Duration::seconds(55)))
        .await;
    for closed in [&recipient(1), &recipient(2), &recipient(3), "+14155557777"] {
        assert_outside(client.send_message(request(number, closed)).await);
    }
    let (_, status) = send(&mut client, number, &recipient(4)).await;
    assert!(status.success, "{status:?}");
    let stored: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM messaging.message), (SELECT count(*) FROM messaging.contact)")
            .fetch_one(suite.database.admin())
            .await
            .expect("counts");
    assert_eq!(stored, (1, USERS));
    assert_eq!(suite.ledger().await.len(), 1);

    // A batch: each by itself.
    let batch = BatchSendMessagesRequest {
        messages: vec![request(number, &recipient(1)), request(number, &recipient(4))],
    };
    let results = client
        .batch_send_messages(batch)
        .await
        .expect("read")
        .into_inner()
        .results;
    let outcomes: Vec<_> = results
        .into_iter()
        .map(|result| match result.result.expect("a result") {
            Outcome::Stored(_) => String::new(),
            Outcome::Error(error) => error.reason,
        })
        .collect();
    assert_eq!(outcomes, ["OUTSIDE_MESSAGING_WINDOW", ""]);
}

#[tokio::test]
async fn a_request_that_was_stored_in_time_is_answered_as_it_was() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let first = request(number, &recipient(1));
    let answer = client.send_message(first.clone()).await.expect("stored").into_inner();
    suite.wrote(number, &recipient(1), Some(Duration::hours(25))).await;
    instance.stop().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let again = client.send_message(first).await.expect("replayed").into_inner();
    assert!(again.replayed && again.id == answer.id);
    assert_outside(client.send_message(request(number, &recipient(1))).await);
}

#[tokio::test]
async fn a_window_that_closes_while_a_message_waits_is_noticed_before_the_call() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    for (user, hours) in [(1, 23), (2, 22), (3, 23)] {
        suite
            .wrote(number, &recipient(user), Some(Duration::hours(hours)))
            .await;
    }
    suite
        .change(&instance, number, |connection| connection.paused = true)
        .await;
    let late = suite.store(&mut client, number, &recipient(1)).await;
    let in_time = suite.store(&mut client, number, &recipient(2)).await;
    let falling_back = SendMessageRequest {
        fallback_template: Some(hello_world()),
        wait: SendWait::Stored.into(),
        ..request(number, &recipient(3))
    };
    let falling_back = client.send_message(falling_back).await.expect("stored").into_inner();
    suite
        .database
        .advance(Duration::minutes(59) + Duration::seconds(5))
        .await;
    // Another process, which remembers nothing of what the database's clock said before.
    instance.stop().await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    suite
        .change(&instance, number, |connection| connection.paused = false)
        .await;
    let failed = suite.reaches(&client, late, SubmissionState::Failed).await;
    let error = failed.error.expect("an error");
    assert_eq!(
        (error.reason.as_str(), error.meta_code, error.retryable, failed.attempt),
        ("OUTSIDE_MESSAGING_WINDOW", 0, false, 0)
    );
    eventually(SOON, async || {
        suite.siblings.children(late.uuid(), "message.failed").len() == 1
    })
    .await;
    suite.reaches(&client, in_time, SubmissionState::Accepted).await;
    let fell_back = suite
        .reaches(&client, id(&falling_back), SubmissionState::Accepted)
        .await;
    assert!(fell_back.fell_back);
    assert!(!get(&client, in_time).await.fell_back);
    let mut sent: Vec<_> = suite
        .ledger()
        .await
        .into_iter()
        .map(|accepted| (accepted.to, accepted.r#type))
        .collect();
    sent.sort();
    let expected = [(recipient(2), "text"), (recipient(3), "template")];
    assert_eq!(sent, expected.map(|(to, kind)| (to, kind.to_owned())));
}

#[tokio::test]
async fn a_message_for_later_is_stored_and_its_window_is_looked_at_then() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.wrote(number, &recipient(1), None).await;
    let later = OffsetDateTime::now_utc() + Duration::seconds(2);
    let request = SendMessageRequest {
        send_time: Some(prost_types::Timestamp {
            seconds: later.unix_timestamp(),
            nanos: 0,
        }),
        ..request(number, &recipient(1))
    };
    let stored = client.send_message(request).await.expect("stored").into_inner();
    let failed = suite.reaches(&client, id(&stored), SubmissionState::Failed).await;
    assert_eq!(failed.error.expect("an error").reason, "OUTSIDE_MESSAGING_WINDOW");
}

#[tokio::test]
async fn a_fallback_goes_where_the_window_is_closed_and_after_metas_word_where_it_seemed_open() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.wrote(number, &recipient(1), None).await;
    // Closed; open by what we know, and closed by Meta's; open.
    for (user, attempts, fell_back) in [(1, 1, true), (2, 2, true), (3, 1, false)] {
        if user == 2 {
            suite.meta.fault(once(), error(131_047)).await.expect("added");
        }
        let request = SendMessageRequest {
            fallback_template: Some(hello_world()),
            ..request(number, &recipient(user))
        };
        let answer = client.send_message(request).await.expect("stored").into_inner();
        let message = suite.reaches(&client, id(&answer), SubmissionState::Accepted).await;
        assert_eq!((message.attempt, message.fell_back), (attempts, fell_back), "{user}");
    }
    let types: Vec<_> = suite
        .ledger()
        .await
        .into_iter()
        .map(|accepted| accepted.r#type)
        .collect();
    assert_eq!(types, ["template", "template", "text"]);
}

#[tokio::test]
async fn metas_word_that_the_window_is_closed_counts_until_the_user_writes_again() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let to = recipient(1);
    assert!(send(&mut client, number, &to).await.1.success);
    suite.meta.fault(once(), error(131_047)).await.expect("added");
    let (_, status) = send(&mut client, number, &to).await;
    let error = status.error.expect("an error");
    assert_eq!(
        (error.reason.as_str(), error.meta_code),
        ("OUTSIDE_MESSAGING_WINDOW", 131_047)
    );
    assert!(
        !window(&client, &number.connection.to_string(), &to)
            .await
            .expect("found")
            .open
    );

    assert_outside(client.send_message(request(number, &to)).await);
    suite.user_writes(&instance, number, &to, Duration::minutes(5)).await;
    // A message from before Meta's word opens nothing.
    assert_outside(client.send_message(request(number, &to)).await);
    suite.user_writes(&instance, number, &to, Duration::seconds(-2)).await;
    assert!(send(&mut client, number, &to).await.1.success);
    assert_eq!(suite.ledger().await.len(), 2);
}

#[tokio::test]
async fn a_failure_that_meta_reports_later_closes_the_window_as_of_then() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    for (index, callback) in [(1, true), (2, false)] {
        let to = recipient(index);
        suite.wrote(number, &to, Some(Duration::hours(1))).await;
        assert!(send(&mut client, number, &to).await.1.success);
        let accepted = suite.ledger().await.pop().expect("accepted");
        let mut status = StatusItem {
            error_code: 131_047,
            ..status_of(&accepted, "failed")
        };
        if !callback {
            status.callback_data.clear();
        }
        for _ in 0..2 {
            let result = suite.status(&instance, number, status.clone()).await;
            assert_eq!(result.outcome(), ItemOutcome::Applied);
        }
        assert_outside(client.send_message(request(number, &to)).await);
    }
    // The user wrote after the message that failed: what Meta says of then is past.
    let to = recipient(3);
    suite.wrote(number, &to, Some(Duration::hours(1))).await;
    assert!(send(&mut client, number, &to).await.1.success);
    let accepted = suite.ledger().await.pop().expect("accepted");
    suite.user_writes(&instance, number, &to, Duration::seconds(-2)).await;
    suite.database.advance(Duration::seconds(5)).await;
    let status = StatusItem {
        error_code: 131_047,
        ..status_of(&accepted, "failed")
    };
    suite.status(&instance, number, status).await;
    // Time has jumped, and its owner may have to take the number anew: the caller need not see the end.
    let (message, _) = send(&mut client, number, &to).await;
    suite.reaches(&client, message, SubmissionState::Accepted).await;
}

#[tokio::test]
async fn a_status_that_was_kept_until_its_message_was_known_closes_the_window_too() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let to = recipient(1);
    suite.wrote(number, &to, Some(Duration::hours(1))).await;
    suite.meta.fault(once(), Effect::ResponseLost).await.expect("added");
    let (message, status) = send(&mut client, number, &to).await;
    assert_eq!(status.state(), SubmissionState::Unknown);
    let accepted = suite.ledger().await.pop().expect("accepted");
    let failed = StatusItem {
        callback_data: String::new(),
        error_code: 131_047,
        ..status_of(&accepted, "failed")
    };
    assert_eq!(
        suite.status(&instance, number, failed).await.outcome(),
        ItemOutcome::Orphaned
    );
    suite.status(&instance, number, status_of(&accepted, "sent")).await;
    suite.reaches(&client, message, SubmissionState::Accepted).await;
    eventually(SOON, async || {
        !window(&client, &number.connection.to_string(), &to)
            .await
            .expect("found")
            .open
    })
    .await;
}

#[tokio::test]
async fn a_user_who_stopped_marketing_at_meta_is_on_the_list() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.meta.fault(once(), error(131_050)).await.expect("added");
    assert!(!send(&mut client, number, &recipient(1)).await.1.success);
    assert!(send(&mut client, number, &recipient(2)).await.1.success);
    let accepted = suite.ledger().await.pop().expect("accepted");
    let status = StatusItem {
        error_code: 131_050,
        ..status_of(&accepted, "failed")
    };
    suite.status(&instance, number, status).await;
    let listed: Vec<(String, uuid::Uuid, i16)> = sqlx::query_as(
        "SELECT i.value, s.connection_id, s.source FROM messaging.suppression s JOIN messaging.identity i ON i.contact_id = s.contact_id AND i.kind = 1 ORDER BY 1",
    )
    .fetch_all(suite.database.admin())
    .await
    .expect("rows");
    let connection = number.connection.uuid();
    assert_eq!(listed, [(recipient(1), connection, 3), (recipient(2), connection, 3)]);
}

#[tokio::test]
async fn the_window_is_told_by_number_and_user() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let (number, other) = (&suite.numbers[0], &suite.numbers[1]);
    let connection = number.connection.to_string();
    suite.wrote(number, &recipient(1), Some(Duration::hours(1))).await;
    let open = window(&client, &connection, &recipient(1)).await.expect("found");
    let (last, end) = (
        open.last_inbound_time.expect("a time"),
        open.expire_time.expect("a time"),
    );
    assert!(open.open);
    assert_eq!(end.seconds - last.seconds, 24 * 3_600);

    suite.wrote(number, &recipient(2), Some(Duration::hours(25))).await;
    let over = window(&client, &connection, &recipient(2)).await.expect("found");
    assert!(!over.open && over.expire_time.is_some() && over.last_inbound_time.is_some());
    let never = window(&client, &connection, "+14155557777").await.expect("found");
    assert_eq!(never, GetConversationWindowResponse::default());
    suite.wrote(other, &recipient(1), None).await;
    assert!(
        !window(&client, &other.connection.to_string(), &recipient(1))
            .await
            .expect("found")
            .open
    );

    // By a form of the number that the user is not known by, and by the user id.
    suite
        .user_writes(&instance, number, "+551187654321", Duration::minutes(1))
        .await;
    assert!(
        window(&client, &connection, "+5511987654321")
            .await
            .expect("found")
            .open
    );
    let item = InboundItem {
        wamid: "wamid.by-id".to_owned(),
        user_id: "US.13491208655302741918".to_owned(),
        occur_time: Some(prost_types::Timestamp {
            seconds: OffsetDateTime::now_utc().unix_timestamp(),
            nanos: 0,
        }),
        opens_window: true,
        ..InboundItem::default()
    };
    suite.apply(&instance, number, Kind::Inbound(item)).await;
    assert!(
        window(&client, &connection, "US.13491208655302741918")
            .await
            .expect("found")
            .open
    );

    suite.application(&instance, other).await;
    let foreign = window(&client, &other.connection.to_string(), &recipient(1)).await;
    let refused = foreign.expect_err("another application's");
    assert_eq!(refused.code(), Code::NotFound);
    let invalid = window(&client, "pc_1", "1415").await.expect_err("invalid");
    assert_eq!(invalid.code(), Code::InvalidArgument);
    let info = invalid.get_details_error_info().expect("a reason");
    assert_eq!(info.reason, outeract_proto::reason_str(ErrorReason::InvalidField));
}
