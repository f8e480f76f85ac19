use std::time::Duration;

use outeract_buckets::{Buckets, BucketsConfig, ConnectError, Grant, Spend};
use outeract_seal::Secret;
use outeract_testkit::{RedisServer, redis_prefix, redis_url};
use tokio::time::{Instant, sleep};

use super::{SLOW, buckets, shared, take};

#[tokio::test]
async fn takes_up_to_what_is_wanted() {
    let buckets = shared();
    let grants = buckets.take(&[take("{1}:n", SLOW, 10, 4)]).await;
    assert_eq!(
        grants[0],
        Grant {
            granted: 4,
            retry_after: Duration::ZERO,
            degraded: false
        }
    );
    let grants = buckets.take(&[take("{1}:n", SLOW, 10, 10)]).await;
    assert_eq!(grants[0].granted, 6);
    let wait = grants[0].retry_after;
    assert!(
        wait > Duration::from_secs(9_999) && wait <= Duration::from_secs(10_000),
        "{wait:?}"
    );
    let grants = buckets.take(&[take("{1}:n", SLOW, 10, 0)]).await;
    assert_eq!(
        grants[0],
        Grant {
            granted: 0,
            retry_after: Duration::ZERO,
            degraded: false
        }
    );
}

#[tokio::test]
async fn answers_come_in_order_over_many_tags() {
    let buckets = shared();
    let takes: Vec<_> = (0..60)
        .map(|n| take(&format!("{{{}}}:c:{n}", n % 7), SLOW, n + 1, 100))
        .collect();
    let grants = buckets.take(&takes).await;
    assert_eq!(
        grants.iter().map(|grant| grant.granted).collect::<Vec<_>>(),
        (1..=60).collect::<Vec<_>>()
    );
    assert!(buckets.take(&[]).await.is_empty());
}

#[tokio::test]
async fn one_key_may_come_twice_in_a_call() {
    let buckets = shared();
    let grants = buckets
        .take(&[take("{1}:n", SLOW, 5, 3), take("{1}:n", SLOW, 5, 3)])
        .await;
    assert_eq!([grants[0].granted, grants[1].granted], [3, 2]);
}

#[tokio::test]
async fn what_is_given_back_can_be_had_again() {
    let buckets = shared();
    let wish = take("{1}:n", SLOW, 10, 10);
    let grant = buckets.take(std::slice::from_ref(&wish)).await[0];
    buckets.give_back(&[wish.give_back(&grant, 4)]).await;
    assert_eq!(buckets.take(std::slice::from_ref(&wish)).await[0].granted, 4);
    // Never more than was granted, and never more than the bucket holds.
    buckets
        .give_back(&[wish.give_back(&grant, 1_000), wish.give_back(&grant, 1_000)])
        .await;
    assert_eq!(buckets.take(&[take("{1}:n", SLOW, 10, 100)]).await[0].granted, 10);
}

#[tokio::test]
async fn what_is_spent_without_asking_is_missing_until_it_is_made_good() {
    let buckets = shared();
    let spend = |key: &str, rate_per_second, count| Spend {
        key: key.to_owned(),
        rate_per_second,
        burst: 10,
        count,
    };
    // Several numbers in one call.
    let spends = [
        spend("{1}:n", SLOW, 4),
        spend("{2}:n", SLOW, 1),
        spend("{1}:n", SLOW, 3),
    ];
    assert!(buckets.spend(&spends).await);
    let grants = buckets
        .take(&[take("{1}:n", SLOW, 10, 10), take("{2}:n", SLOW, 10, 10)])
        .await;
    assert_eq!([grants[0].granted, grants[1].granted], [3, 9]);

    // More than there is: at ten a second, and ten in the bucket, thirteen leave three owed.
    assert!(buckets.spend(&[spend("{3}:n", 10.0, 13)]).await);
    let wish = take("{3}:n", 10.0, 10, 1);
    let grant = buckets.take(std::slice::from_ref(&wish)).await[0];
    assert_eq!(grant.granted, 0);
    assert!(
        grant.retry_after > Duration::from_millis(250) && grant.retry_after <= Duration::from_millis(400),
        "{:?}",
        grant.retry_after
    );
    // However much it is, sending resumes within about a second.
    assert!(buckets.spend(&[spend("{3}:n", 10.0, 1_000_000)]).await);
    let grant = buckets.take(std::slice::from_ref(&wish)).await[0];
    assert!(
        grant.granted == 0 && grant.retry_after <= Duration::from_millis(1_100),
        "{grant:?}"
    );
}

