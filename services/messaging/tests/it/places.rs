//! Places in a portfolio's quota of messages that end before Meta has accepted them.

use std::collections::HashSet;
use std::time::Duration;

use outeract_clock::{Clock as _, SystemClock};
use outeract_domain::EventId;
use outeract_events::timestamp::to_proto;
use outeract_proto::messaging::v1::{OnUnknown, SendMessageRequest, SubmissionState};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;

use crate::instance::Client;
use crate::lifetime::cancel;
use crate::portfolio::{new_user, template};
use crate::suite::{SOON, Suite, get, id};

impl Suite {
    /// Places of the portfolio that are taken: by members, and by minutes.
    pub(crate) async fn places(&self) -> (i64, i64) {
        sqlx::query_as(
            "SELECT (SELECT count(*) FROM messaging.quota_member WHERE portfolio_id = '1701'), \
                    (SELECT coalesce(sum(members), 0)::bigint FROM messaging.quota_minute WHERE portfolio_id = '1701')",
        )
        .fetch_one(self.database.admin())
        .await
        .expect("counts")
    }

    async fn taken(&self, places: i64) {
        eventually(SOON, async || self.places().await == (places, places)).await;
    }
}

/// Stores a message that Meta will not take yet: it has a place, was tried, and waits.
async fn parked(suite: &Suite, client: &mut Client, request: SendMessageRequest) -> EventId {
    let refused = Match {
        to: Some(request.to_external_id.clone()),
        ..Match::default()
    };
    let fault = Effect::Error {
        code: 131_042,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite.meta.fault(refused, fault).await.expect("added");
    let message = id(&client.send_message(request).await.expect("stored").into_inner());
    suite
        .message_when(client, message, |message| message.error.is_some())
        .await;
    message
}

#[tokio::test]
async fn a_place_is_free_again_when_its_message_is_taken_back_or_expires() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    suite.one_portfolio(&instance, "1").await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];

    let first = parked(&suite, &mut client, template(number, &new_user(1))).await;
    assert_eq!(suite.places().await, (1, 1));
    let canceled = cancel(&client, first).await.expect("canceled");
    assert_eq!(canceled.attempt, 1);
    suite.taken(0).await;

    let short = SendMessageRequest {
        expire_time: Some(to_proto(SystemClock.now() + Duration::from_mins(1))),
        ..template(number, &new_user(2))
    };
    let second = parked(&suite, &mut client, short).await;
    assert_eq!(suite.places().await, (1, 1));
    suite.database.advance(time::Duration::seconds(61)).await;
    suite.reaches(&client, second, SubmissionState::Expired).await;
    suite.taken(0).await;

    let third = client.send_message(template(number, &new_user(3))).await;
    let third = id(&third.expect("stored").into_inner());
    suite.reaches(&client, third, SubmissionState::Accepted).await;
    assert_eq!(suite.places().await, (1, 1));
}

#[tokio::test]
async fn a_place_stays_taken_while_its_message_may_have_been_accepted() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    suite.one_portfolio(&instance, "1").await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let lost = Match {
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(lost, Effect::ResponseLost).await.expect("added");
    let request = SendMessageRequest {
        on_unknown: OnUnknown::Resend.into(),
        ..template(number, &new_user(1))
    };
    let message = id(&client.send_message(request).await.expect("stored").into_inner());
    suite.reaches(&client, message, SubmissionState::Unknown).await;
    // The resend that the policy orders waits, and is called off.
    suite.pause(&instance, number, true).await;
    suite.quiet(&instance, time::Duration::minutes(11)).await;
    suite.reaches(&client, message, SubmissionState::Queued).await;
    let refused = cancel(&client, message).await.expect_err("it may have arrived");
    assert_eq!(reason(&refused), Some(ErrorReason::MessageNotCancelable));
    suite.pause(&instance, number, false).await;
    let other = client.send_message(template(number, &new_user(2))).await;
    let other = id(&other.expect("stored").into_inner());
    let waiting = suite
        .message_when(&client, other, |message| message.error.is_some())
        .await;
    assert_eq!(waiting.error.expect("a reason").reason, "QUOTA_EXHAUSTED");
    assert_eq!(suite.places().await, (1, 1));
}

#[tokio::test]
async fn of_many_cancels_and_sends_at_the_same_time_only_what_was_sent_has_a_place() {
    const MESSAGES: usize = 300;
    let suite = Suite::with_numbers(4).await;
    let (one, other) = (suite.start().await, suite.start().await);
    suite.templates_of_both().await;
    suite.one_portfolio(&one, "1000").await;
    let clients = [one.client(&suite.key).await, other.client(&suite.key).await];
    let each = (0..MESSAGES).map(|index| {
        let (suite, clients) = (&suite, &clients);
        async move {
            let request = template(&suite.numbers[index % 4], &new_user(index));
            let stored = clients[index % 2].clone().send_message(request).await;
            let message = id(&stored.expect("stored").into_inner());
            // Some sooner, some later: after so many looks at it.
            for _ in 0..index % 4 {
                get(&clients[index % 2], message).await;
            }
            let canceled = cancel(&clients[(index / 2) % 2], message).await.is_ok();
            (message.uuid(), canceled)
        }
    });
    let all = futures_util::future::join_all(each).await;
    let canceled: HashSet<_> = all.iter().filter(|(_, canceled)| *canceled).map(|(id, _)| id).collect();
    let sent = MESSAGES - canceled.len();
    assert!(!canceled.is_empty() && sent > 0, "{} canceled", canceled.len());
    eventually(SOON, async || suite.ledger().await.len() == sent).await;
    suite.taken(sent as i64).await;
}
