use std::time::Duration;

use outeract_seal::Secret;
use outeract_testkit::{FaultProxy, RedisServer, eventually, free_port};
use tokio::time::Instant;

use super::{SLOW, buckets, take};

#[tokio::test]
async fn a_killed_redis_leaves_half_of_this_process_s_share() {
    let mut server = RedisServer::start().await;
    let buckets = buckets(server.url(), 4);
    let wish = take("{1}:n", SLOW, 80, 100);
    // Its first answer may be late on a busy machine, and would be given here instead.
    eventually(Duration::from_secs(10), async || {
        !buckets.take(&[take("{1}:other", SLOW, 80, 1)]).await[0].degraded
    })
    .await;
    assert_eq!(buckets.take(std::slice::from_ref(&wish)).await[0].granted, 80);
    server.kill();

    let grant = buckets.take(std::slice::from_ref(&wish)).await[0];
    assert!(grant.degraded && buckets.is_degraded());
    assert_eq!(grant.granted, 10, "80 ÷ 4 replicas ÷ 2");
    assert_eq!(buckets.take(std::slice::from_ref(&wish)).await[0].granted, 0);
    buckets.give_back(&[wish.give_back(&grant, 3)]).await;
    assert_eq!(buckets.take(std::slice::from_ref(&wish)).await[0].granted, 3);

    server.restart().await;
    eventually(Duration::from_secs(10), async || {
        !buckets.take(std::slice::from_ref(&wish)).await[0].degraded
    })
    .await;
    assert!(!buckets.is_degraded());
}

#[tokio::test]
async fn the_degraded_rate_is_divided_too() {
    let buckets = buckets(nowhere(), 4);
    let start = Instant::now();
    let mut granted = 0;
    while start.elapsed() < Duration::from_secs(1) {
        let grant = buckets.take(&[take("{1}:n", 800.0, 8, 5)]).await[0];
        assert!(grant.degraded);
        granted += grant.granted;
        tokio::time::sleep(grant.retry_after).await;
    }
    let bound = 1.0 + 100.0 * start.elapsed().as_secs_f64();
    assert!(f64::from(granted) <= bound, "{granted} > {bound}");
    assert!(f64::from(granted) >= bound * 0.5, "{granted} is far below {bound}");
}

#[tokio::test]
async fn it_starts_without_redis() {
    let mut server = RedisServer::start().await;
    server.kill();
    let buckets = buckets(server.url(), 1);
    assert!(buckets.take(&[take("{1}:n", 1.0, 4, 1)]).await[0].degraded);
    server.restart().await;
    eventually(Duration::from_secs(10), async || {
        !buckets.take(&[take("{1}:n", 1.0, 4, 1)]).await[0].degraded
    })
    .await;
}

#[tokio::test]
async fn a_silent_redis_costs_one_caller_a_quarter_second() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let buckets = buckets(Secret::new(format!("redis://{}", proxy.address())), 1);
    let wish = [take("{1}:n", SLOW, 80, 1)];
    assert!(!buckets.take(&wish).await[0].degraded);
    proxy.blackhole();

    let start = Instant::now();
    assert!(buckets.take(&wish).await[0].degraded);
    let first = start.elapsed();
    assert!(
        first >= Duration::from_millis(200) && first < Duration::from_millis(450),
        "{first:?}"
    );
    // Until the next look at Redis nobody waits for it.
    let start = Instant::now();
    for _ in 0..100 {
        assert!(buckets.take(&wish).await[0].degraded);
    }
    assert!(start.elapsed() < Duration::from_millis(200));

    proxy.heal();
    eventually(Duration::from_secs(10), async || !buckets.take(&wish).await[0].degraded).await;
}

#[tokio::test]
async fn a_reset_connection_is_made_anew() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let buckets = buckets(Secret::new(format!("redis://{}", proxy.address())), 1);
    let wish = [take("{1}:n", SLOW, 80, 1)];
    assert!(!buckets.take(&wish).await[0].degraded);
    proxy.reset();
    eventually(Duration::from_secs(5), async || !buckets.take(&wish).await[0].degraded).await;
}

#[tokio::test]
async fn a_redis_that_refuses_writes_is_away() {
    let server = RedisServer::start().await;
    let buckets = buckets(server.url(), 1);
    let mut redis = redis::Client::open(server.url().expose().as_str())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "1"])
        .query_async(&mut redis)
        .await
        .unwrap();
    let wish = [take("{1}:n", SLOW, 80, 1)];
    assert!(buckets.take(&wish).await[0].degraded);
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "0"])
        .query_async(&mut redis)
        .await
        .unwrap();
    eventually(Duration::from_secs(10), async || !buckets.take(&wish).await[0].degraded).await;
}

#[tokio::test]
async fn a_cancelled_call_harms_nobody() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::start(server.address()).await;
    let buckets = buckets(Secret::new(format!("redis://{}", proxy.address())), 1);
    proxy.latency(Duration::from_millis(50));
    let wish = [take("{1}:n", SLOW, 80, 1)];
    for _ in 0..20 {
        let cut = tokio::time::timeout(Duration::from_millis(1), buckets.take(&wish)).await;
        assert!(cut.is_err());
    }
    proxy.heal();
    eventually(Duration::from_secs(5), async || !buckets.take(&wish).await[0].degraded).await;
}

#[tokio::test]
async fn keys_are_bounded_while_redis_is_away() {
    let buckets = buckets(nowhere(), 1);
    for round in 0..110 {
        let wishes: Vec<_> = (0..1_000)
            .map(|n| take(&format!("{{{round}}}:{n}"), SLOW, 2, 1))
            .collect();
        let granted: u32 = buckets.take(&wishes).await.iter().map(|grant| grant.granted).sum();
        assert_eq!(granted, if round < 100 { 1_000 } else { 0 }, "round {round}");
    }
}

/// Where no Redis listens.
fn nowhere() -> Secret {
    Secret::new(format!("redis://127.0.0.1:{}", free_port()))
}
