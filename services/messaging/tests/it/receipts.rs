//! Messages that are marked as read by themselves.

use outeract_proto::connection::v1::AutoMarkRead;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;

use crate::instance::Instance;
use crate::reading::{USER, receipts, written};
use crate::suite::{Number, SOON, Suite};

async fn wanted(suite: &Suite, instance: &Instance, number: &Number, wanted: bool) {
    let setting = if wanted {
        AutoMarkRead::OnReceived
    } else {
        AutoMarkRead::Never
    };
    suite
        .change(instance, number, |connection| {
            connection.auto_mark_read = setting.into();
        })
        .await;
}

/// Rows that wait, and the most tries of one.
async fn waiting(suite: &Suite) -> (i64, i16) {
    sqlx::query_as("SELECT count(*), coalesce(max(tries), 0)::smallint FROM messaging.receipt")
        .fetch_one(suite.database.admin())
        .await
        .expect("a count")
}

async fn refuse(suite: &Suite, count: Option<u64>, code: i32) {
    let matches = Match {
        endpoint: Some("receipts".to_owned()),
        count,
        ..Match::default()
    };
    let effect = Effect::Error {
        code,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    suite.meta.fault(matches, effect).await.expect("added");
}

#[tokio::test]
async fn messages_are_marked_as_soon_as_they_are_received_where_that_is_wanted() {
    let suite = Suite::with_numbers(2).await;
    let instance = suite.start().await;
    let [marking, other] = &suite.numbers[..] else {
        unreachable!("two numbers")
    };
    wanted(&suite, &instance, marking, true).await;
    written(&suite, &instance, other, USER).await;
    let wamid = written(&suite, &instance, marking, USER).await;
    eventually(SOON, async || receipts(&suite).await.len() == 1).await;
    let receipt = receipts(&suite).await.remove(0);
    assert_eq!((receipt.wamid, receipt.typing), (wamid, false));
    eventually(SOON, async || waiting(&suite).await.0 == 0).await;

    wanted(&suite, &instance, marking, false).await;
    written(&suite, &instance, marking, USER).await;
    assert_eq!(waiting(&suite).await.0, 0);
    assert_eq!(receipts(&suite).await.len(), 1);
}

#[tokio::test]
async fn the_newest_message_of_a_conversation_stands_for_those_before_it() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let number = &suite.numbers[0];
    wanted(&suite, &instance, number, true).await;
    // While Meta is busy, more comes in.
    refuse(&suite, Some(1), 130_429).await;
    written(&suite, &instance, number, USER).await;
    eventually(SOON, async || waiting(&suite).await == (1, 1)).await;
    let mut last = String::new();
    for _ in 0..5 {
        last = written(&suite, &instance, number, USER).await;
    }
    eventually(SOON, async || {
        receipts(&suite).await.iter().any(|receipt| receipt.wamid == last)
    })
    .await;
    eventually(SOON, async || waiting(&suite).await.0 == 0).await;
}

#[tokio::test]
async fn what_is_to_be_marked_survives_the_process() {
    let suite = Suite::new().await;
    let one = suite.start().await;
    let number = &suite.numbers[0];
    wanted(&suite, &one, number, true).await;
    let hang = Effect::Latency {
        before_ms: 60_000,
        after_ms: 0,
        jitter_ms: 0,
    };
    let first = Match {
        endpoint: Some("receipts".to_owned()),
        count: Some(1),
        ..Match::default()
    };
    suite.meta.fault(first, hang).await.expect("added");
    let wamid = written(&suite, &one, number, USER).await;
    eventually(SOON, async || waiting(&suite).await == (1, 1)).await;
    one.kill();
    let _other = suite.start().await;
    // Its taker is gone: after a minute it is anybody's.
    suite.database.advance(time::Duration::seconds(61)).await;
    eventually(SOON, async || {
        receipts(&suite).await.iter().any(|receipt| receipt.wamid == wamid)
    })
    .await;
    eventually(SOON, async || waiting(&suite).await.0 == 0).await;
}

#[tokio::test]
async fn a_message_that_meta_does_not_take_is_dropped_after_three_tries_or_at_once() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    let number = &suite.numbers[0];
    wanted(&suite, &instance, number, true).await;
    refuse(&suite, Some(3), 131_016).await;
    written(&suite, &instance, number, USER).await;
    eventually(SOON, async || waiting(&suite).await == (1, 1)).await;
    for tries in [2, 3] {
        suite.database.advance(time::Duration::seconds(21)).await;
        eventually(SOON, async || {
            let (rows, most) = waiting(&suite).await;
            rows == 0 || most == tries
        })
        .await;
    }
    eventually(SOON, async || waiting(&suite).await.0 == 0).await;
    assert!(receipts(&suite).await.is_empty());
    // A refusal for good is not repeated.
    refuse(&suite, Some(1), 100).await;
    written(&suite, &instance, number, USER).await;
    eventually(SOON, async || waiting(&suite).await.0 == 0).await;
    assert!(receipts(&suite).await.is_empty());
}

#[tokio::test]
async fn two_processes_mark_each_message_once() {
    let suite = Suite::with_numbers(2).await;
    let (one, _other) = (suite.start().await, suite.start().await);
    // Whichever takes a message, and whether it has heard of the setting or not.
    for number in &suite.numbers {
        wanted(&suite, &one, number, true).await;
    }
    let mut all = Vec::new();
    for index in 0..30 {
        let user = format!("1415555{index:04}");
        all.push(written(&suite, &one, &suite.numbers[index % 2], &user).await);
    }
    eventually(SOON, async || waiting(&suite).await.0 == 0).await;
    let mut marked: Vec<_> = receipts(&suite)
        .await
        .into_iter()
        .map(|receipt| receipt.wamid)
        .collect();
    marked.sort();
    all.sort();
    assert_eq!(marked, all);
}
