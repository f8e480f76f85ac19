//! What Meta holds back.

use time::{Duration, OffsetDateTime};

use super::*;
use crate::store::brake::{self, NUMBER as ONE, NUMBER_CAMPAIGNS, Set, Target, WABA};

fn target(scope: i16, key: &str) -> Target {
    Target {
        scope,
        key: key.to_owned(),
    }
}

impl World {
    async fn brake(&self, target: &Target, seconds: f64, reason: &str) {
        let set = Set {
            target,
            seconds,
            probe: true,
            reason,
        };
        brake::set(&mut *self.conn().await, &[set]).await.expect("set");
    }

    /// Scopes and whole seconds left.
    async fn brakes(&self) -> Vec<(i16, i64)> {
        let all = brake::all(&mut *self.conn().await).await.expect("read");
        let mut all: Vec<_> = all
            .iter()
            .map(|brake| (brake.scope, brake.left.round() as i64))
            .collect();
        all.sort_unstable();
        all
    }

    /// Scopes and reasons of what holds the connection's messages back.
    async fn standing(&self, campaign: bool) -> Vec<(i16, String)> {
        let mut conn = self.conn().await;
        let standing = brake::standing(&mut conn, CONNECTION, campaign).await.expect("read");
        standing.into_iter().map(|brake| (brake.scope, brake.reason)).collect()
    }
}

#[tokio::test]
async fn a_brake_grows_and_never_shrinks_is_lifted_and_forgotten_when_it_is_over() {
    let world = World::new().await;
    let noon = OffsetDateTime::from_unix_timestamp(1_795_608_000).expect("a time");
    world.database.set_time(noon).await;
    let number = target(ONE, NUMBER);
    world.brake(&number, 60.0, "TOKEN_INVALID").await;
    world.brake(&number, 30.0, "NUMBER_GONE").await;
    assert_eq!(world.brakes().await, [(ONE, 60)]);
    world.brake(&number, 90.0, "NUMBER_GONE").await;
    world.brake(&target(WABA, "7"), 30.0, "ACCOUNT_LOCKED").await;
    assert_eq!(world.brakes().await, [(ONE, 90), (WABA, 30)]);
    world.database.advance(Duration::seconds(30)).await;
    assert_eq!(world.brakes().await, [(ONE, 60)]);
    let purged = async || brake::purge(&mut *world.conn().await).await.expect("purged");
    assert_eq!((purged().await, purged().await), (1, 0));
    brake::lift(&mut *world.conn().await, &[&number]).await.expect("lifted");
    assert!(world.brakes().await.is_empty());
}

#[tokio::test]
async fn a_message_is_held_back_by_the_brakes_of_its_number_its_account_and_its_class() {
    let world = World::new().await;
    sqlx::query(
        "INSERT INTO messaging.connection (connection_id, application_id, version, token_version, updated_at, throughput_per_second, state, paused, waba_id, phone_number_id, display_number_sealed)
         VALUES ($1, $2, 1, 1, messaging.now_(), 80, 1, false, '7', $3, '')",
    )
    .bind(CONNECTION)
    .bind(APPLICATION)
    .bind(NUMBER)
    .execute(world.database.admin())
    .await
    .expect("written");
    for (scope, key, reason) in [
        (ONE, "8", "NUMBER_GONE"),
        (NUMBER_CAMPAIGNS, NUMBER, "SPAM_RATE_LIMITED"),
        (WABA, "7", "ACCOUNT_LOCKED"),
        (WABA, "8", "ACCOUNT_LOCKED"),
    ] {
        world.brake(&target(scope, key), 60.0, reason).await;
    }
    let of = |scope: i16, reason: &str| (scope, reason.to_owned());
    assert_eq!(world.standing(false).await, [of(WABA, "ACCOUNT_LOCKED")]);
    assert_eq!(
        world.standing(true).await,
        [of(NUMBER_CAMPAIGNS, "SPAM_RATE_LIMITED"), of(WABA, "ACCOUNT_LOCKED")]
    );
    world.database.advance(Duration::minutes(2)).await;
    assert!(world.standing(true).await.is_empty());
}
