//! Rules 1, 2 and 6: intents, and who may make them.

use std::time::Duration;

use outeract_testkit::eventually;
use sqlx::{Connection as _, PgConnection};

use super::*;

const RIVAL: Uuid = Uuid::from_u128(0xb0b);

#[tokio::test]
async fn an_intent_of_a_stale_epoch_or_of_another_process_is_refused() {
    let world = World::new().await;
    let message = world.message(HOLD).await;
    let stale = world.own(WORKER).await;
    let rivals = world.own(RIVAL).await;
    assert_eq!(rivals, stale + 1);
    assert!(world.begin(WORKER, stale, message).await.is_none());
    assert!(
        world.begin(WORKER, rivals, message).await.is_none(),
        "the epoch alone is not enough"
    );
    assert!(world.begin(RIVAL, stale, message).await.is_none());
    // The same process again: its old epoch is stale all the same.
    let own = world.own(WORKER).await;
    assert!(world.begin(WORKER, stale, message).await.is_none());
    assert_eq!(world.queued(message).await, Some((QUEUED, 0, 0, 0)));
    assert!(world.begin(WORKER, own, message).await.is_some());
}

#[tokio::test]
async fn an_intent_moves_only_what_is_queued_and_not_held() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    assert_eq!(
        world.begin(WORKER, epoch, message).await.map(|begun| begun.attempt),
        Some(1)
    );
    assert!(world.begin(WORKER, epoch, message).await.is_none(), "it is on its way");
    world.force(message, UNKNOWN, 1, 0).await;
    assert!(world.begin(WORKER, epoch, message).await.is_none());
    world.force(message, QUEUED, 1, 0).await;
    sqlx::query("UPDATE messaging.queue SET held = true WHERE message_id = $1")
        .bind(message)
        .execute(world.database.admin())
        .await
        .expect("held");
    assert!(world.begin(WORKER, epoch, message).await.is_none());
    sqlx::query("UPDATE messaging.queue SET held = false WHERE message_id = $1")
        .bind(message)
        .execute(world.database.admin())
        .await
        .expect("free");
    let again = world.begin(WORKER, epoch, message).await.expect("begun");
    assert_eq!((again.attempt, again.tries), (2, 2), "attempts only grow");
}

#[tokio::test]
async fn an_intent_that_came_first_is_seen_after_the_takeover() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    let mut slow = world.conn().await;
    let mut tx = slow.begin().await.expect("a transaction");
    let intent = Intent {
        number: NUMBER,
        message,
        epoch,
        nonce: new_id(),
    };
    assert_eq!(intent::begin(&mut tx, WORKER, &[intent]).await.expect("begun").len(), 1);

    let takeover = async {
        owner::acquire(&mut *world.conn().await, RIVAL, &[(NUMBER, epoch)])
            .await
            .expect("acquired")
    };
    let commit = async {
        waits_for_lock(&world).await;
        tx.commit().await.expect("committed");
    };
    // The takeover waits for the intent.
    let (acquired, ()) = tokio::join!(takeover, commit);
    assert_eq!(acquired.len(), 1);
    assert_eq!(
        world.queued(message).await,
        Some((SENDING, 1, 1, 0)),
        "the sweep that follows sees it"
    );
}

#[tokio::test]
async fn an_intent_that_comes_second_finds_its_epoch_gone() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    let mut slow = world.conn().await;
    let mut tx = slow.begin().await.expect("a transaction");
    owner::acquire(&mut tx, RIVAL, &[(NUMBER, epoch)])
        .await
        .expect("acquired");

    let stale = async {
        // Its snapshot is older than the takeover's commit: only the lock tells.
        let nonce = new_id();
        let intent = Intent {
            number: NUMBER,
            message,
            epoch,
            nonce,
        };
        intent::begin(&mut *world.conn().await, WORKER, &[intent])
            .await
            .expect("no error")
    };
    let commit = async {
        waits_for_lock(&world).await;
        tx.commit().await.expect("committed");
    };
    let (begun, ()) = tokio::join!(stale, commit);
    assert!(begun.is_empty());
    assert_eq!(world.queued(message).await, Some((QUEUED, 0, 0, 0)));
}

#[tokio::test]
async fn of_two_takeovers_one_wins() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let take = async |worker: Uuid| {
        let mut conn = world.conn().await;
        owner::acquire(&mut conn, worker, &[(NUMBER, epoch)])
            .await
            .expect("no error")
            .len()
    };
    let (one, other) = tokio::join!(take(RIVAL), take(Uuid::from_u128(0xca1)));
    assert_eq!(one + other, 1);
}

