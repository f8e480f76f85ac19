//! Limits that act by themselves.

use std::time::{Duration, Instant};

use outeract_proto::messaging::internal::v1::InboundItem;
use outeract_proto::messaging::internal::v1::item::Kind;
use outeract_proto::messaging::v1::{Priority, SendMessageRequest, SendWait, SubmissionState};
use outeract_simulator::{Effect, Match, Switches};
use outeract_testkit::eventually;

use crate::instance::Instance;
use crate::suite::{Number, SOON, Suite, get, id, message_of, recipient, request};

fn error(code: i32, http_status: Option<u16>) -> Effect {
    Effect::Error {
        code,
        http_status,
        details: None,
        subcode: None,
        is_transient: None,
    }
}

fn once() -> Match {
    Match {
        count: Some(1),
        ..Match::default()
    }
}

/// Not waited for.
fn stored(number: &Number, to: &str, priority: Priority) -> SendMessageRequest {
    SendMessageRequest {
        wait: SendWait::Stored.into(),
        priority: priority.into(),
        ..request(number, to)
    }
}

#[tokio::test]
async fn one_user_is_not_written_to_faster_than_meta_allows_and_others_are_not_held_up() {
    let suite = Suite::new().await;
    // By the simulator's own reckoning: what is too fast would be refused there.
    let pair = Switches {
        pair: true,
        ..suite.meta.switches().await.expect("switches")
    };
    suite.meta.set_switches(pair).await.expect("switched");
    let mut env = suite.env();
    env.set("MESSAGING_PAIR_BURST", "3");
    let instance = Instance::start(env).await;
    suite.owned().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    let to_one = async |client: &mut crate::instance::Client| {
        let answer = client.send_message(request(number, "+14155551234")).await;
        let status = answer.expect("stored").into_inner().status.expect("a status");
        (status.success, status.pending)
    };
    for _ in 0..3 {
        assert_eq!(to_one(&mut client).await, (true, false));
    }
    let started = Instant::now();
    assert_eq!(to_one(&mut client).await, (false, true), "it is not about to be sent");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let other = client
        .send_message(request(number, "+14155551235"))
        .await
        .expect("stored")
        .into_inner();
    assert!(other.status.is_some_and(|status| status.success));
    // Three are paid for in eighteen seconds.
    eventually(SOON, async || suite.ledger().await.len() == 5).await;
    assert!(started.elapsed() > Duration::from_secs(15), "{:?}", started.elapsed());
    assert!(suite.meta.stats().await.expect("stats").refused.is_empty());
}

#[tokio::test]
async fn a_user_for_whom_meta_takes_nothing_waits_in_every_class_and_nobody_else() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.meta.fault(once(), error(131_056, None)).await.expect("added");
    let answer = client
        .send_message(request(number, "+14155551234"))
        .await
        .expect("stored")
        .into_inner();
    let status = answer.status.clone().expect("a status");
    assert_eq!(
        status.error.map(|error| error.reason).as_deref(),
        Some("RECIPIENT_RATE_LIMITED")
    );
    let code = SendMessageRequest {
        priority: Priority::Urgent.into(),
        ..request(number, "+14155551234")
    };
    let code = client.send_message(code).await.expect("stored").into_inner();
    assert!(code.status.clone().is_some_and(|status| status.pending));
    let other = client
        .send_message(request(number, "+14155551235"))
        .await
        .expect("stored")
        .into_inner();
    assert!(other.status.is_some_and(|status| status.success));
    for message in [&answer, &code] {
        suite.reaches(&client, id(message), SubmissionState::Accepted).await;
    }
}

#[tokio::test]
async fn a_one_time_code_passes_a_campaign_that_waits() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite
        .change(&instance, number, |connection| connection.throughput_per_second = 10)
        .await;
    for index in 0..60 {
        let campaign = stored(number, &recipient(index), Priority::Bulk);
        client.send_message(campaign).await.expect("stored");
    }
    let code = client
        .send_message(stored(number, "+14155559499", Priority::Urgent))
        .await
        .expect("stored")
        .into_inner();
    suite.reaches(&client, id(&code), SubmissionState::Accepted).await;
    eventually(SOON, async || suite.ledger().await.len() == 61).await;
    let ledger = suite.ledger().await;
    let place = ledger
        .iter()
        .position(|accepted| message_of(accepted) == id(&code).uuid());
    assert!(place.is_some_and(|place| place < 50), "{place:?}");
}

