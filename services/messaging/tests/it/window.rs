//! The 24-hour window, as callers and Meta see it.

use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::internal::v1::{InboundItem, ItemOutcome, StatusItem};
use outeract_proto::messaging::v1::{
    GetConversationWindowRequest, GetConversationWindowResponse, SendStatus, SubmissionState,
};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use time::{Duration, OffsetDateTime};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::instance::{Client, Instance};
use crate::suite::{Number, SOON, Suite, get, id, recipient, request, status_of};

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

#[tokio::test]
async fn text_outside_the_window_fails_without_a_call_and_says_why() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.wrote(number, &recipient(1), None).await;
    suite.wrote(number, &recipient(2), Some(Duration::hours(24))).await;
    suite
        .wrote(number, &recipient(3), Some(Duration::DAY - Duration::seconds(55)))
        .await;
    for closed in 1..=3 {
        let (message, status) = send(&mut client, number, &recipient(closed)).await;
        assert_eq!(
            (status.state(), status.success, status.pending),
            (SubmissionState::Failed, false, false)
        );
        let error = status.error.expect("an error");
        assert_eq!(
            (error.reason.as_str(), error.meta_code, error.retryable),
            ("OUTSIDE_MESSAGING_WINDOW", 0, false)
        );
        let read = get(&client, message).await;
        assert_eq!((read.attempt, read.error), (0, Some(error)));
        eventually(SOON, async || {
            suite.siblings.children(message.uuid(), "message.failed").len() == 1
        })
        .await;
    }
    let (_, status) = send(&mut client, number, &recipient(4)).await;
    assert!(status.success, "{status:?}");
    assert_eq!(suite.ledger().await.len(), 1, "no call was made for the others");
    crate::send::rows_left(&suite).await;
}

#[tokio::test]
async fn a_window_that_closes_while_a_message_waits_is_noticed_before_the_call() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.wrote(number, &recipient(1), Some(Duration::hours(23))).await;
    suite.wrote(number, &recipient(2), Some(Duration::hours(22))).await;
    suite
        .change(&instance, number, |connection| connection.paused = true)
        .await;
    let late = suite.store(&mut client, number, &recipient(1)).await;
    let in_time = suite.store(&mut client, number, &recipient(2)).await;
    suite
        .database
        .advance(Duration::minutes(59) + Duration::seconds(5))
        .await;
    suite
        .change(&instance, number, |connection| connection.paused = false)
        .await;
    let failed = suite.reaches(&client, late, SubmissionState::Failed).await;
    assert_eq!(
        (failed.error.expect("an error").reason.as_str(), failed.attempt),
        ("OUTSIDE_MESSAGING_WINDOW", 0)
    );
    suite.reaches(&client, in_time, SubmissionState::Accepted).await;
    assert_eq!(suite.ledger().await.len(), 1);
}

#[tokio::test]
async fn metas_word_that_the_window_is_closed_counts_until_the_user_writes_again() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let to = recipient(1);
    assert!(send(&mut client, number, &to).await.1.success);
    let fault = Effect::Error {
        code: 131_047,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    let once = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(once, fault).await.expect("added");
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

    let (message, status) = send(&mut client, number, &to).await;
    assert_eq!(status.state(), SubmissionState::Failed);
    assert_eq!(get(&client, message).await.attempt, 0, "Meta is not asked again");
    suite.user_writes(&instance, number, &to, Duration::minutes(5)).await;
    assert!(
        !send(&mut client, number, &to).await.1.success,
        "a message from before Meta's word"
    );
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
        let (message, status) = send(&mut client, number, &to).await;
        assert_eq!(status.state(), SubmissionState::Failed);
        assert_eq!(get(&client, message).await.attempt, 0);
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
    assert!(send(&mut client, number, &to).await.1.success);
}

#[tokio::test]
async fn a_status_that_was_kept_until_its_message_was_known_closes_the_window_too() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let to = recipient(1);
    suite.wrote(number, &to, Some(Duration::hours(1))).await;
    let lost = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(lost, Effect::ResponseLost).await.expect("added");
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
    let fault = Effect::Error {
        code: 131_050,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    let once = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(once, fault).await.expect("added");
    assert!(!send(&mut client, number, &recipient(1)).await.1.success);
    assert!(send(&mut client, number, &recipient(2)).await.1.success);
    let accepted = suite.ledger().await.pop().expect("accepted");
    let status = StatusItem {
        error_code: 131_050,
        ..status_of(&accepted, "failed")
    };
    suite.status(&instance, number, status).await;
    let listed: Vec<(String, uuid::Uuid, i16)> = sqlx::query_as(
        "SELECT i.value, s.connection_id, s.source FROM messaging.suppression s JOIN messaging.identity i ON i.contact_id = s.contact_id ORDER BY 1",
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