#[tokio::test]
async fn the_rate_holds_over_processes() {
    let prefix = redis_prefix();
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let config = BucketsConfig {
            url: redis_url(),
            prefix: prefix.clone(),
            max_replicas: 1,
        };
        // Each with a connection of its own, as processes have.
        let buckets = Buckets::connect(&config).unwrap();
        tasks.spawn(async move {
            let mut granted = 0;
            while start.elapsed() < Duration::from_secs(1) {
                let grant = buckets.take(&[take("{1}:n", 500.0, 20, 7)]).await[0];
                assert!(!grant.degraded);
                granted += grant.granted;
                sleep(grant.retry_after).await;
            }
            granted
        });
    }
    let granted: u32 = tasks.join_all().await.iter().sum();
    let bound = 20.0 + 500.0 * start.elapsed().as_secs_f64();
    assert!(f64::from(granted) <= bound, "{granted} > {bound}");
    assert!(f64::from(granted) >= bound * 0.8, "{granted} is far below {bound}");
}

#[tokio::test]
async fn lua_and_rust_do_the_same_sums() {
    let buckets = shared();
    // The largest numbers that occur: a wait of a day, to the microsecond.
    let grants = buckets
        .take(&[take("{1}:n", 0.0, u32::MAX, u32::MAX), take("{2}:n", 0.0, 1, 2)])
        .await;
    assert_eq!(grants[0].granted, 11_574, "10^15 microseconds of a token a day");
    assert_eq!(grants[1].granted, 1);
    assert_eq!(grants[1].retry_after, Duration::from_hours(24));
}

#[tokio::test]
async fn keys_go_when_their_buckets_are_full() {
    let server = RedisServer::start().await;
    let buckets = buckets(server.url(), 1);
    buckets
        .take(&[take("{1}:n", 100.0, 10, 10), take("{2}:n", SLOW, 10, 1)])
        .await;
    let mut redis = redis::Client::open(server.url().expose().as_str())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.contains("{1}") || key.contains("{2}")));
    outeract_testkit::eventually(Duration::from_secs(5), async || {
        redis::cmd("DBSIZE")
            .query_async::<usize>(&mut redis.clone())
            .await
            .unwrap()
            == 1
    })
    .await;
}

#[tokio::test]
async fn a_flushed_redis_costs_one_burst() {
    let server = RedisServer::start().await;
    let buckets = buckets(server.url(), 1);
    let wish = take("{1}:n", SLOW, 10, 100);
    assert_eq!(buckets.take(std::slice::from_ref(&wish)).await[0].granted, 10);
    let mut redis = redis::Client::open(server.url().expose().as_str())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let () = redis::cmd("FLUSHALL").query_async(&mut redis).await.unwrap();
    let grant = buckets.take(std::slice::from_ref(&wish)).await[0];
    assert_eq!((grant.granted, grant.degraded), (10, false));
    assert_eq!(buckets.take(&[wish]).await[0].granted, 0);
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = RedisServer::start().await;
    let buckets = buckets(server.url(), 1);
    let mut redis = redis::Client::open(server.url().expose().as_str())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    for round in 1..=3 {
        let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut redis).await.unwrap();
        let wishes = [take("{1}:n", SLOW, 10, 1), take("{2}:n", SLOW, 10, 1)];
        let grants = buckets.take(&wishes).await;
        assert!(
            grants.iter().all(|grant| grant.granted == 1 && !grant.degraded),
            "round {round}: {grants:?}"
        );
        let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut redis).await.unwrap();
        buckets.give_back(&[wishes[0].give_back(&grants[0], 1)]).await;
        assert!(!buckets.is_degraded());
    }
    assert_eq!(
        buckets
            .take(&[take("{1}:n", SLOW, 10, 99), take("{2}:n", SLOW, 10, 99)])
            .await
            .map_granted(),
        [10, 7]
    );
}

trait Granted {
    fn map_granted(&self) -> Vec<u32>;
}

impl Granted for Vec<Grant> {
    fn map_granted(&self) -> Vec<u32> {
        self.iter().map(|grant| grant.granted).collect()
    }
}

#[test]
fn bad_configurations_are_refused_without_their_secrets() {
    let config = |url: &str, prefix: &str| BucketsConfig {
        url: Secret::from(url),
        prefix: prefix.to_owned(),
        max_replicas: 1,
    };
    let error = Buckets::connect(&config("http://user:hunter2@host", "")).unwrap_err();
    assert!(matches!(error, ConnectError::Url));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert!(matches!(
        Buckets::connect(&config("redis://host", "{x}")),
        Err(ConnectError::Prefix)
    ));
}
