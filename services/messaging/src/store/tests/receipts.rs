//! Messages that are to be marked as read.

use time::{Duration, OffsetDateTime};

use super::*;
use crate::store::contact;
use crate::store::receipt::{self, Due, New, Taken};

const CONTACT: Uuid = Uuid::from_u128(7);

impl World {
    async fn note(&self, at: OffsetDateTime, wamid: &[u8]) {
        let new = New {
            number: NUMBER,
            contact: CONTACT,
            connection: CONNECTION,
            at,
            wamid_sealed: wamid,
        };
        receipt::note(&mut *self.conn().await, &[new]).await.expect("noted");
    }

    async fn take(&self) -> Vec<Due> {
        receipt::take(&mut *self.conn().await, 10).await.expect("no error")
    }

    async fn now(&self) -> OffsetDateTime {
        sqlx::query_scalar("SELECT date_trunc('second', messaging.now_())")
            .fetch_one(self.database.admin())
            .await
            .expect("the time")
    }
}

fn taken(due: &Due) -> Taken {
    Taken {
        number: due.number.clone(),
        contact: due.contact,
        at: due.at,
    }
}

#[tokio::test]
async fn the_newest_of_a_conversation_counts_and_of_one_second_the_last() {
    let world = World::new().await;
    let now = world.now().await;
    world.note(now, b"second").await;
    world.note(now - Duration::seconds(1), b"first").await;
    world.note(now, b"third").await;
    let due = world.take().await;
    assert_eq!(due.len(), 1);
    assert_eq!((due[0].wamid_sealed.as_slice(), due[0].tries), (&b"third"[..], 1));
    assert!(world.take().await.is_empty(), "it is taken");
}

#[tokio::test]
async fn what_is_taken_and_not_settled_is_due_again_after_a_minute() {
    let world = World::new().await;
    world.note(world.now().await, b"x").await;
    assert_eq!(world.take().await.len(), 1);
    world.database.advance(Duration::seconds(61)).await;
    let due = world.take().await;
    assert_eq!((due.len(), due[0].tries), (1, 2));
    receipt::put_off(&mut *world.conn().await, &[taken(&due[0])], &[5.0])
        .await
        .expect("no error");
    assert!(world.take().await.is_empty());
    world.database.advance(Duration::seconds(6)).await;
    let due = world.take().await;
    assert_eq!(due[0].tries, 3);
    receipt::forget(&mut *world.conn().await, &[taken(&due[0])])
        .await
        .expect("no error");
    world.database.advance(Duration::minutes(2)).await;
    assert!(world.take().await.is_empty());
}

#[tokio::test]
async fn a_newer_message_takes_the_place_of_one_that_is_being_marked() {
    let world = World::new().await;
    let now = world.now().await;
    world.note(now - Duration::seconds(5), b"older").await;
    let due = world.take().await;
    world.note(now, b"newer").await;
    receipt::forget(&mut *world.conn().await, &[taken(&due[0])])
        .await
        .expect("no error");
    let due = world.take().await;
    assert_eq!(
        (due.len(), due[0].wamid_sealed.as_slice(), due[0].tries),
        (1, &b"newer"[..], 1)
    );
}

#[tokio::test]
async fn a_message_older_than_meta_takes_is_stale() {
    let world = World::new().await;
    let now = world.now().await;
    world.note(now - Duration::days(31), b"x").await;
    assert!(world.take().await[0].stale);
    // One from the future is taken for one of now.
    world.note(now + Duration::days(1), b"y").await;
    assert!(world.take().await[0].at <= world.now().await + Duration::seconds(1));
}

#[tokio::test]
async fn a_users_last_message_is_found_by_every_identity() {
    let world = World::new().await;
    sqlx::query("INSERT INTO messaging.identity (application_id, kind, value, contact_id) VALUES ($1, 1, '+14155551234', $2), ($1, 2, 'US.1', $2)")
        .bind(APPLICATION)
        .bind(CONTACT)
        .execute(world.database.admin())
        .await
        .expect("stored");
    let last = async |user: &str, application| {
        let mut conn = world.conn().await;
        let user = user.parse().expect("a user");
        let found = contact::find(&mut conn, application, &[&user]).await.expect("no error");
        match found[0] {
            Some(contact) => receipt::last_inbound(&mut conn, NUMBER, contact)
                .await
                .expect("no error"),
            None => None,
        }
    };
    assert!(last("+14155551234", APPLICATION).await.is_none(), "nothing was written");
    sqlx::query("INSERT INTO messaging.service_window (phone_number_id, contact_id, last_inbound_at, expires_at, last_wamid_sealed) VALUES ($1, $2, messaging.now_(), messaging.now_(), 'w')")
        .bind(NUMBER)
        .bind(CONTACT)
        .execute(world.database.admin())
        .await
        .expect("stored");
    for user in ["+14155551234", "US.1"] {
        assert_eq!(last(user, APPLICATION).await.as_deref(), Some(&b"w"[..]));
    }
    assert!(last("US.2", APPLICATION).await.is_none());
    assert!(
        last("+14155551234", Uuid::from_u128(1)).await.is_none(),
        "another application's user"
    );
    world.database.advance(Duration::days(31)).await;
    assert!(last("+14155551234", APPLICATION).await.is_none(), "too long ago");
}
