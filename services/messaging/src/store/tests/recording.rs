//! Rules 3, 4 and 5: what each outcome may change.

use super::*;
use crate::store::record::{self, Late, Retry};

#[tokio::test]
async fn an_acceptance_is_recorded_in_any_state_for_any_attempt_that_was_begun() {
    let world = World::new().await;
    for (state, attempts, attempt) in [
        (SENDING, 1, 1),
        (UNKNOWN, 1, 1),
        (QUEUED, 1, 1),
        (SENDING, 3, 1),
        (QUEUED, 3, 2),
        (UNKNOWN, 3, 3),
    ] {
        let message = world.message(HOLD).await;
        world.force(message, state, attempts, 0).await;
        let wamid = (state * 40 + attempts as i16 * 10 + attempt as i16) as u8;
        let noted = record::accepted(&mut *world.conn().await, &[acceptance(message, attempt, wamid)])
            .await
            .expect("no error");
        assert_eq!(noted.len(), 1, "state {state}, attempt {attempt} of {attempts}");
        assert_eq!(world.queued(message).await, None, "a pending resend is called off");
        assert_eq!(world.ended(message).await, (ACCEPTED, attempts, 0));
        assert_eq!(world.outbox(message).await, [(1, 0), (2, attempt)]);
    }
}

#[tokio::test]
async fn an_acceptance_of_an_attempt_that_was_never_begun_changes_nothing() {
    let world = World::new().await;
    let message = world.sending(HOLD).await;
    let mut conn = world.conn().await;
    assert!(
        record::accepted(&mut conn, &[acceptance(message, 2, 1)])
            .await
            .expect("no error")
            .is_empty()
    );
    assert!(
        record::accepted_late(&mut conn, &acceptance(message, 2, 1))
            .await
            .expect("no error")
            .is_none()
    );
    assert_eq!(world.queued(message).await, Some((SENDING, 1, 1, 0)));
    let elsewhere = Accepted {
        number: "1".to_owned(),
        ..acceptance(message, 1, 1)
    };
    assert!(
        record::accepted(&mut conn, &[elsewhere])
            .await
            .expect("no error")
            .is_empty()
    );
}

#[tokio::test]
async fn recording_an_acceptance_again_changes_nothing_and_a_second_one_is_counted_once() {
    let world = World::new().await;
    let message = world.sending(RESEND).await;
    world.force(message, SENDING, 2, 1).await;
    let mut conn = world.conn().await;
    let late = async |conn: &mut sqlx::PgConnection, attempt, wamid| {
        record::accepted_late(conn, &acceptance(message, attempt, wamid))
            .await
            .expect("no error")
    };
    assert_eq!(
        record::accepted(&mut conn, &[acceptance(message, 1, 1)])
            .await
            .expect("no error")
            .len(),
        1
    );
    assert!(
        record::accepted(&mut conn, &[acceptance(message, 1, 1)])
            .await
            .expect("no error")
            .is_empty()
    );
    assert!(late(&mut conn, 1, 1).await.is_none());
    assert_eq!(world.ended(message).await, (ACCEPTED, 2, 0));

    let second = late(&mut conn, 2, 2).await;
    assert!(matches!(second, Some(Late { duplicate: true, .. })));
    assert!(late(&mut conn, 2, 2).await.is_none());
    assert_eq!(world.ended(message).await, (ACCEPTED, 2, 1));
    assert_eq!(world.outbox(message).await, [(1, 0), (2, 1), (5, 2)]);
    let first: Vec<u8> = sqlx::query_scalar("SELECT wamid_sealed FROM messaging.ending WHERE message_id = $1")
        .bind(message)
        .fetch_one(world.database.admin())
        .await
        .expect("a row");
    assert_eq!(first, [1], "the first acceptance keeps its place");
}

#[tokio::test]
async fn duplicates_that_arrive_at_once_from_everywhere_are_each_counted_once() {
    let world = World::new().await;
    for _ in 0..20 {
        let message = world.sending(RESEND).await;
        world.force(message, SENDING, 3, 2).await;
        record::accepted(&mut *world.conn().await, &[acceptance(message, 1, 1)])
            .await
            .expect("recorded");
        let late = async |attempt: i32| {
            let wamid = message.as_bytes()[15].wrapping_mul(3).wrapping_add(attempt as u8);
            let item = Accepted {
                wamid_hash: hash(message, attempt),
                ..acceptance(message, attempt, wamid)
            };
            record::accepted_late(&mut *world.conn().await, &item)
                .await
                .expect("no error")
                .map_or(0, |_| 1)
        };
        let (one, two, three, four) = tokio::join!(late(2), late(3), late(2), late(3));
        assert_eq!(one + two + three + four, 2);
        assert_eq!(world.ended(message).await, (ACCEPTED, 3, 2));
    }
}

#[tokio::test]
async fn evidence_turns_a_failed_message_into_an_accepted_one() {
    let world = World::new().await;
    let message = world.sending(FAIL).await;
    let mut conn = world.conn().await;
    assert_eq!(
        record::failed(&mut conn, &[miss(message, 1)])
            .await
            .expect("no error")
            .len(),
        1
    );
    assert_eq!(
        (world.queued(message).await, world.ended(message).await),
        (None, (FAILED, 1, 0))
    );
    assert!(
        record::accepted(&mut conn, &[acceptance(message, 1, 1)])
            .await
            .expect("no error")
            .is_empty()
    );
    let late = record::accepted_late(&mut conn, &acceptance(message, 1, 1))
        .await
        .expect("no error");
    assert!(matches!(late, Some(Late { duplicate: false, .. })));
    assert_eq!(world.ended(message).await, (ACCEPTED, 1, 0));
    assert_eq!(world.outbox(message).await, [(1, 0), (2, 1), (3, 1)]);
}

