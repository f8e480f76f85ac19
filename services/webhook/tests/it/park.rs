use std::sync::Arc;

use outeract_proto::connection::v1::ConnectionState;
use outeract_testkit::eventually;
use tokio::task::JoinSet;
use tonic::Code;

use crate::bodies::{change, entry, one_text, post, text, unknown};
use crate::http::Http;
use crate::suite::{LONG, Number, Suite};

const UNPARKING: &str = "select count(*) from webhook.unpark";
const POSTS: usize = 60;
const ROUNDS: usize = 8;
static IDS: [&str; ROUNDS] = ["101", "102", "103", "104", "105", "106", "107", "108"];

#[tokio::test]
async fn items_that_came_before_their_connection_are_applied_in_order_when_it_comes() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    for n in 0..5 {
        let (first, second) = (text(&format!("wamid.{n}.a"), "a"), text(&format!("wamid.{n}.b"), "b"));
        let other = change("2", vec![text("wamid.OTHER", "x")], vec![]);
        instance
            .stored(&post(&[entry(
                "7",
                &[change("1", vec![first, unknown("wamid.I"), second], vec![]), other],
            )]))
            .await;
    }
    suite.settled().await;
    assert_eq!(suite.accounts().await, [20, 0, 0, 20, 0, 0]);

    instance.push(vec![number.active()]).await;
    eventually(LONG, async || suite.accounts().await[1] == 10).await;
    suite.check().await;
    assert_eq!(suite.accounts().await, [20, 10, 0, 5, 5, 0]);
    let mut expected: Vec<String> = (0..5)
        .flat_map(|n| [format!("wamid.{n}.a"), format!("wamid.{n}.b")])
        .collect();
    // Of the type nobody knows there is one, reported five times.
    expected.insert(1, "wamid.I".to_owned());
    assert_eq!(suite.siblings.recorded(), expected);
    eventually(LONG, async || suite.count(UNPARKING).await == 0).await;

    // The same push again, or the next one, starts nothing.
    instance
        .push(vec![number.active(), number.snapshot(2, ConnectionState::Active)])
        .await;
    assert_eq!(suite.count(UNPARKING).await, 0);
}

#[tokio::test]
async fn a_lost_push_is_repaired_by_the_pull() {
    let mut suite = Suite::new().await;
    let (first, second) = (Number::new("7", "1"), Number::new("7", "2"));
    suite.siblings.world().connections = vec![first.active(), second.active()];
    let instance = suite.start().await;
    instance.stored(&one_text("7", "2", "wamid.1")).await;
    eventually(LONG, async || suite.siblings.recorded() == ["wamid.1"]).await;
    suite.check().await;
}

#[tokio::test]
async fn no_wake_up_is_lost_and_order_is_kept_while_numbers_are_parked_and_activated_at_once() {
    let (suite, instance) = Suite::with_instance().await;
    let instance = Arc::new(instance);
    for id in IDS {
        let number = Number::new("7", id);
        let mut posting = JoinSet::new();
        {
            let instance = Arc::clone(&instance);
            posting.spawn(async move {
                let mut http = Http::connect(instance.edge).await;
                for n in 0..POSTS {
                    assert_eq!(
                        http.post(&one_text("7", id, &format!("wamid.{id}.{n:03}")))
                            .await
                            .status,
                        200
                    );
                }
            });
        }
        // Somewhere in the middle.
        let before = suite.count("select count(*) from webhook.post").await;
        eventually(LONG, async || {
            suite.count("select count(*) from webhook.post").await > before + 10
        })
        .await;
        instance.push(vec![number.active()]).await;
        posting.join_all().await;
        eventually(LONG, async || {
            suite
                .siblings
                .recorded()
                .iter()
                .filter(|wamid| wamid.contains(&format!(".{id}.")))
                .count()
                == POSTS
        })
        .await;
    }
    suite.settled().await;
    eventually(LONG, async || suite.count(UNPARKING).await == 0).await;
    suite.check().await;
    let total = (POSTS * ROUNDS) as i64;
    assert_eq!(suite.accounts().await, [total, total, 0, 0, 0, 0]);
    let recorded = suite.siblings.recorded();
    for id in IDS {
        let of_number: Vec<&String> = recorded
            .iter()
            .filter(|wamid| wamid.contains(&format!(".{id}.")))
            .collect();
        assert!(of_number.is_sorted(), "{of_number:?}");
    }
}

#[tokio::test]
async fn two_replicas_activated_from_both_sides_apply_everything() {
    let (mut suite, first) = Suite::with_instance().await;
    let second = suite.start().await;
    let number = Number::new("7", "1");
    let mut clients = JoinSet::new();
    for (client, edge) in [first.edge, second.edge, first.edge, second.edge]
        .into_iter()
        .enumerate()
    {
        clients.spawn(async move {
            let mut http = Http::connect(edge).await;
            for n in 0..50 {
                assert_eq!(
                    http.post(&one_text("7", "1", &format!("wamid.{client}.{n}")))
                        .await
                        .status,
                    200
                );
            }
        });
    }
    eventually(LONG, async || {
        suite.count("select count(*) from webhook.item where outcome = 3").await > 20
    })
    .await;
    tokio::join!(first.push(vec![number.active()]), second.push(vec![number.active()]));
    clients.join_all().await;
    suite.settled().await;
    eventually(LONG, async || suite.count(UNPARKING).await == 0).await;
    suite.check().await;
    assert_eq!(suite.siblings.recorded().len(), 200);
    let [items, applied, duplicate, ..] = suite.accounts().await;
    assert_eq!((items, applied + duplicate), (200, 200));
}

