//! Outgoing webhooks over several processes and beside targets that are dead or hang.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use outeract_proto::tracking::v1::DeliveryOutcome;
use outeract_testkit::eventually;
use tokio::net::TcpListener;

use crate::hooks::{LOCAL, create, deliveries, get, started};
use crate::receiver::{Answer, Receiver};
use crate::suite::{LONG, Suite, ids};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_that_are_dead_or_hang_do_not_hold_back_one_that_lives() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    // Bound and let go: nobody listens there.
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hanging = Receiver::new(Answer::Silence).await;
    for _ in 0..10 {
        create(&mut hooks, &format!("http://{dead}/")).await;
        create(&mut hooks, &hanging.url()).await;
    }
    let live = Receiver::new(Answer::Status(200)).await;
    let id = create(&mut hooks, &live.url()).await.id;
    eventually(LONG, async || {
        let lanes = "SELECT count(*) = 21 FROM tracking.subscription WHERE owner IS NOT NULL";
        sqlx::query_scalar(lanes).fetch_one(suite.db.admin()).await.unwrap()
    })
    .await;
    let records: Vec<_> = (1..=40).map(|n| app.inbound(n)).collect();
    let expected: HashSet<String> = ids(&records).into_iter().collect();
    let begun = Instant::now();
    instance.record(records).await;
    eventually(LONG, async || live.received().len() == 40).await;
    // A hanging one takes 15 seconds for its first answer that never comes.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(live.events().into_iter().collect::<HashSet<_>>(), expected);
    eventually(LONG, async || get(&mut hooks.clone(), &id).await.lag == 0).await;
    // Each of the hanging ones holds one place.
    assert_eq!(hanging.connections(), 10);
}

#[tokio::test]
async fn the_subscriptions_of_a_process_that_is_gone_are_delivered_by_another_within_ten_seconds() {
    let mut suite = Suite::new().await;
    let first = suite.start(&[LOCAL]).await;
    let app = suite.app();
    let mut hooks = first.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    first.record(vec![app.inbound(1)]).await;
    eventually(LONG, async || {
        deliveries(&mut hooks.clone(), &id, DeliveryOutcome::Succeeded)
            .await
            .len()
            == 1
    })
    .await;
    // As a process leaves it that was killed: it owns, and its heart beats no more.
    let owner: uuid::Uuid = sqlx::query_scalar("SELECT owner FROM tracking.subscription")
        .fetch_one(suite.db.admin())
        .await
        .unwrap();
    (first.stop)();
    eventually(LONG, async || {
        let left = "SELECT count(*) = 0 FROM tracking.worker";
        sqlx::query_scalar(left).fetch_one(suite.db.admin()).await.unwrap()
    })
    .await;
    sqlx::query("INSERT INTO tracking.worker (id, seen_at) VALUES ($1, tracking.now_())")
        .bind(owner)
        .execute(suite.db.admin())
        .await
        .unwrap();
    sqlx::query("UPDATE tracking.subscription SET owner = $1")
        .bind(owner)
        .execute(suite.db.admin())
        .await
        .unwrap();
    let begun = Instant::now();
    let second = suite.start(&[LOCAL]).await;
    let records = vec![app.inbound(2)];
    let expected = ids(&records);
    second.record(records).await;
    eventually(LONG, async || receiver.received().len() == 2).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(receiver.events()[1..], expected[..]);
}

#[tokio::test]
async fn processes_share_subscriptions_and_one_that_stops_gives_its_own_back() {
    let mut suite = Suite::new().await;
    let first = suite.start(&[LOCAL]).await;
    let app = suite.app();
    let mut hooks = first.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    for _ in 0..6 {
        create(&mut hooks, &receiver.url()).await;
    }
    let second = suite.start(&[LOCAL]).await;
    let shares = "SELECT coalesce(array_agg(c ORDER BY c), '{}') FROM (SELECT count(*) AS c FROM tracking.subscription WHERE owner IS NOT NULL GROUP BY owner) s";
    let shared = async |wanted: &[i64]| {
        let found: Vec<i64> = sqlx::query_scalar(shares).fetch_one(suite.db.admin()).await.unwrap();
        found == wanted
    };
    eventually(LONG, async || shared(&[3, 3]).await).await;
    second.record((1..=5).map(|n| app.inbound(n)).collect()).await;
    eventually(LONG, async || receiver.received().len() == 30).await;
    (first.stop)();
    eventually(LONG, async || shared(&[6]).await).await;
    second.record(vec![app.inbound(6)]).await;
    eventually(LONG, async || receiver.received().len() == 36).await;
    // Nothing was sent twice: nobody crashed.
    let unique: HashSet<String> = receiver.received().into_iter().map(|received| received.id).collect();
    assert_eq!(unique.len(), 36);
}

#[tokio::test]
async fn a_lane_whose_subscription_was_taken_over_stops_and_moves_nothing() {
    let (suite, instance) = started().await;
    let app = suite.app();
    let mut hooks = instance.hooks(&app).await;
    let receiver = Receiver::new(Answer::Status(200)).await;
    let id = create(&mut hooks, &receiver.url()).await.id;
    instance.record(vec![app.inbound(1)]).await;
    eventually(LONG, async || get(&mut hooks.clone(), &id).await.lag == 0).await;
    // Another process with a heart that beats.
    let other = uuid::Uuid::from_u128(7);
    sqlx::query("INSERT INTO tracking.worker (id, seen_at) VALUES ($1, tracking.now_() + interval '1 hour')")
        .bind(other)
        .execute(suite.db.admin())
        .await
        .unwrap();
    sqlx::query("UPDATE tracking.subscription SET owner = $1, epoch = epoch + 1")
        .bind(other)
        .execute(suite.db.admin())
        .await
        .unwrap();
    let before: i64 = sqlx::query_scalar("SELECT position FROM tracking.subscription")
        .fetch_one(suite.db.admin())
        .await
        .unwrap();
    let beats = "SELECT seen_at FROM tracking.worker WHERE id <> $1";
    let beat = async || {
        sqlx::query_scalar::<_, time::OffsetDateTime>(beats)
            .bind(other)
            .fetch_one(suite.db.admin())
            .await
            .unwrap()
    };
    let seen = beat().await;
    eventually(LONG, async || beat().await > seen).await;
    let seen = beat().await;
    instance.record((2..=5).map(|n| app.inbound(n)).collect()).await;
    eventually(LONG, async || beat().await > seen).await;
    let after: i64 = sqlx::query_scalar("SELECT position FROM tracking.subscription")
        .fetch_one(suite.db.admin())
        .await
        .unwrap();
    assert_eq!((after, receiver.received().len()), (before, 1));
}
