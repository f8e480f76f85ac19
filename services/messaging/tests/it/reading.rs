//! Marking as read, and the typing indicator.

use std::time::Duration;

use outeract_clock::{Clock as _, SystemClock, SystemRandom};
use outeract_domain::ConnectionId;
use outeract_proto::connection::v1::ConnectionState;
use outeract_proto::messaging::internal::v1::InboundItem;
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::v1::send_typing_indicator_request::To;
use outeract_proto::messaging::v1::{MarkMessageAsReadRequest, SendTypingIndicatorRequest};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_simulator::control::{ChangeToken, Inbound, ReceiptQuery};
use outeract_simulator::{Effect, Match, Receipt};
use tonic::{Code, Request, Status};

use crate::instance::{Client, Instance};
use crate::lifetime::fact;
use crate::suite::{Number, Suite};

pub(crate) const USER: &str = "14155551234";

/// A user writes to a number: Meta knows the message, and so do we.
pub(crate) async fn written(suite: &Suite, instance: &Instance, number: &Number, user: &str) -> String {
    let inbound = Inbound {
        phone_number_id: number.id.clone(),
        from: user.to_owned(),
        text: "Hello!".to_owned(),
        ..Inbound::default()
    };
    let wamid = suite.meta.inbound(&[inbound]).await.expect("written").remove(0).wamid;
    let item = InboundItem {
        wamid: wamid.clone(),
        wa_id: user.to_owned(),
        user_id: format!("US.{user}"),
        occur_time: Some(prost_types::Timestamp {
            seconds: SystemClock.now().unix_timestamp(),
            nanos: 0,
        }),
        opens_window: true,
        ..InboundItem::default()
    };
    suite.apply(instance, number, Kind::Inbound(item)).await;
    wamid
}

pub(crate) async fn receipts(suite: &Suite) -> Vec<Receipt> {
    suite.meta.receipts(&ReceiptQuery::default()).await.expect("receipts")
}

async fn read(client: &Client, number: &Number, wamid: &str) -> Result<(), Status> {
    let request = MarkMessageAsReadRequest {
        connection_id: number.connection.to_string(),
        external_message_id: wamid.to_owned(),
    };
    let answer = client.clone().mark_message_as_read(request).await?;
    assert!(answer.into_inner().success);
    Ok(())
}

async fn typing(client: &Client, number: &Number, to: To) -> Result<(), Status> {
    let request = SendTypingIndicatorRequest {
        connection_id: number.connection.to_string(),
        to: Some(to),
    };
    let answer = client.clone().send_typing_indicator(request).await?;
    assert!(answer.into_inner().success);
    Ok(())
}

fn refusal(code: i32) -> Effect {
    Effect::Error {
        code,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    }
}

async fn fault(suite: &Suite, count: u64, effect: Effect) {
    let matches = Match {
        endpoint: Some("receipts".to_owned()),
        count: Some(count),
        ..Match::default()
    };
    suite.meta.fault(matches, effect).await.expect("added");
}

#[tokio::test]
async fn a_message_is_marked_as_read_and_typing_is_shown_by_user_or_message() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let first = written(&suite, &instance, number, USER).await;
    let last = written(&suite, &instance, number, USER).await;
    read(&client, number, &first).await.expect("read");
    typing(&client, number, To::ToExternalId(format!("+{USER}")))
        .await
        .expect("shown");
    typing(&client, number, To::ToExternalId(format!("US.{USER}")))
        .await
        .expect("shown");
    typing(&client, number, To::ExternalMessageId(first.clone()))
        .await
        .expect("shown");
    let told: Vec<_> = receipts(&suite)
        .await
        .into_iter()
        .map(|receipt| (receipt.wamid, receipt.typing))
        .collect();
    assert_eq!(
        told,
        [
            (first.clone(), false),
            (last.clone(), true),
            (last, true),
            (first, true)
        ]
    );
}

#[tokio::test]
async fn a_user_who_wrote_nothing_to_this_number_cannot_be_shown_anything() {
    let suite = Suite::with_strangers(2).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    written(&suite, &instance, &suite.numbers[0], USER).await;
    for (number, to) in [
        (&suite.numbers[0], "+14155559999"),
        (&suite.numbers[1], "+14155551234"),
        (&suite.numbers[0], "US.ENT.14155551234"),
    ] {
        let refused = typing(&client, number, To::ToExternalId(to.to_owned()))
            .await
            .expect_err("nothing to answer");
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::FailedPrecondition, Some(ErrorReason::NoInboundMessage)),
            "{to}"
        );
    }
    // What was written is too old to be answered.
    suite.database.advance(time::Duration::days(31)).await;
    let refused = typing(&client, &suite.numbers[0], To::ToExternalId(format!("+{USER}")))
        .await
        .expect_err("too old");
    assert_eq!(reason(&refused), Some(ErrorReason::NoInboundMessage));
    assert!(receipts(&suite).await.is_empty());
}

