//! Siblings that are away learn everything when they come back, and hold back nobody.

use std::time::{Duration, Instant};

use outeract_simulator::control::NewWorld;
use outeract_testkit::eventually;

use crate::sibling::Sibling;
use crate::suite::{SOON, Suite, uuid};

#[tokio::test]
async fn a_sibling_that_was_away_is_told_when_it_comes() {
    let mut webhook = Sibling::away();
    webhook.come().await;
    let mut suite = Suite::start_between(Sibling::away(), webhook, &[]).await;
    let world = suite.world(NewWorld::default()).await;
    let tenant = suite.tenant("Acme").await;

    let began = Instant::now();
    let made = suite.connect(&tenant, &world.token).await;
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "an absent sibling costs no more than the second"
    );
    assert_eq!(
        suite.webhook.versions(uuid(&made[0])),
        [1],
        "the one that is there knows"
    );
    assert_eq!(suite.rows().await, [1, 1, 1]);
    suite.connect(&tenant, &world.token).await;

    suite.messaging.come().await;
    eventually(SOON, async || suite.rows().await[2] == 0).await;
    // Once, in its newest version; what it missed no longer matters.
    assert_eq!(suite.messaging.versions(uuid(&made[0])).last(), Some(&2));
    assert_eq!(suite.webhook.versions(uuid(&made[0])), [1, 2]);

    suite.messaging.go().await;
    suite.connect(&tenant, &world.token).await;
    assert_eq!(suite.rows().await[2], 1);
    suite.messaging.come().await;
    eventually(SOON, async || suite.rows().await[2] == 0).await;
    assert_eq!(suite.messaging.versions(uuid(&made[0])).last(), Some(&3));
}

#[tokio::test]
async fn one_refused_connection_holds_back_no_other() {
    let suite = Suite::start_between(Sibling::away(), Sibling::away(), &[]).await;
    let mut suite = suite;
    let world = suite
        .world(NewWorld {
            numbers_per_waba: 4,
            ..NewWorld::default()
        })
        .await;
    let tenant = suite.tenant("Acme").await;
    let made = suite.connect(&tenant, &world.token).await;
    assert_eq!(suite.rows().await[2], 8);

    suite.messaging.refuse(Some(uuid(&made[2])));
    suite.messaging.come().await;
    suite.webhook.come().await;
    eventually(SOON, async || suite.rows().await[2] == 1).await;
    assert!(suite.messaging.versions(uuid(&made[2])).is_empty());
    for other in [0, 1, 3] {
        assert_eq!(suite.messaging.versions(uuid(&made[other])), [1]);
    }
    suite.messaging.refuse(None);
    eventually(SOON, async || suite.rows().await[2] == 0).await;
    assert_eq!(suite.messaging.versions(uuid(&made[2])), [1]);
}
