//! What a queued message waits for.

use time::Duration;

use super::*;
use crate::store::hold::{
    self, APPLICATION as OF_APPLICATION, CONNECTION as OF_CONNECTION, Deed, NUMBER as OF_NUMBER, Target,
};
use crate::store::waiting::{self, Waiting};

const PATIENCE: Duration = Duration::seconds(30);
const OPERATOR: Uuid = Uuid::from_u128(0x09e2);

impl World {
    async fn connection(&self, state: i16, paused: bool) {
        sqlx::query(
            "INSERT INTO messaging.connection (connection_id, application_id, version, token_version, updated_at, throughput_per_second, state, paused, waba_id, phone_number_id, display_number_sealed)
             VALUES ($1, $2, 1, 1, now(), 80, $3, $4, '1', $5, 'x') ON CONFLICT (connection_id) DO UPDATE SET state = excluded.state, paused = excluded.paused",
        )
        .bind(CONNECTION)
        .bind(APPLICATION)
        .bind(state)
        .bind(paused)
        .bind(NUMBER)
        .execute(self.database.admin())
        .await
        .expect("stored");
    }

    async fn waiting(&self, message: Uuid) -> Waiting {
        waiting::of(&mut *self.conn().await, NUMBER, message, PATIENCE)
            .await
            .expect("no error")
            .expect("queued")
    }

    async fn set(&self, message: Uuid, sql: &'static str) {
        sqlx::query(sql)
            .bind(message)
            .execute(self.database.admin())
            .await
            .expect("set");
    }
}

#[tokio::test]
async fn a_message_with_nothing_in_its_way_waits_for_nothing() {
    let world = World::new().await;
    world.connection(1, false).await;
    let message = world.message(HOLD).await;
    let waiting = world.waiting(message).await;
    assert_eq!((waiting.ready_at, waiting.behind, waiting.hold), (None, false, None));
    assert_eq!(
        (waiting.connection_state, waiting.connection_paused),
        (Some(1), Some(false))
    );
    let gone = waiting::of(&mut *world.conn().await, NUMBER, new_id(), PATIENCE)
        .await
        .expect("no error");
    assert!(gone.is_none());
}

#[tokio::test]
async fn an_earlier_message_of_the_lane_goes_first_as_long_as_the_lane_waits_for_it() {
    let world = World::new().await;
    world.connection(1, false).await;
    let first = world.message(HOLD).await;
    let message = world.message(HOLD).await;
    assert!(world.waiting(message).await.behind);
    assert!(!world.waiting(first).await.behind);

    // One whose sender chose a later time holds nobody up.
    world
        .set(
            first,
            "UPDATE messaging.queue SET ready_at = messaging.now_() + interval '1 hour' WHERE message_id = $1",
        )
        .await;
    assert!(!world.waiting(message).await.behind);
    // One that was tried does, for as long as the lane has patience with it.
    world
        .set(
            first,
            "UPDATE messaging.queue SET attempt = 1, updated_at = messaging.now_() WHERE message_id = $1",
        )
        .await;
    assert!(world.waiting(message).await.behind);
    world.database.advance(Duration::seconds(31)).await;
    assert!(!world.waiting(message).await.behind);

    world.force(first, SENDING, 1, 0).await;
    let waiting = world.waiting(message).await;
    assert!(waiting.behind && waiting.behind_until.is_none());

    // An outcome nobody knows: for so long, and no longer.
    world.force(first, UNKNOWN, 1, 0).await;
    world
        .set(
            first,
            "UPDATE messaging.queue SET intent_at = messaging.now_() WHERE message_id = $1",
        )
        .await;
    let waiting = world.waiting(message).await;
    assert!(waiting.behind && waiting.behind_until.is_some());
    world.database.advance(Duration::seconds(31)).await;
    assert!(!world.waiting(message).await.behind);
    // A message of another class does not.
    world.force(first, SENDING, 1, 0).await;
    world
        .set(first, "UPDATE messaging.queue SET priority = 3 WHERE message_id = $1")
        .await;
    assert!(!world.waiting(message).await.behind);
}

#[tokio::test]
async fn holds_and_connections_show() {
    let world = World::new().await;
    world.connection(2, true).await;
    let message = world.message(HOLD).await;
    let waiting = world.waiting(message).await;
    assert_eq!(
        (waiting.connection_state, waiting.connection_paused),
        (Some(2), Some(true))
    );
    for (scope, key) in [
        (OF_APPLICATION, APPLICATION.to_string()),
        (OF_CONNECTION, CONNECTION.to_string()),
        (OF_NUMBER, NUMBER.to_owned()),
    ] {
        let target = Target { scope, key };
        let reason = format!("scope {scope}");
        let deed = Deed {
            id: new_id(),
            operator: OPERATOR,
            action: "PlaceHold",
            target: "x",
            reason: &reason,
        };
        assert!(hold::exists(&mut *world.conn().await, &target).await.expect("no error"));
        hold::place(&mut *world.conn().await, &target, &deed)
            .await
            .expect("no error")
            .expect("placed");
        assert_eq!(world.waiting(message).await.hold, Some(reason));
    }
}

#[tokio::test]
async fn a_hold_and_its_line_in_the_audit_log_are_one() {
    let world = World::new().await;
    let target = Target {
        scope: OF_NUMBER,
        key: NUMBER.to_owned(),
    };
    let absent = hold::exists(&mut *world.conn().await, &target).await.expect("no error");
    assert!(!absent);
    let deed = |action: &'static str, reason: &'static str| Deed {
        id: new_id(),
        operator: OPERATOR,
        action,
        target: NUMBER,
        reason,
    };
    let mut conn = world.conn().await;
    for reason in ["first", "again"] {
        hold::place(&mut conn, &target, &deed("PlaceHold", reason))
            .await
            .expect("no error")
            .expect("placed");
    }
    let all = hold::all(&mut conn).await.expect("no error");
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].reason.as_str(), all[0].operator), ("again", OPERATOR));
    assert!(
        hold::release(&mut conn, &target, &deed("ReleaseHold", "over"))
            .await
            .expect("no error")
    );
    assert!(
        !hold::release(&mut conn, &target, &deed("ReleaseHold", "over"))
            .await
            .expect("no error")
    );
    let entries = hold::entries(&mut conn, None, 10).await.expect("no error");
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action.as_str(), entry.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [("ReleaseHold", "over"), ("PlaceHold", "again"), ("PlaceHold", "first")],
        "what was not done is not written down"
    );
    let before = hold::entries(&mut conn, Some(entries[0].id), 1)
        .await
        .expect("no error");
    assert_eq!((before.len(), before[0].id), (1, entries[1].id));
}

#[tokio::test]
async fn holds_are_bounded() {
    let world = World::new().await;
    sqlx::query("INSERT INTO messaging.hold (scope, key, reason, operator_key_id, at) SELECT 1, n::text, 'x', $1, now() FROM generate_series(1, 1000) n")
        .bind(OPERATOR)
        .execute(world.database.admin())
        .await
        .expect("stored");
    let deed = Deed {
        id: new_id(),
        operator: OPERATOR,
        action: "PlaceHold",
        target: "x",
        reason: "one more",
    };
    let place = async |key: &str| {
        let target = Target {
            scope: OF_NUMBER,
            key: key.to_owned(),
        };
        hold::place(&mut *world.conn().await, &target, &deed)
            .await
            .expect("no error")
    };
    assert_eq!(place("1001").await, None);
    assert!(place("1000").await.is_some(), "one that is there is renewed");
}