#[tokio::test]
async fn metas_refusals_are_told_by_their_code_and_nothing_else() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let [number, other] = &suite.numbers[..] else {
        unreachable!("two numbers")
    };
    let theirs = written(&suite, &instance, other, USER).await;
    for wamid in ["wamid.HBgLMTQxNTU1NTEyMzQVAgASGBQ", &theirs] {
        let refused = read(&client, number, wamid).await.expect_err("unknown to Meta");
        assert_eq!(
            (refused.code(), reason(&refused), fact(&refused, "meta_code").as_deref()),
            (Code::FailedPrecondition, Some(ErrorReason::MetaRefused), Some("131009"))
        );
        assert!(!format!("{refused:?}").contains("HBgL"), "{refused:?}");
    }
    let wamid = written(&suite, &instance, number, USER).await;
    for (code, expected) in [
        (100, ErrorReason::MetaRefused),
        (10, ErrorReason::MetaRefused),
        (131_016, ErrorReason::MetaUnavailable),
        (130_429, ErrorReason::MetaUnavailable),
    ] {
        fault(&suite, 1, refusal(code)).await;
        let refused = read(&client, number, &wamid).await.expect_err("refused");
        assert_eq!(
            (reason(&refused), fact(&refused, "meta_code")),
            (Some(expected), Some(code.to_string()))
        );
    }
    for effect in [Effect::ResetBefore, Effect::ResponseLost, Effect::NonJson] {
        fault(&suite, 1, effect).await;
        let refused = read(&client, number, &wamid).await.expect_err("no clear answer");
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::Unavailable, Some(ErrorReason::MetaUnavailable))
        );
    }
    read(&client, number, &wamid).await.expect("read at last");
}

#[tokio::test]
async fn a_refused_token_is_tried_once_more_with_a_younger_one() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let wamid = written(&suite, &instance, number, USER).await;
    read(&client, number, &wamid).await.expect("read");
    let revoked = ChangeToken {
        token: number.token.clone(),
        revoked: Some(true),
        expires_in_seconds: None,
    };
    suite.meta.change_token(&revoked).await.expect("revoked");
    let refused = read(&client, number, &wamid).await.expect_err("no younger token");
    assert_eq!(
        (reason(&refused), fact(&refused, "meta_code").as_deref()),
        (Some(ErrorReason::MetaRefused), Some("190"))
    );
    suite.set_token(number, &suite.portfolio_token.clone());
    suite.raise_token_version(number);
    read(&client, number, &wamid)
        .await
        .expect("read with the younger token");
    assert_eq!(receipts(&suite).await.len(), 2);
}

#[tokio::test]
async fn the_callers_deadline_holds_and_slow_calls_are_bounded() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let wamid = written(&suite, &instance, number, USER).await;
    let slow = Effect::Latency {
        before_ms: 2_000,
        after_ms: 0,
        jitter_ms: 0,
    };
    let all = Match {
        endpoint: Some("receipts".to_owned()),
        ..Match::default()
    };
    suite.meta.fault(all, slow).await.expect("added");
    let mut request = Request::new(MarkMessageAsReadRequest {
        connection_id: number.connection.to_string(),
        external_message_id: wamid.clone(),
    });
    request.set_timeout(Duration::from_millis(500));
    let late = client
        .clone()
        .mark_message_as_read(request)
        .await
        .expect_err("too slow");
    assert!(
        matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{late:?}"
    );
    let calls = (0..200).map(|_| read(&client, number, &wamid));
    let answers = futures_util::future::join_all(calls).await;
    let busy = answers
        .iter()
        .filter(|answer| {
            answer
                .as_ref()
                .is_err_and(|refused| reason(refused) == Some(ErrorReason::Overloaded))
        })
        .count();
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(busy > 0 && done > 0 && busy + done == 200, "{busy} busy, {done} done");
}

#[tokio::test]
async fn bad_input_is_named_and_other_applications_connections_are_not_there() {
    let suite = Suite::with_strangers(1).await;
    let instance = suite.start().await;
    let client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let wamid = written(&suite, &instance, number, USER).await;
    let broken = read(&client, number, "wamid with spaces").await.expect_err("broken");
    assert_eq!(
        (broken.code(), reason(&broken)),
        (Code::InvalidArgument, Some(ErrorReason::InvalidField))
    );
    let foreign = Number {
        connection: ConnectionId::new(&SystemClock, &SystemRandom),
        ..number.clone()
    };
    let missing = read(&client, &foreign, &wamid).await.expect_err("absent");
    assert_eq!(
        (missing.code(), reason(&missing)),
        (Code::NotFound, Some(ErrorReason::NotFound))
    );
    suite
        .change(&instance, number, |connection| {
            connection.state = ConnectionState::NeedsReauth.into();
        })
        .await;
    for refused in [
        read(&client, number, &wamid).await.expect_err("not active"),
        typing(&client, number, To::ToExternalId(format!("+{USER}")))
            .await
            .expect_err("not active"),
    ] {
        assert_eq!(
            (reason(&refused), fact(&refused, "state").as_deref()),
            (Some(ErrorReason::ConnectionNotActive), Some("NEEDS_REAUTH"))
        );
    }
    suite.application(&instance, number).await;
    let gone = read(&client, number, &wamid).await.expect_err("another application's");
    assert_eq!((gone.code(), gone.message()), (missing.code(), missing.message()));
    assert!(receipts(&suite).await.is_empty());
}
