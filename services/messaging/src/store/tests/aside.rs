//! Messages that are set aside without an attempt, and what Meta's refusals leave behind.

#![expect(
    clippy::disallowed_methods,
    reason = "what the database says is held against the machine's own clock"
)]

use time::{Duration, OffsetDateTime};

use super::*;
use crate::store::aside::{self, Park, Refusal};
use crate::store::gate::{self, Asked, Closing};
use crate::store::{apply, message};

const CONTACT: Uuid = Uuid::from_u128(7);

fn park(message: Uuid, epoch: i64) -> Park<'static> {
    Park {
        number: NUMBER,
        message,
        epoch,
        reason: "QUOTA_EXHAUSTED",
        wait_seconds: 3_600.0,
    }
}

fn refusal(message: Uuid, epoch: i64) -> Refusal<'static> {
    Refusal {
        number: NUMBER,
        message,
        epoch,
        reason: "OUTSIDE_MESSAGING_WINDOW",
    }
}

#[tokio::test]
async fn what_a_message_waits_for_is_told_and_it_is_still_to_be_sent() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    let mut conn = world.conn().await;
    assert_eq!(
        aside::park(&mut conn, WORKER, &[park(message, epoch)])
            .await
            .expect("parked"),
        [message]
    );
    let told = message::get(&mut conn, APPLICATION, message)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (told.state, told.reason.as_deref(), told.attempt),
        (QUEUED, Some("QUOTA_EXHAUSTED"), 0)
    );
    let wait = told.next_attempt_at.expect("a time") - OffsetDateTime::now_utc();
    assert!(
        (Duration::minutes(59)..=Duration::minutes(61)).contains(&wait),
        "{wait}"
    );
    assert!(
        world.begin(WORKER, epoch, message).await.is_some(),
        "whoever finds that the way is free sends it"
    );
    assert!(
        aside::park(&mut conn, WORKER, &[park(message, epoch)])
            .await
            .expect("no error")
            .is_empty(),
        "it is on its way"
    );
}

#[tokio::test]
async fn a_message_that_must_not_be_sent_fails_without_an_attempt_and_says_why() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    let mut conn = world.conn().await;
    let refused = aside::refuse(&mut conn, WORKER, &[refusal(message, epoch)])
        .await
        .expect("refused");
    assert_eq!(
        refused
            .iter()
            .map(|row| (row.message, row.attempt, row.ended))
            .collect::<Vec<_>>(),
        [(message, 0, true)]
    );
    assert_eq!(world.queued(message).await, None);
    assert_eq!(world.ended(message).await, (FAILED, 0, 0));
    assert_eq!(world.outbox(message).await, [(1, 0), (3, 0)]);
    let told = message::get(&mut conn, APPLICATION, message)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (told.reason.as_deref(), told.meta_code),
        (Some("OUTSIDE_MESSAGING_WINDOW"), None)
    );
    assert!(
        aside::refuse(&mut conn, WORKER, &[refusal(message, epoch)])
            .await
            .expect("no error")
            .is_empty(),
        "once"
    );
}

#[tokio::test]
async fn a_message_that_an_earlier_attempt_may_have_sent_does_not_fail() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(RESEND).await;
    world.force(message, QUEUED, 1, 1).await;
    let mut conn = world.conn().await;
    let refused = aside::refuse(&mut conn, WORKER, &[refusal(message, epoch)])
        .await
        .expect("refused");
    assert_eq!(
        refused.iter().map(|row| (row.attempt, row.ended)).collect::<Vec<_>>(),
        [(1, false)]
    );
    assert_eq!(world.queued(message).await, Some((UNKNOWN, 1, 0, 1)));
    assert_eq!(world.outbox(message).await, [(1, 0), (4, 1)]);
}

