use std::time::Duration;

use outeract_postgres::{Class, PostgresConfig, classify, connect};
use outeract_seal::Secret;
use outeract_testkit::{FaultProxy, TestDatabase, eventually, free_port};
use tokio::time::timeout;

#[tokio::test]
async fn sessions_are_bounded() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    let settings: Vec<String> = sqlx::query_scalar(
        "SELECT current_setting(name) FROM unnest(ARRAY['statement_timeout', 'lock_timeout',
             'idle_in_transaction_session_timeout', 'application_name', 'search_path']) WITH ORDINALITY AS t (name, n) ORDER BY n",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(settings, ["5s", "2s", "10s", "outeract-tracking", "pg_catalog"]);
}

#[tokio::test]
async fn roles_carry_the_bounds_themselves() {
    let db = TestDatabase::create(&[]).await;
    let config: Vec<String> = sqlx::query_scalar(
        "SELECT unnest(setconfig) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole WHERE r.rolname = 'outeract_tracking' ORDER BY 1",
    )
    .fetch_all(db.admin())
    .await
    .unwrap();
    let expected = [
        "idle_in_transaction_session_timeout=10s",
        "lock_timeout=2s",
        "search_path=pg_catalog",
        "statement_timeout=5s",
    ];
    assert_eq!(config, expected);
}

#[tokio::test]
async fn an_absent_server_is_said_at_once() {
    let config = PostgresConfig {
        url: Secret::new(format!("postgres://nobody@127.0.0.1:{}/x", free_port())),
        max_connections: 1,
    };
    let error = connect(&config, "tracking").await.unwrap_err();
    assert_eq!(classify(&error), Class::Unavailable);
}

#[tokio::test]
async fn a_full_pool_refuses_after_two_seconds() {
    let db = TestDatabase::create(&[]).await;
    let pool = db.pool("tracking").await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(pool.acquire().await.unwrap());
    }
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(classify(&error), Class::Unavailable);
}

#[tokio::test]
async fn the_pool_outlives_its_connections() {
    let db = TestDatabase::create(&[]).await;
    let proxy = FaultProxy::start(address(&db)).await;
    let pool = connect(&through(&db, &proxy), "tracking").await.unwrap();
    let works = async || sqlx::query("SELECT 1").execute(&pool).await.is_ok();
    assert!(works().await);
    proxy.refuse();
    proxy.reset();
    assert!(!works().await);
    proxy.heal();
    eventually(Duration::from_secs(10), works).await;
}

#[tokio::test]
async fn callers_that_leave_before_silence_cost_no_slots() {
    let db = TestDatabase::create(&[]).await;
    let proxy = FaultProxy::start(address(&db)).await;
    let pool = connect(&through(&db, &proxy), "tracking").await.unwrap();
    let ask = async || sqlx::query("SELECT 1").execute(&pool).await.is_ok();
    let (one, two) = tokio::join!(ask(), ask());
    assert!(one && two);
    proxy.blackhole();
    let patience = Duration::from_millis(100);
    let (one, two) = tokio::join!(timeout(patience, ask()), timeout(patience, ask()));
    assert!(one.is_err() && two.is_err(), "both connections hang");
    proxy.heal();
    // What was swallowed never comes.
    eventually(Duration::from_secs(20), ask).await;
}

/// Where the test run's server listens.
pub(crate) fn address(db: &TestDatabase) -> std::net::SocketAddr {
    let url = db.url("tracking");
    let host = url.expose().split('@').nth(1).unwrap().split('/').next().unwrap();
    std::net::ToSocketAddrs::to_socket_addrs(&host).unwrap().next().unwrap()
}

/// The role of tracking, by way of `proxy`.
pub(crate) fn through(db: &TestDatabase, proxy: &FaultProxy) -> PostgresConfig {
    let url = db.url("tracking");
    let (front, back) = url.expose().split_once('@').unwrap();
    let path = back.split_once('/').unwrap().1;
    PostgresConfig {
        url: Secret::new(format!("{front}@{}/{path}", proxy.address())),
        max_connections: 2,
    }
}
