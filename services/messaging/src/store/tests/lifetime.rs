//! Ends before a call to Meta: time that ran out, messages that were taken back, decisions about unknown outcomes, simulated acceptances.

use time::{Duration, OffsetDateTime};

use super::*;
use crate::store::gate;
use crate::store::record::{self, Retry};
use crate::store::resolve::{self, Decision};
use crate::store::sandbox;
use crate::store::withdraw::{self, Withdrawal, Withdrawn};

const EXPIRED: i16 = 6;
const CANCELED: i16 = 7;

impl World {
    async fn expires_in(&self, message: Uuid, seconds: f64) {
        sqlx::query("UPDATE messaging.queue SET expires_at = messaging.now_() + make_interval(secs => $2) WHERE message_id = $1")
            .bind(message)
            .bind(seconds)
            .execute(self.database.admin())
            .await
            .expect("updated");
    }

    async fn withdraw(&self, message: Uuid, state: i16) -> Option<Withdrawn> {
        let item = Withdrawal {
            number: NUMBER.to_owned(),
            message,
            state,
        };
        withdraw::withdraw(&mut *self.conn().await, &[item])
            .await
            .expect("no error")
            .pop()
    }

    async fn resend(&self, message: Uuid, attempt: i32) -> usize {
        let decision = decision(message, attempt);
        resolve::resend(&mut *self.conn().await, &[decision])
            .await
            .expect("no error")
            .len()
    }

    async fn give_up(&self, message: Uuid, attempt: i32) -> usize {
        let decision = decision(message, attempt);
        resolve::fail(&mut *self.conn().await, &[decision])
            .await
            .expect("no error")
            .len()
    }

    /// It has ended, and Meta did not accept it.
    async fn unsent(&self, message: Uuid) -> bool {
        let found = gate::addressees(&mut *self.conn().await, &[message]).await;
        found.expect("no error").pop().expect("known").unsent
    }

    async fn reason(&self, message: Uuid) -> Option<String> {
        sqlx::query_scalar("SELECT reason FROM messaging.ending WHERE message_id = $1")
            .bind(message)
            .fetch_one(self.database.admin())
            .await
            .expect("an ending")
    }
}

fn decision(message: Uuid, attempt: i32) -> Decision {
    Decision {
        number: NUMBER.to_owned(),
        message,
        attempt,
    }
}

#[tokio::test]
async fn a_message_whose_time_ran_out_is_not_begun_and_ends_expired() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    world.expires_in(message, 60.0).await;
    assert_eq!(world.withdraw(message, EXPIRED).await, None, "not yet");
    world.database.advance(Duration::seconds(61)).await;
    assert!(world.begin(WORKER, epoch, message).await.is_none());
    assert_eq!(
        world.queued(message).await,
        Some((QUEUED, 0, 0, 0)),
        "a refused intent changes nothing"
    );
    let withdrawn = world.withdraw(message, EXPIRED).await.expect("ended");
    assert_eq!(
        (withdrawn.state, withdrawn.attempt, withdrawn.reason),
        (EXPIRED, 0, None)
    );
    assert_eq!(world.queued(message).await, None);
    assert_eq!(world.ended(message).await, (EXPIRED, 0, 0));
    assert_eq!(world.outbox(message).await, [(1, 0), (6, 0)]);
    assert_eq!(world.withdraw(message, EXPIRED).await, None, "once");
}

#[tokio::test]
async fn an_expired_message_keeps_the_reason_of_its_last_try() {
    let world = World::new().await;
    let message = world.sending(HOLD).await;
    let retry = Retry {
        missed: miss(message, 1),
        delay_seconds: 0.0,
        refund: true,
    };
    record::retried(&mut *world.conn().await, &[retry])
        .await
        .expect("no error");
    world.expires_in(message, -1.0).await;
    let withdrawn = world.withdraw(message, EXPIRED).await.expect("ended");
    assert_eq!(
        (withdrawn.attempt, withdrawn.meta_code, withdrawn.reason.as_deref()),
        (1, Some(131_026), Some("RECIPIENT_UNREACHABLE"))
    );
    assert_eq!(world.reason(message).await.as_deref(), Some("RECIPIENT_UNREACHABLE"));
}

#[tokio::test]
async fn what_an_intent_was_written_for_is_neither_canceled_nor_expired() {
    let world = World::new().await;
    let message = world.sending(HOLD).await;
    world.expires_in(message, -1.0).await;
    for state in [EXPIRED, CANCELED] {
        assert_eq!(world.withdraw(message, state).await, None);
    }
    world.force(message, UNKNOWN, 1, 0).await;
    for state in [EXPIRED, CANCELED] {
        assert_eq!(world.withdraw(message, state).await, None);
    }
    assert_eq!(world.queued(message).await, Some((UNKNOWN, 1, 1, 0)));
}