#[tokio::test]
async fn un_parking_waits_for_siblings_and_survives_a_kill() {
    let (mut suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    for n in 0..3 {
        instance.stored(&one_text("7", "1", &format!("wamid.{n}"))).await;
    }
    suite.settled().await;
    suite.siblings.world().tracking_fails = Some(Code::Unavailable);
    instance.push(vec![number.active()]).await;
    eventually(LONG, async || !suite.siblings.world().applied.is_empty()).await;
    // New ones wait behind the old ones, and are counted as parked.
    instance.stored(&one_text("7", "1", "wamid.3")).await;
    suite.settled().await;
    assert_eq!(suite.accounts().await, [4, 0, 0, 4, 0, 0]);
    instance.kill().await;

    suite.siblings.world().tracking_fails = None;
    let _again = suite.start().await;
    eventually(LONG, async || suite.accounts().await == [4, 4, 0, 0, 0, 0]).await;
    suite.check().await;
    assert_eq!(suite.siblings.recorded(), ["wamid.0", "wamid.1", "wamid.2", "wamid.3"]);
}

#[tokio::test]
async fn what_came_for_one_application_is_never_applied_for_another() {
    let (suite, instance) = Suite::with_instance().await;
    let (before, after) = (Number::new("7", "1"), Number::new("7", "1"));
    instance
        .push(vec![before.snapshot(1, ConnectionState::Disconnected)])
        .await;
    instance.stored(&one_text("7", "1", "wamid.BEFORE")).await;
    suite.settled().await;
    assert_eq!(suite.listed(3).await[0].1, "CONNECTION_ENDED");
    instance.push(vec![after.active()]).await;
    eventually(LONG, async || suite.count(UNPARKING).await == 0).await;
    assert_eq!(suite.accounts().await, [1, 0, 0, 0, 0, 1]);
    assert_eq!(suite.listed(5).await[0].1, "ROUTE_MISMATCH");
    instance.stored(&one_text("7", "1", "wamid.AFTER")).await;
    suite.settled().await;
    assert_eq!(suite.siblings.recorded(), ["wamid.AFTER"]);
    assert_eq!(
        suite.siblings.world().events[0].application_id,
        after.application.bytes()
    );

    // Two connections that both claim the number: neither gets anything until one has gone.
    let rival = Number::new("7", "1");
    instance.push(vec![rival.active()]).await;
    instance.stored(&one_text("7", "1", "wamid.WHOSE")).await;
    suite.settled().await;
    assert_eq!(suite.listed(3).await[0].1, "CONNECTION_MOVING");
    instance
        .push(vec![after.snapshot(2, ConnectionState::Disconnected)])
        .await;
    eventually(LONG, async || suite.siblings.recorded().len() == 2).await;
    assert_eq!(
        suite.siblings.world().events[1].application_id,
        rival.application.bytes()
    );
}

#[tokio::test]
async fn a_parked_item_that_turns_out_bad_is_quarantined_alone() {
    let (suite, instance) = Suite::with_instance().await;
    let number = Number::new("7", "1");
    for n in 0..4 {
        instance.stored(&one_text("7", "1", &format!("wamid.{n}"))).await;
    }
    suite.settled().await;
    suite.siblings.world().poison.insert("wamid.1".to_owned());
    suite.siblings.world().refused.insert("wamid.2".to_owned());
    instance.push(vec![number.active()]).await;
    eventually(LONG, async || {
        suite.count(UNPARKING).await == 0 && suite.accounts().await[3] == 0
    })
    .await;
    suite.check().await;
    assert_eq!(suite.accounts().await, [4, 2, 0, 0, 0, 2]);
    assert_eq!(suite.siblings.recorded(), ["wamid.0", "wamid.3"]);
}

#[tokio::test]
async fn an_item_that_no_connection_comes_for_is_quarantined_after_a_week() {
    let (mut suite, instance) = Suite::with_instance().await;
    instance.stored(&one_text("7", "1", "wamid.1")).await;
    suite.settled().await;
    instance.stop().await;
    suite
        .db
        .advance(time::Duration::days(7) + time::Duration::minutes(1))
        .await;
    // Upkeep runs at the start.
    let _again = suite.start().await;
    eventually(LONG, async || suite.accounts().await == [1, 0, 0, 0, 0, 1]).await;
    suite.check().await;
    assert_eq!(suite.listed(5).await[0].1, "PARKED_TOO_LONG");
}