#[tokio::test]
async fn too_much_spam_pauses_a_numbers_campaigns_and_nothing_else() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite.meta.fault(once(), error(131_048, None)).await.expect("added");
    let first = client
        .send_message(stored(number, "+14155551234", Priority::Bulk))
        .await
        .expect("stored")
        .into_inner();
    let message = suite
        .message_when(&client, id(&first), |message| message.error.is_some())
        .await;
    assert_eq!(
        message.error.map(|error| error.reason).as_deref(),
        Some("SPAM_RATE_LIMITED")
    );
    let campaign = SendMessageRequest {
        priority: Priority::Bulk.into(),
        ..request(number, "+14155551235")
    };
    let campaign = client.send_message(campaign).await.expect("stored").into_inner();
    assert!(campaign.status.clone().is_some_and(|status| status.pending));
    for priority in [Priority::Normal, Priority::Urgent] {
        let conversation = SendMessageRequest {
            priority: priority.into(),
            ..request(number, "+14155551236")
        };
        let answer = client.send_message(conversation).await.expect("stored").into_inner();
        assert!(answer.status.is_some_and(|status| status.success));
    }
    assert_eq!(get(&client, id(&campaign)).await.state(), SubmissionState::Queued);
}

#[tokio::test]
async fn a_host_that_fails_for_many_is_left_alone_and_nothing_fails_for_it() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let rule = suite
        .meta
        .fault(Match::default(), error(131_016, Some(503)))
        .await
        .expect("added");
    let applied = async || {
        let rules = suite.meta.faults().await.expect("rules");
        rules
            .iter()
            .find(|applied| applied.id == rule)
            .expect("the rule")
            .applied
    };
    let mut messages = Vec::new();
    for index in 0..120 {
        let number = &suite.numbers[index % 2];
        messages.push(suite.store(&mut client, number, &recipient(index)).await);
    }
    // Without a pause each would have been tried three times by then, and failed.
    let started = Instant::now();
    eventually(SOON, async || started.elapsed() > Duration::from_secs(8)).await;
    let calls = applied().await;
    assert!((50..150).contains(&calls), "{calls} calls");
    let answer = client
        .send_message(request(&suite.numbers[0], "+14155559499"))
        .await
        .expect("stored")
        .into_inner();
    assert!(answer.status.clone().is_some_and(|status| status.pending));
    suite.meta.clear_faults().await.expect("cleared");
    messages.push(id(&answer));
    for message in messages {
        suite.reaches(&client, message, SubmissionState::Accepted).await;
    }
}

#[tokio::test]
async fn messages_that_come_in_count_against_what_a_number_may_send() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let mut client = instance.client(&suite.key).await;
    let number = &suite.numbers[0];
    suite
        .change(&instance, number, |connection| connection.throughput_per_second = 40)
        .await;
    let inbound = |index: i64| {
        Kind::Inbound(InboundItem {
            wamid: format!("wamid.in-{index}"),
            wa_id: "14155551234".to_owned(),
            occur_time: Some(prost_types::Timestamp {
                seconds: 1_700_000_000 + index,
                nanos: 0,
            }),
            opens_window: true,
            ..InboundItem::default()
        })
    };
    // Each of these spends what a message sent would; nobody waits for the counting.
    let mut next = 0;
    eventually(SOON, async || {
        for _ in 0..100 {
            next += 1;
            suite.apply(&instance, number, inbound(next)).await;
        }
        let started = Instant::now();
        let answer = client.send_message(request(number, &recipient(next as usize))).await;
        assert!(answer.expect("stored").into_inner().status.is_some());
        started.elapsed() > Duration::from_millis(400)
    })
    .await;
}