#[tokio::test]
async fn a_canceled_message_is_never_begun() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    let withdrawn = world.withdraw(message, CANCELED).await.expect("ended");
    assert_eq!((withdrawn.state, withdrawn.attempt), (CANCELED, 0));
    assert!(world.begin(WORKER, epoch, message).await.is_none());
    assert_eq!(world.ended(message).await, (CANCELED, 0, 0));
    assert_eq!(world.outbox(message).await, [(1, 0), (7, 0)]);
}

#[tokio::test]
async fn a_resend_that_waits_is_called_off_and_its_message_becomes_unknown() {
    let world = World::new().await;
    for state in [EXPIRED, CANCELED] {
        let message = world.message(RESEND).await;
        world.force(message, QUEUED, 1, 1).await;
        world.expires_in(message, -1.0).await;
        let withdrawn = world.withdraw(message, state).await.expect("moved");
        assert_eq!((withdrawn.state, withdrawn.attempt), (UNKNOWN, 1));
        assert_eq!(world.queued(message).await, Some((UNKNOWN, 1, 0, 1)));
        assert_eq!(world.ended(message).await, (QUEUED, 0, 0));
        assert_eq!(world.outbox(message).await, [(1, 0), (4, 1)]);
    }
}

#[tokio::test]
async fn unsent_is_what_has_ended_and_cannot_have_been_accepted() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let begun = async |attempt: i32| {
        let message = world.message(HOLD).await;
        for _ in 0..attempt {
            world.begin(WORKER, epoch, message).await.expect("begun");
        }
        message
    };
    let (canceled, expired) = (begun(0).await, begun(0).await);
    assert!(!world.unsent(canceled).await, "it waits");
    world.withdraw(canceled, CANCELED).await.expect("canceled");
    world.expires_in(expired, -1.0).await;
    world.withdraw(expired, EXPIRED).await.expect("expired");
    let (refused, given_up, accepted) = (begun(1).await, begun(1).await, begun(1).await);
    let mut conn = world.conn().await;
    assert_eq!(
        record::failed(&mut conn, &[miss(refused, 1)])
            .await
            .expect("failed")
            .len(),
        1
    );
    assert_eq!(
        record::unknown(&mut conn, &[miss(given_up, 1)])
            .await
            .expect("moved")
            .len(),
        1
    );
    assert!(!world.unsent(given_up).await, "nobody knows");
    assert_eq!(world.give_up(given_up, 1).await, 1);
    let ended = record::accepted(&mut conn, &[acceptance(accepted, 1, 1)]).await;
    assert_eq!(ended.expect("ended").len(), 1);
    let mut unsent = Vec::new();
    for message in [canceled, expired, refused, given_up, accepted] {
        unsent.push(world.unsent(message).await);
    }
    assert_eq!(unsent, [true, true, true, false, false]);
    // Evidence says otherwise.
    let late = record::accepted_late(&mut conn, &acceptance(refused, 1, 2)).await;
    assert!(late.expect("no error").is_some());
    assert!(!world.unsent(refused).await);
}

#[tokio::test]
async fn of_a_cancel_and_an_intent_at_the_same_time_exactly_one_wins() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let (mut canceled, mut begun) = (0, 0);
    for _ in 0..40 {
        let message = world.message(HOLD).await;
        let (cancel, intent) = tokio::join!(world.withdraw(message, CANCELED), world.begin(WORKER, epoch, message));
        assert!(cancel.is_some() != intent.is_some(), "{cancel:?} {intent:?}");
        canceled += usize::from(cancel.is_some());
        begun += usize::from(intent.is_some());
    }
    assert_eq!(canceled + begun, 40);
}

#[tokio::test]
async fn a_decision_counts_for_the_attempt_that_was_seen_and_once() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    world.begin(WORKER, epoch, message).await.expect("begun");
    assert_eq!(world.resend(message, 1).await, 0, "its outcome is not unknown");
    world.force(message, UNKNOWN, 1, 0).await;
    assert_eq!(
        (world.resend(message, 2).await, world.give_up(message, 2).await),
        (0, 0)
    );
    assert_eq!(world.resend(message, 1).await, 1);
    assert_eq!(world.queued(message).await, Some((QUEUED, 1, 1, 1)));
    assert_eq!(world.resend(message, 1).await, 0, "it is decided");
    let begun = world.begin(WORKER, epoch, message).await.expect("begun");
    assert_eq!(begun.attempt, 2);
    world.force(message, UNKNOWN, 2, 1).await;
    // The same decision once more, late: another attempt was begun since.
    assert_eq!(
        (world.resend(message, 1).await, world.give_up(message, 1).await),
        (0, 0)
    );
    assert_eq!(world.give_up(message, 2).await, 1);
    assert_eq!(world.ended(message).await, (FAILED, 2, 0));
    assert_eq!(world.reason(message).await.as_deref(), Some("OUTCOME_UNKNOWN"));
    assert_eq!(world.outbox(message).await, [(1, 0), (3, 2)]);
}