#[tokio::test]
async fn whoever_does_not_own_the_number_sets_nothing_aside() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    let mut conn = world.conn().await;
    let stranger = Uuid::from_u128(0xb0b);
    for (worker, epoch) in [(stranger, epoch), (WORKER, epoch - 1), (WORKER, epoch + 1)] {
        assert!(
            aside::park(&mut conn, worker, &[park(message, epoch)])
                .await
                .expect("no error")
                .is_empty()
        );
        assert!(
            aside::refuse(&mut conn, worker, &[refusal(message, epoch)])
                .await
                .expect("no error")
                .is_empty()
        );
    }
    world.force(message, UNKNOWN, 1, 0).await;
    assert!(
        aside::refuse(&mut conn, WORKER, &[refusal(message, epoch)])
            .await
            .expect("no error")
            .is_empty()
    );
    assert_eq!(world.queued(message).await, Some((UNKNOWN, 1, 0, 0)));
}

impl World {
    /// The user's message of `at` comes.
    async fn inbound(&self, at: OffsetDateTime) -> Vec<Option<f64>> {
        let opening = apply::Opening {
            number: NUMBER,
            contact: CONTACT,
            at,
            wamid_sealed: b"sealed",
        };
        let opened = apply::open_windows(&mut *self.conn().await, &[opening])
            .await
            .expect("opened");
        opened.into_iter().map(|opened| opened.window_left).collect()
    }

    async fn close(&self, at: Option<OffsetDateTime>, seconds_ago: Option<f64>) {
        let closing = Closing {
            number: NUMBER,
            contact: CONTACT,
            at,
            seconds_ago,
        };
        gate::close_windows(&mut *self.conn().await, &[closing])
            .await
            .expect("closed");
    }

    async fn left(&self) -> Option<f64> {
        let asked = Asked {
            message: Uuid::nil(),
            application: APPLICATION,
            connection: CONNECTION,
            number: NUMBER,
            contact: CONTACT,
            waba: "1",
            portfolio: "1701",
            template: None,
        };
        let standing = gate::look(&mut *self.conn().await, &[asked]).await.expect("looked");
        assert_eq!(standing.len(), 1);
        standing[0].window_left
    }
}

#[tokio::test]
async fn windows_come_to_the_same_end_in_whatever_order_their_news_come() {
    let base = OffsetDateTime::now_utc() - Duration::hours(2);
    let at = |minutes: i64| base + Duration::minutes(minutes);
    // The user wrote at 0 and at 60; Meta said closed at 30.
    let orders: [[u8; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let world = World::new().await;
        world.inbound(at(-60)).await;
        for event in order {
            match event {
                0 => drop(world.inbound(at(0)).await),
                1 => world.close(Some(at(30)), None).await,
                _ => drop(world.inbound(at(60)).await),
            }
        }
        let left = world.left().await.expect("open");
        assert!((22.9..23.1).contains(&(left / 3_600.0)), "{order:?}: {left}");
    }
    let world = World::new().await;
    world.inbound(at(0)).await;
    world.close(Some(at(30)), None).await;
    assert_eq!(world.left().await, None);
    assert_eq!(
        world.inbound(at(29)).await,
        [None],
        "a message that is older than Meta's word"
    );
    world.close(Some(at(-600)), None).await;
    assert!(
        world.inbound(at(31)).await[0].is_some(),
        "an older word changes nothing"
    );
    world.close(None, Some(1.0)).await;
    assert_eq!(world.left().await, None, "closed a second ago");
    world
        .close(Some(OffsetDateTime::now_utc() + Duration::days(3)), None)
        .await;
    world.database.advance(Duration::minutes(1)).await;
    assert!(
        world.inbound(OffsetDateTime::now_utc() + Duration::minutes(1)).await[0].is_some(),
        "no word from the future"
    );
}

#[tokio::test]
async fn whom_a_message_went_to_is_found_by_its_id() {
    let world = World::new().await;
    let message = world.message(HOLD).await;
    let mut conn = world.conn().await;
    let to = gate::addressees(&mut conn, &[message, new_id()]).await.expect("found");
    assert_eq!(
        to.iter()
            .map(|to| (to.message, to.contact, to.connection))
            .collect::<Vec<_>>(),
        [(message, CONTACT, CONNECTION)]
    );
}
