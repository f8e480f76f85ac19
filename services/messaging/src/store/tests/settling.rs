//! Rule 7: what becomes of outcomes that stay unknown.

use time::{Duration, OffsetDateTime};

use super::*;
use crate::store::ingest;
use crate::store::record::{self, Retry};
use crate::store::settle::{self, Settled, Unsettled};

const PATIENCE: Duration = Duration::minutes(10);

impl World {
    /// A message whose first attempt has an unknown outcome.
    async fn unknown(&self, on_unknown: i16) -> Uuid {
        let message = self.sending(on_unknown).await;
        self.force(message, UNKNOWN, 1, 0).await;
        message
    }

    /// Time passes while decoding of webhooks is reported to be well, and some come.
    async fn quiet(&self, minutes: i64) {
        for _ in 0..minutes * 6 {
            self.ingested(self.time().await).await;
            self.database.advance(Duration::seconds(10)).await;
        }
        self.ingested(self.time().await).await;
    }

    /// The newest decoded webhook came then.
    async fn ingested(&self, at: OffsetDateTime) {
        let mut conn = self.conn().await;
        ingest::report(&mut conn, None, Some(at)).await.expect("reported");
    }

    async fn time(&self) -> OffsetDateTime {
        let now = sqlx::query_scalar("SELECT messaging.now_()");
        now.fetch_one(self.database.admin()).await.expect("a time")
    }

    async fn settle(&self, message: Uuid, attempt: i32) -> (Vec<Settled>, usize) {
        let items = [Unsettled {
            number: NUMBER.to_owned(),
            message,
            attempt,
        }];
        let mut conn = self.conn().await;
        let moved = settle::hold_or_resend(&mut conn, &items, PATIENCE)
            .await
            .expect("no error");
        (
            moved,
            settle::fail(&mut conn, &items, PATIENCE).await.expect("no error").len(),
        )
    }

    async fn held(&self, message: Uuid) -> bool {
        sqlx::query_scalar("SELECT held FROM messaging.queue WHERE message_id = $1")
            .bind(message)
            .fetch_one(self.database.admin())
            .await
            .expect("a row")
    }
}

#[tokio::test]
async fn hold_waits_for_a_decision() {
    let world = World::new().await;
    let message = world.unknown(HOLD).await;
    world.quiet(9).await;
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 0), "not yet");
    world.quiet(2).await;
    assert_eq!(
        world.settle(message, 2).await,
        (Vec::new(), 0),
        "another attempt than the one that was seen"
    );
    assert_eq!(
        world.settle(message, 1).await,
        (vec![Settled { message, resend: false }], 0)
    );
    assert!(world.held(message).await);
    assert_eq!(world.queued(message).await, Some((UNKNOWN, 1, 1, 0)));
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 0), "once");
}

#[tokio::test]
async fn a_late_definite_answer_lifts_the_hold() {
    let world = World::new().await;
    let message = world.unknown(HOLD).await;
    world.quiet(11).await;
    world.settle(message, 1).await;
    assert!(world.held(message).await);
    let late = Retry {
        missed: miss(message, 1),
        delay_seconds: 0.0,
        refund: true,
    };
    let mut conn = world.conn().await;
    assert_eq!(record::retried(&mut conn, &[late]).await.expect("no error").len(), 1);
    assert!(!world.held(message).await);
    let epoch = world.own(WORKER).await;
    assert!(
        world.begin(WORKER, epoch, message).await.is_some(),
        "it can be sent again"
    );
}

#[tokio::test]
async fn resend_sends_once_more_counts_the_doubt_and_then_holds() {
    let world = World::new().await;
    let message = world.unknown(RESEND).await;
    world.quiet(11).await;
    assert_eq!(
        world.settle(message, 1).await,
        (vec![Settled { message, resend: true }], 0)
    );
    assert_eq!(world.queued(message).await, Some((QUEUED, 1, 1, 1)));
    let epoch = world.own(WORKER).await;
    assert_eq!(
        world.begin(WORKER, epoch, message).await.map(|begun| begun.attempt),
        Some(2)
    );
    world.force(message, UNKNOWN, 2, 1).await;
    world.quiet(11).await;
    assert_eq!(
        world.settle(message, 2).await,
        (vec![Settled { message, resend: false }], 0)
    );
    assert!(world.held(message).await);
}

#[tokio::test]
async fn fail_ends_the_message() {
    let world = World::new().await;
    let message = world.unknown(FAIL).await;
    world.quiet(11).await;
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 1));
    assert_eq!(
        (world.queued(message).await, world.ended(message).await),
        (None, (FAILED, 1, 0))
    );
    assert_eq!(world.outbox(message).await, [(1, 0), (3, 1)]);
}

#[tokio::test]
async fn silence_proves_nothing_while_decoding_is_behind_or_not_reported() {
    let world = World::new().await;
    let message = world.unknown(FAIL).await;
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 0), "never reported");
    world.quiet(11).await;
    world.database.advance(Duration::seconds(16)).await;
    assert_eq!(
        world.settle(message, 1).await,
        (Vec::new(), 0),
        "not reported for too long"
    );

    // Reports come back: patience counts from there.
    world.quiet(9).await;
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 0));
    world.quiet(2).await;

    // Then decoding is behind by more than 30 seconds: no longer, and counted from its recovery.
    let now = world.time().await;
    ingest::report(&mut *world.conn().await, Some(now - Duration::seconds(31)), Some(now))
        .await
        .expect("reported");
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 0));
    ingest::report(&mut *world.conn().await, Some(now - Duration::seconds(5)), Some(now))
        .await
        .expect("reported");
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 0));
    world.quiet(11).await;
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 1));
}

#[tokio::test]
async fn silence_proves_nothing_while_no_webhook_comes() {
    let world = World::new().await;
    let message = world.unknown(FAIL).await;
    let begun = world.time().await;
    for _ in 0..2 {
        // Nothing waits to be decoded, for nothing comes: at first never, then not since a while after the attempt.
        for _ in 0..66 {
            ingest::report(&mut *world.conn().await, None, None)
                .await
                .expect("reported");
            world.database.advance(Duration::seconds(10)).await;
        }
        ingest::report(&mut *world.conn().await, None, None)
            .await
            .expect("reported");
        assert_eq!(world.settle(message, 1).await, (Vec::new(), 0));
        world.ingested(begun + Duration::minutes(9)).await;
    }
    world.ingested(begun + Duration::minutes(1)).await;
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 0), "time runs forward");
    world.ingested(world.time().await).await;
    assert_eq!(world.settle(message, 1).await, (Vec::new(), 1));
}