#[tokio::test]
async fn a_refusal_ends_only_the_attempt_it_answers_while_its_outcome_is_open() {
    let world = World::new().await;
    for (state, attempts, attempt, ends) in [
        (SENDING, 1, 1, true),
        (UNKNOWN, 1, 1, true),
        (QUEUED, 1, 1, false),
        (SENDING, 2, 1, false),
        (UNKNOWN, 2, 1, false),
        (SENDING, 1, 2, false),
    ] {
        let message = world.message(HOLD).await;
        world.force(message, state, attempts, 0).await;
        let noted = record::failed(&mut *world.conn().await, &[miss(message, attempt)])
            .await
            .expect("no error");
        assert_eq!(
            !noted.is_empty(),
            ends,
            "state {state}, attempt {attempt} of {attempts}"
        );
        assert_eq!(world.queued(message).await.is_none(), ends);
        assert_eq!(world.ended(message).await.0, if ends { FAILED } else { QUEUED });
    }
}

#[tokio::test]
async fn a_message_with_an_unsettled_attempt_never_fails_by_a_refusal() {
    let world = World::new().await;
    let message = world.message(RESEND).await;
    world.force(message, SENDING, 2, 1).await;
    let mut conn = world.conn().await;
    for _ in 0..2 {
        // Also when the answer of the first run was lost and it runs again.
        assert!(
            record::failed(&mut conn, &[miss(message, 2)])
                .await
                .expect("no error")
                .is_empty()
        );
        assert_eq!(
            record::doubted(&mut conn, &[miss(message, 2)])
                .await
                .expect("no error")
                .len(),
            1
        );
        assert_eq!(world.queued(message).await, Some((UNKNOWN, 2, 0, 1)));
    }
    assert_eq!(world.outbox(message).await, [(1, 0), (4, 2)]);
}

#[tokio::test]
async fn a_retry_puts_back_only_the_attempt_it_answers_and_gives_back_what_never_left() {
    let world = World::new().await;
    let message = world.sending(HOLD).await;
    let mut conn = world.conn().await;
    let retry = |attempt, refund| Retry {
        missed: miss(message, attempt),
        delay_seconds: 60.0,
        refund,
    };
    assert!(
        record::retried(&mut conn, &[retry(2, true)])
            .await
            .expect("no error")
            .is_empty()
    );
    assert_eq!(
        record::retried(&mut conn, &[retry(1, true)])
            .await
            .expect("no error")
            .len(),
        1
    );
    assert_eq!(
        world.queued(message).await,
        Some((QUEUED, 1, 0, 0)),
        "the attempt stays used, the try is given back"
    );
    assert!(
        record::retried(&mut conn, &[retry(1, true)])
            .await
            .expect("no error")
            .is_empty(),
        "running it again gives nothing back twice"
    );

    let epoch = world.own(WORKER).await;
    let again = world.begin(WORKER, epoch, message).await.expect("begun");
    assert_eq!((again.attempt, again.tries), (2, 1));
    world.force(message, UNKNOWN, 2, 0).await;
    assert_eq!(
        record::retried(&mut conn, &[retry(2, false)])
            .await
            .expect("no error")
            .len(),
        1,
        "a swept call that comes back after all"
    );
    assert_eq!(world.queued(message).await, Some((QUEUED, 2, 1, 0)));
    let waits: bool = sqlx::query_scalar(
        "SELECT ready_at > now() + interval '50 seconds' FROM messaging.queue WHERE message_id = $1",
    )
    .bind(message)
    .fetch_one(world.database.admin())
    .await
    .expect("a row");
    assert!(waits);
}

#[tokio::test]
async fn an_unknown_outcome_is_recorded_only_for_the_attempt_that_is_on_its_way() {
    let world = World::new().await;
    for (state, attempts, attempt, moves) in [
        (SENDING, 1, 1, true),
        (QUEUED, 1, 1, false),
        (UNKNOWN, 1, 1, false),
        (SENDING, 2, 1, false),
    ] {
        let message = world.message(HOLD).await;
        world.force(message, state, attempts, 0).await;
        let noted = record::unknown(&mut *world.conn().await, &[miss(message, attempt)])
            .await
            .expect("no error");
        assert_eq!(
            !noted.is_empty(),
            moves,
            "state {state}, attempt {attempt} of {attempts}"
        );
        assert_eq!(world.outbox(message).await.contains(&(4, attempt)), moves);
    }
}

#[tokio::test]
async fn attempts_are_kept_when_they_missed_and_from_the_second_on() {
    let world = World::new().await;
    let quick = world.sending(HOLD).await;
    let mut conn = world.conn().await;
    record::accepted(&mut conn, &[acceptance(quick, 1, 1)])
        .await
        .expect("recorded");
    let slow = world.sending(HOLD).await;
    record::unknown(&mut conn, &[miss(slow, 1)]).await.expect("recorded");
    world.force(slow, SENDING, 2, 1).await;
    record::accepted(&mut conn, &[acceptance(slow, 2, 2)])
        .await
        .expect("recorded");
    let kept: Vec<(Uuid, i32, i16)> =
        sqlx::query_as("SELECT message_id, attempt, outcome FROM messaging.attempt ORDER BY attempt")
            .fetch_all(world.database.admin())
            .await
            .expect("rows");
    assert_eq!(kept, [(slow, 1, 3), (slow, 2, 1)]);
}

fn hash(message: Uuid, attempt: i32) -> [u8; 16] {
    let mut hash = *message.as_bytes();
    hash[0] = attempt as u8;
    hash
}
