//! The test kit tested.
#![expect(clippy::unwrap_used, reason = "tests")]

mod database;
mod proxy;

use std::time::Duration;

use outeract_testkit::{eventually, free_port, redis_prefix};

#[tokio::test]
async fn eventually_waits() {
    let mut asked = 0;
    eventually(Duration::from_secs(5), async || {
        asked += 1;
        asked == 3
    })
    .await;
    assert_eq!(asked, 3);
}

#[tokio::test]
#[should_panic(expected = "tests/it/main.rs")]
async fn eventually_names_the_line_that_waited() {
    eventually(Duration::from_millis(20), async || false).await;
}

#[test]
fn ports_and_prefixes_are_given_once() {
    let ports: std::collections::HashSet<u16> = (0..100).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 100);
    assert_ne!(redis_prefix(), redis_prefix());
}