#[tokio::test]
async fn intents_over_many_numbers_and_takeovers_never_deadlock() {
    let world = World::new().await;
    let numbers: Vec<String> = (0..20).map(|number| format!("10654035224{number:04}")).collect();
    let names: Vec<&str> = numbers.iter().map(String::as_str).collect();
    owner::introduce(&mut *world.conn().await, &names)
        .await
        .expect("introduced");
    let intents = async |turn: usize| {
        let mut names = names.clone();
        for _ in 0..40 {
            names.rotate_left(turn + 3);
            let intents: Vec<_> = names
                .iter()
                .map(|number| Intent {
                    number,
                    message: new_id(),
                    epoch: 1,
                    nonce: new_id(),
                })
                .collect();
            let mut conn = world.conn().await;
            intent::begin(&mut conn, WORKER, &intents).await.expect("no deadlock");
        }
    };
    let takeovers = async |worker: Uuid| {
        let mut names = names.clone();
        for _ in 0..40 {
            names.rotate_left(7);
            let mut conn = world.conn().await;
            let owners = owner::owners(&mut conn).await.expect("owners");
            let seen: Vec<_> = names
                .iter()
                .filter_map(|name| owners.iter().find(|owner| owner.number == *name))
                .map(|owner| (owner.number.as_str(), owner.epoch))
                .collect();
            owner::acquire(&mut conn, worker, &seen).await.expect("no deadlock");
        }
    };
    tokio::join!(intents(1), intents(2), takeovers(WORKER), takeovers(RIVAL));
}

#[tokio::test]
async fn after_a_lost_answer_only_the_own_nonce_counts() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let message = world.message(HOLD).await;
    let mine = Intent {
        number: NUMBER,
        message,
        epoch,
        nonce: new_id(),
    };
    let other = Intent {
        nonce: new_id(),
        ..mine
    };
    let mut conn = world.conn().await;
    assert!(
        intent::begun(&mut conn, &[mine]).await.expect("no error").is_empty(),
        "nothing was committed"
    );
    intent::begin(&mut conn, WORKER, &[mine]).await.expect("begun");
    let found = intent::begun(&mut conn, &[mine, other]).await.expect("no error");
    assert_eq!(
        found
            .iter()
            .map(|begun| (begun.nonce, begun.attempt))
            .collect::<Vec<_>>(),
        [(mine.nonce, 1)]
    );
    world.force(message, UNKNOWN, 1, 0).await;
    assert!(
        intent::begun(&mut conn, &[mine]).await.expect("no error").is_empty(),
        "it was swept: not to be sent"
    );
}

#[tokio::test]
async fn a_process_that_starts_again_is_rid_of_its_predecessor_and_the_dead_are_forgotten() {
    let world = World::new().await;
    let mut conn = world.conn().await;
    owner::announce(&mut conn, WORKER, "http://a:1", 9.0)
        .await
        .expect("announced");
    owner::announce(&mut conn, RIVAL, "http://b:1", 9.0)
        .await
        .expect("announced");
    let successor = Uuid::from_u128(3);
    owner::announce(&mut conn, successor, "http://a:1", 9.0)
        .await
        .expect("announced");
    let alive = |workers: Vec<owner::Worker>| workers.into_iter().map(|worker| worker.id).collect::<Vec<_>>();
    assert_eq!(
        alive(owner::workers(&mut conn).await.expect("workers")),
        [successor, RIVAL]
    );
    assert!(
        !owner::heartbeat(&mut conn, WORKER, 9.0).await.expect("no error"),
        "the predecessor learns that it is dead"
    );

    world.database.advance(time::Duration::seconds(8)).await;
    assert!(owner::heartbeat(&mut conn, RIVAL, 9.0).await.expect("no error"));
    world.database.advance(time::Duration::seconds(2)).await;
    assert_eq!(alive(owner::workers(&mut conn).await.expect("workers")), [RIVAL]);
    assert!(
        !owner::heartbeat(&mut conn, successor, 9.0).await.expect("no error"),
        "who was taken for dead begins anew"
    );
}

#[tokio::test]
async fn only_the_owner_at_its_epoch_gives_a_number_up() {
    let world = World::new().await;
    let stale = world.own(WORKER).await;
    let epoch = world.own(WORKER).await;
    let mut conn = world.conn().await;
    let owner_of = async |conn: &mut PgConnection| owner::owners(conn).await.expect("owners")[0].worker;
    owner::release(&mut conn, WORKER, &[(NUMBER, stale)])
        .await
        .expect("no error");
    owner::release(&mut conn, RIVAL, &[(NUMBER, epoch)])
        .await
        .expect("no error");
    assert_eq!(owner_of(&mut conn).await, Some(WORKER));
    owner::release(&mut conn, WORKER, &[(NUMBER, epoch)])
        .await
        .expect("no error");
    assert_eq!(owner_of(&mut conn).await, None);
}

/// Waits until a session of this test's database waits for a lock.
async fn waits_for_lock(world: &World) {
    eventually(Duration::from_secs(10), async || {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(world.database.admin())
        .await
        .expect("a count")
            > 0
    })
    .await;
}