#[tokio::test]
async fn late_evidence_turns_a_decision_round() {
    let world = World::new().await;
    let message = world.sending(HOLD).await;
    world.force(message, UNKNOWN, 1, 0).await;
    assert_eq!(world.give_up(message, 1).await, 1);
    let late = record::accepted_late(&mut *world.conn().await, &acceptance(message, 1, 1))
        .await
        .expect("no error");
    assert!(late.is_some_and(|late| !late.duplicate));
    assert_eq!(world.ended(message).await, (ACCEPTED, 1, 0));

    // A resend that was decided is called off by it.
    let message = world.sending(HOLD).await;
    world.force(message, UNKNOWN, 1, 0).await;
    assert_eq!(world.resend(message, 1).await, 1);
    let ended = record::accepted(&mut *world.conn().await, &[acceptance(message, 1, 2)])
        .await
        .expect("no error");
    assert_eq!(ended.len(), 1);
    assert_eq!(world.ended(message).await, (ACCEPTED, 1, 0));
}

#[tokio::test]
async fn a_decision_to_send_once_more_lifts_the_hold_counts_as_the_policys_and_gives_an_hour() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(RESEND).await;
    world.force(message, UNKNOWN, 1, 0).await;
    world.expires_in(message, -100.0).await;
    sqlx::query("UPDATE messaging.queue SET held = true WHERE message_id = $1")
        .bind(message)
        .execute(world.database.admin())
        .await
        .expect("held");
    assert_eq!(world.resend(message, 1).await, 1);
    let (held, resends, left): (bool, i16, f64) = sqlx::query_as(
        "SELECT held, resends, extract(epoch FROM expires_at - messaging.now_())::float8 FROM messaging.queue WHERE message_id = $1",
    )
    .bind(message)
    .fetch_one(world.database.admin())
    .await
    .expect("a row");
    assert_eq!((held, resends), (false, 1));
    assert!((3_500.0..=3_600.0).contains(&left), "{left}");
    assert!(world.begin(WORKER, epoch, message).await.is_some());
}

#[tokio::test]
async fn a_simulated_acceptance_and_what_follows_it_are_one_statement() {
    let world = World::new().await;
    let message = world.sending(HOLD).await;
    let items = [acceptance(message, 1, 1)];
    let noted = sandbox::accepted(&mut *world.conn().await, &items)
        .await
        .expect("no error");
    assert_eq!(noted.len(), 1);
    assert_eq!(world.queued(message).await, None);
    assert_eq!(world.ended(message).await, (ACCEPTED, 1, 0));
    assert_eq!(world.outbox(message).await, [(1, 0), (2, 1), (8, 1), (9, 1), (10, 1)]);
    let again = sandbox::accepted(&mut *world.conn().await, &items)
        .await
        .expect("no error");
    assert!(again.is_empty());
    let mapped: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.wamid")
        .fetch_one(world.database.admin())
        .await
        .expect("a count");
    assert_eq!(mapped, 0, "nothing of Meta's names a made-up id");
}

#[tokio::test]
async fn of_a_batch_each_message_goes_its_own_way() {
    let world = World::new().await;
    let mut messages = Vec::new();
    for _ in 0..4 {
        messages.push(world.message(HOLD).await);
    }
    messages.sort_unstable();
    world.expires_in(messages[0], -1.0).await;
    world.force(messages[2], QUEUED, 1, 1).await;
    let items: Vec<_> = [
        (messages[0], EXPIRED),
        (messages[1], EXPIRED),
        (messages[2], CANCELED),
        (messages[3], CANCELED),
    ]
    .into_iter()
    .map(|(message, state)| Withdrawal {
        number: NUMBER.to_owned(),
        message,
        state,
    })
    .collect();
    let mut withdrawn: Vec<_> = withdraw::withdraw(&mut *world.conn().await, &items)
        .await
        .expect("no error")
        .into_iter()
        .map(|withdrawn| (withdrawn.message, withdrawn.state))
        .collect();
    withdrawn.sort_unstable();
    assert_eq!(
        withdrawn,
        [(messages[0], EXPIRED), (messages[2], UNKNOWN), (messages[3], CANCELED)]
    );
    let at: OffsetDateTime = sqlx::query_scalar("SELECT updated_at FROM messaging.ending WHERE message_id = $1")
        .bind(messages[3])
        .fetch_one(world.database.admin())
        .await
        .expect("an ending");
    assert!(at > OffsetDateTime::UNIX_EPOCH);
}
