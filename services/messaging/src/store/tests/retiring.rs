//! What is older than messages are kept.

use time::Duration;

use super::*;
use crate::problem::{OUTCOME_UNKNOWN, RETENTION_ENDED};
use crate::store::queue::{self, Look};
use crate::store::retire::{self, Retired};
use crate::store::upkeep;

const EXPIRED: i16 = 6;

impl World {
    async fn retire(&self) -> Vec<Retired> {
        retire::retire(&mut *self.conn().await, 100).await.expect("no error")
    }

    async fn ended_for(&self, message: Uuid) -> Option<String> {
        sqlx::query_scalar("SELECT reason FROM messaging.ending WHERE message_id = $1")
            .bind(message)
            .fetch_one(self.database.admin())
            .await
            .expect("an ending")
    }

    async fn partitions(&self) -> i64 {
        upkeep::maintain_partitions(&mut *self.conn().await)
            .await
            .expect("maintained")
    }

    /// What the owner of the number is shown of its queue.
    async fn looked(&self) -> Vec<Uuid> {
        let all = Uuid::max();
        let look = Look {
            after: Uuid::nil(),
            span: 1_000,
            limit: 1_000,
            priorities: (0, 3),
            until: [all; 3],
            horizon: 60.0,
            patience: 30.0,
        };
        let rows = queue::look(&mut *self.conn().await, NUMBER, &look).await;
        let rows = rows.expect("looked").into_iter();
        rows.filter(|row| !row.edge).map(|row| row.message).collect()
    }
}

#[tokio::test]
async fn what_waits_for_as_long_as_messages_are_kept_ends_with_a_reason_before_its_content_goes() {
    let world = World::new().await;
    let held = world.sending(HOLD).await;
    world.force(held, UNKNOWN, 1, 0).await;
    let doubted = world.message(RESEND).await;
    world.force(doubted, QUEUED, 1, 1).await;
    let (queued, sending) = (world.message(HOLD).await, world.message(HOLD).await);
    world.force(sending, SENDING, 1, 0).await;

    world.database.advance(Duration::days(34)).await;
    assert!(world.retire().await.is_empty(), "not yet");
    world.database.advance(Duration::days(1)).await;
    assert_eq!(world.partitions().await, 0);
    let mut retired = world.retire().await;
    retired.sort_unstable_by_key(|retired| retired.message);
    let ended = |message, state| Retired { message, state };
    assert_eq!(
        retired,
        [ended(held, FAILED), ended(doubted, FAILED), ended(queued, EXPIRED)]
    );
    for message in [held, doubted] {
        assert_eq!(
            (world.queued(message).await, world.ended(message).await),
            (None, (FAILED, 1, 0))
        );
        assert_eq!(world.ended_for(message).await.as_deref(), Some(OUTCOME_UNKNOWN));
        assert_eq!(world.outbox(message).await, [(1, 0), (3, 1)]);
    }
    assert_eq!(world.ended(queued).await, (EXPIRED, 0, 0));
    assert_eq!(world.ended_for(queued).await.as_deref(), Some(RETENTION_ENDED));
    assert_eq!(world.outbox(queued).await, [(1, 0), (6, 0)]);
    assert!(world.retire().await.is_empty(), "once");

    // What is on its way has its outcome first; a day later everything is gone.
    world.force(sending, UNKNOWN, 1, 0).await;
    assert_eq!(world.retire().await, [ended(sending, FAILED)]);
    world.database.advance(Duration::days(2)).await;
    world.partitions().await;
    let left: (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM messaging.message), (SELECT count(*) FROM messaging.queue WHERE phone_number_id > '')",
    )
    .fetch_one(world.database.admin())
    .await
    .expect("counts");
    assert_eq!(left, (0, 0));
}

#[tokio::test]
async fn a_held_message_whose_time_has_run_out_is_passed_by_and_one_that_is_queued_is_not() {
    let world = World::new().await;
    let held = world.sending(HOLD).await;
    world.force(held, UNKNOWN, 1, 0).await;
    let queued = world.message(HOLD).await;
    assert_eq!(world.looked().await, [held, queued]);
    sqlx::query("UPDATE messaging.queue SET held = true WHERE message_id = $1")
        .bind(held)
        .execute(world.database.admin())
        .await
        .expect("held");
    world.database.advance(Duration::hours(25)).await;
    assert_eq!(world.looked().await, [queued], "it is to end as EXPIRED");
}

#[tokio::test]
async fn attempts_are_forgotten_with_their_messages() {
    let world = World::new().await;
    let message = world.sending(HOLD).await;
    let attempts = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM messaging.attempt")
            .fetch_one(world.database.admin())
            .await
            .expect("a count")
    };
    sqlx::query("INSERT INTO messaging.attempt (message_id, attempt, at, outcome) SELECT $1, n, messaging.now_(), 1 FROM generate_series(1, 7) n")
        .bind(message)
        .execute(world.database.admin())
        .await
        .expect("written");
    let purge = async |limit| {
        let mut conn = world.conn().await;
        upkeep::purge_attempts(&mut conn, limit).await.expect("purged")
    };
    world.database.advance(Duration::days(35)).await;
    assert_eq!((purge(5).await, attempts().await), (0, 7));
    world.database.advance(Duration::days(1)).await;
    assert_eq!((purge(5).await, attempts().await), (5, 2));
    assert_eq!((purge(5).await, attempts().await), (2, 0));
}
